"""Image quality transfer for 3-D medical volumes, in scikit-learn style.

Public names are imported on first use, so that importing the package stays cheap and never
imports torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from sklearn_iqt._version import __version__

_HOME = {
    "AnisoUNetRegressor": "deep",
    "BaseIQTRegressor": "base",
    "CoupledDictionaryIQT": "dictionary",
    "DDLRegressor": "deep",
    "InterpolationIQT": "compose",
    "LowFieldSimulator": "simulation",
    "NyulScaler": "preprocessing",
    "PatchGrid": "patches",
    "PatchMerger": "patches",
    "PatchTransformer": "patches",
    "PatchwiseRegressor": "compose",
    "PercentileScaler": "preprocessing",
    "TissueScaler": "preprocessing",
    "load_model": "persistence",
    "load_volume": "io",
    "save_model": "persistence",
    "save_volume": "io",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"sklearn_iqt.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sklearn_iqt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
