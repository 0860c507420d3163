"""The classes that a model file may name, and the shapes that their arrays must have."""

from __future__ import annotations

import importlib
from typing import Any

from sklearn_iqt._methods import METHODS
from sklearn_iqt.exceptions import UntrustedModelError

# Modules are imported when a file asks for their class.
ESTIMATORS = {method.class_name: method.module for method in METHODS}

# What can be saved and loaded on its own.
MODELS = {**ESTIMATORS, "Pipeline": "sklearn.pipeline"}

# What may stand before a model in a pipeline, and the increasing numbers that it has learned.
SCALERS = {
    "NyulScaler": "landmarks_",
    "PercentileScaler": None,
    "TissueScaler": "ratios_",
}

# What may stand inside a model, as a parameter or as a fitted part.
PARTS = {
    "DictionaryLearning": "sklearn.decomposition",
    "LinearRegression": "sklearn.linear_model",
    "MiniBatchDictionaryLearning": "sklearn.decomposition",
    "PatchTransformer": "sklearn_iqt.patches",
    "Ridge": "sklearn.linear_model",
    **dict.fromkeys(SCALERS, "sklearn_iqt.preprocessing"),
}

# Parameters that matter only to the person who trained a model. They are neither stored nor read
# from a file; files in a folder of ``memory`` would be unpickled.
NOT_STORED = ("callbacks", "checkpoint", "memory")

HOMES = {**ESTIMATORS, **PARTS}

# Arrays whose shapes must agree before anything is computed with them. A name that the estimator
# has as an attribute stands for its value, another for any number that is the same throughout.
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "CoupledDictionaryIQT": {
        "dictionary_low_": ("atoms", "components"),
        "dictionary_high_": ("atoms", "n_outputs_"),
        "projection_": ("components", "n_features_in_"),
    },
    "IntensityCurveIQT": {"intensities_": ("knots",), "targets_": ("knots",)},
}


def class_name(estimator: Any, homes: dict[str, str] = HOMES) -> str | None:
    """Return the name under which an estimator is stored, or None if it is not among ``homes``."""
    name = type(estimator).__name__
    home = homes.get(name)
    # A subclass or a namesake is something else.
    return name if home and type(estimator).__module__.startswith(home) else None


def find_class(name: Any, homes: dict[str, str] = HOMES) -> type:
    """Return the class of a name in a file, importing only what ``homes`` lists."""
    if not isinstance(name, str) or name not in homes:
        raise UntrustedModelError(
            f"the file asks for the class {str(name)[:80]!r}; only {sorted(homes)} can be loaded "
            "here."
        )
    try:
        return getattr(importlib.import_module(homes[name]), name)
    except AttributeError:
        raise UntrustedModelError(
            f"this version of sklearn_iqt has no {name}; upgrade sklearn_iqt."
        ) from None
