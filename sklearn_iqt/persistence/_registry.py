"""Classes that a model file may contain, with the shapes of their arrays."""

from __future__ import annotations

import importlib
from typing import Any

from sklearn_iqt._methods import METHODS
from sklearn_iqt.exceptions import UntrustedModelError

# Modules by class name. A module is imported when a file contains its class.
ESTIMATORS = {method.class_name: method.module for method in METHODS}

# Classes of the outermost object in a file.
MODELS = {**ESTIMATORS, "Pipeline": "sklearn.pipeline"}

# Classes that may precede a model in a pipeline, with the attribute of their fitted numbers, which
# increase.
SCALERS = {
    "NyulScaler": "landmarks_",
    "PercentileScaler": None,
    "TissueScaler": "ratios_",
}

# Classes inside a model, as a parameter or as a fitted attribute.
PARTS = {
    "DictionaryLearning": "sklearn.decomposition",
    "LinearRegression": "sklearn.linear_model",
    "MiniBatchDictionaryLearning": "sklearn.decomposition",
    "PatchTransformer": "sklearn_iqt.patches",
    "Ridge": "sklearn.linear_model",
    **dict.fromkeys(SCALERS, "sklearn_iqt.preprocessing"),
}

# Parameters that are only used for training. They are neither stored nor read from a file, also
# because joblib would unpickle the files in the folder of ``memory``.
NOT_STORED = ("callbacks", "checkpoint", "memory")

CLASSES = {**ESTIMATORS, **PARTS}

# Shapes of arrays that are checked before any computation. A dimension named like an attribute has
# the value of this attribute. Other dimensions may have any length, the same for the same name.
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "CoupledDictionaryIQT": {
        "dictionary_low_": ("atoms", "components"),
        "dictionary_high_": ("atoms", "n_outputs_"),
        "projection_": ("components", "n_features_in_"),
    },
    "IntensityCurveIQT": {"intensities_": ("knots",), "targets_": ("knots",)},
}


def class_name(estimator: Any, classes: dict[str, str] = CLASSES) -> str | None:
    """Return the stored name of the class of an estimator, or None if it is not in `classes`."""
    name = type(estimator).__name__
    module = classes.get(name)
    # Classes of the same name in other modules, such as subclasses, are not stored.
    return name if module and type(estimator).__module__.startswith(module) else None


def find_class(name: Any, classes: dict[str, str] = CLASSES) -> type:
    """Return the class of a name in a file. Only classes in `classes` are imported."""
    if not isinstance(name, str) or name not in classes:
        raise UntrustedModelError(
            f"it contains the class {str(name)[:80]!r}. Only {sorted(classes)} are allowed here."
        )
    try:
        return getattr(importlib.import_module(classes[name]), name)
    except AttributeError:
        raise UntrustedModelError(
            f"this version of sklearn_iqt has no {name}. Upgrade sklearn_iqt."
        ) from None
