"""Image quality transfer for 3-D medical volumes, in scikit-learn style.

Public names are imported on first use, so that importing the package stays cheap and never
imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sklearn_iqt._version import __version__

if TYPE_CHECKING:  # what a type checker cannot see happen
    from sklearn_iqt.base import BaseIQTRegressor as BaseIQTRegressor
    from sklearn_iqt.compose import InterpolationIQT as InterpolationIQT
    from sklearn_iqt.compose import PatchwiseRegressor as PatchwiseRegressor
    from sklearn_iqt.deep import AnisoUNetRegressor as AnisoUNetRegressor
    from sklearn_iqt.deep import DDLRegressor as DDLRegressor
    from sklearn_iqt.dictionary import CoupledDictionaryIQT as CoupledDictionaryIQT
    from sklearn_iqt.io import load_volume as load_volume
    from sklearn_iqt.io import save_volume as save_volume
    from sklearn_iqt.patches import PatchGrid as PatchGrid
    from sklearn_iqt.patches import PatchMerger as PatchMerger
    from sklearn_iqt.patches import PatchTransformer as PatchTransformer
    from sklearn_iqt.persistence import load_model as load_model
    from sklearn_iqt.persistence import save_model as save_model
    from sklearn_iqt.preprocessing import NyulScaler as NyulScaler
    from sklearn_iqt.preprocessing import PercentileScaler as PercentileScaler
    from sklearn_iqt.preprocessing import TissueScaler as TissueScaler
    from sklearn_iqt.simulation import LowFieldSimulator as LowFieldSimulator

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
