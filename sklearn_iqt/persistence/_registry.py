"""Classes that a model file may contain, with the shapes of their arrays."""

from __future__ import annotations

import importlib
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, TypeVar

from sklearn.base import BaseEstimator

from sklearn_iqt._methods import METHODS
from sklearn_iqt.base import BaseIQTRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence._sklearn import STATES, State

Class = TypeVar("Class", bound=type)
# Modules, or registered classes, by class name. A module is imported when a file has its class.
Classes = Mapping[str, str | type]

ESTIMATORS: dict[str, str | type] = {method.class_name: method.module for method in METHODS}

# Classes that wrap a model.
WRAPPERS: dict[str, str | type] = {
    "AnyGridIQT": "sklearn_iqt.compose",
    "ConformalIQT": "sklearn_iqt.compose",
}

# Features or outputs of any estimator in a file.
MAX_WIDTH = 2**22

# Classes of the outermost object in a file.
MODELS: Classes = ChainMap(
    ESTIMATORS,
    {**WRAPPERS, "Pipeline": "sklearn.pipeline"},
)

# Classes that may precede a model in a pipeline, with the attribute of their fitted numbers, which
# increase.
SCALERS = {
    "NyulScaler": "landmarks_",
    "PercentileScaler": None,
    "TissueScaler": "ratios_",
}

# Classes of scikit-learn that a model may contain. Their fitted state is numbers, arrays and
# estimators, or has an entry in STATES. Classes whose output can be much larger than their state,
# such as PolynomialFeatures, are left out, because a small file could then take much memory.
_SKLEARN = {
    "sklearn.compose": "TransformedTargetRegressor",
    "sklearn.cross_decomposition": "CCA PLSCanonical PLSRegression",
    "sklearn.decomposition": "DictionaryLearning FactorAnalysis FastICA IncrementalPCA "
    "MiniBatchDictionaryLearning PCA TruncatedSVD",
    "sklearn.dummy": "DummyRegressor",
    "sklearn.ensemble": "AdaBoostRegressor BaggingRegressor ExtraTreesRegressor "
    "GradientBoostingRegressor HistGradientBoostingRegressor RandomForestRegressor "
    "StackingRegressor VotingRegressor",
    "sklearn.feature_selection": "VarianceThreshold",
    "sklearn.kernel_approximation": "Nystroem RBFSampler",
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.linear_model": "ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor "
    "HuberRegressor Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC LinearRegression "
    "MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV "
    "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV PoissonRegressor QuantileRegressor "
    "Ridge RidgeCV SGDRegressor TheilSenRegressor TweedieRegressor",
    "sklearn.multioutput": "MultiOutputRegressor RegressorChain",
    "sklearn.neighbors": "KNeighborsRegressor RadiusNeighborsRegressor",
    "sklearn.neural_network": "MLPRegressor",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing": "FunctionTransformer MaxAbsScaler MinMaxScaler Normalizer "
    "PowerTransformer QuantileTransformer RobustScaler StandardScaler",
    "sklearn.svm": "LinearSVR NuSVR SVR",
    "sklearn.tree": "DecisionTreeRegressor ExtraTreeRegressor",
}

# Classes inside a model, as a parameter or as a fitted attribute.
PARTS: dict[str, str | type] = {
    **WRAPPERS,
    "FrozenEstimator": "sklearn.frozen",
    "PatchTransformer": "sklearn_iqt.patches",
    **dict.fromkeys(SCALERS, "sklearn_iqt.preprocessing"),
    **{name: module for module, names in _SKLEARN.items() for name in names.split()},
}

# Parameters whose parts are fitted. In other classes, parameters that are estimators are unfitted.
FITTED_PARAMS = {
    "FeatureUnion": "transformer_list",
    "FrozenEstimator": "estimator",
    "Pipeline": "steps",
}

CLASSES: Classes = ChainMap(ESTIMATORS, PARTS)

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


def register_class(
    estimator_class: Class, *, shapes: dict[str, tuple[str, ...]] | None = None
) -> Class:
    """Allow model files to contain a class of your own.

    Call it where the class is defined, or use it as a decorator. A file never causes an import:
    :func:`load_model` accepts the class only after your program has imported the module that
    registers it. On the command line, ``--import MODULE`` does this.

    Parameters
    ----------
    estimator_class : type
        A subclass of :class:`~sklearn_iqt.base.BaseIQTRegressor`, or another scikit-learn estimator
        that is part of one, such as the regressor of a ``PatchwiseRegressor``. Its fitted
        attributes are numbers, strings, arrays, lists, dicts and estimators.
    shapes : dict of str to tuple of str, default=None
        Names of the dimensions of fitted arrays, by the name of the array. A dimension named like
        an attribute has the value of this attribute, others have the same length wherever they
        occur. Arrays of a file with other shapes are refused.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError
        If ``estimator_class`` is not an estimator class.
    ValueError
        If another class with this name can be stored already.

    See Also
    --------
    save_model : Write a model to a file.

    Examples
    --------
    >>> from sklearn_iqt import InterpolationIQT
    >>> from sklearn_iqt.persistence import register_class
    >>> @register_class
    ... class LinearInterpolation(InterpolationIQT):
    ...     "Interpolate volumes linearly."
    """
    if not (isinstance(estimator_class, type) and issubclass(estimator_class, BaseEstimator)):
        raise TypeError(
            f"register_class: estimator_class must be a class of estimators, got "
            f"{estimator_class!r}."
        )
    name = estimator_class.__name__
    known = CLASSES.get(name)
    if known is not None and not (isinstance(known, type) and _same_source(known, estimator_class)):
        raise ValueError(
            f"register_class: there is another {name} that can be stored. Choose another name."
        )
    (ESTIMATORS if issubclass(estimator_class, BaseIQTRegressor) else PARTS)[name] = estimator_class
    SHAPES[name] = dict(shapes or {})
    return estimator_class


def class_name(estimator: Any, classes: Classes = CLASSES) -> str | None:
    """Return the stored name of the class of an estimator, or None if it is not in `classes`."""
    name = type(estimator).__name__
    source = classes.get(name)
    if isinstance(source, type):
        return name if type(estimator) is source else None
    # Classes of the same name in other modules, such as subclasses, are not stored.
    return name if source and f"{type(estimator).__module__}.".startswith(f"{source}.") else None


def find_class(name: Any, classes: Classes = CLASSES) -> type:
    """Return the class of a name in a file. Only modules in `classes` are imported."""
    if not isinstance(name, str) or name not in classes:
        raise UntrustedModelError(
            f"it contains the class {str(name)[:80]!r}, which is not allowed here. If it is your "
            "own class, import the module that calls register_class for it first; on the command "
            "line, pass --import MODULE."
        )
    source = classes[name]
    if isinstance(source, type):
        return source
    try:
        return getattr(importlib.import_module(source), name)
    except AttributeError:
        raise UntrustedModelError(
            f"this version of {source.partition('.')[0]} has no {name}. Upgrade it."
        ) from None


def find_state(estimator: Any) -> State | None:
    """Return how the fitted state of an estimator is stored, or None if it is all attributes."""
    if hasattr(estimator, "_restore_fitted_arrays"):
        cls = type(estimator)
        restored = tuple(getattr(cls, "_restored_attributes", ()))
        return State(restored, cls._fitted_arrays, cls._restore_fitted_arrays)
    return STATES.get(class_name(estimator) or "")


def _same_source(first: type, second: type) -> bool:
    """Return whether a class is the other one, defined again, as in a notebook."""
    return (first.__module__, first.__qualname__) == (second.__module__, second.__qualname__)
