"""Find the estimators inside a model."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_iqt.base._dispatch import BaseIQTRegressor

__all__ = ["enhancer_of", "inner_model", "steps_of"]


def inner_model(model: Any) -> Any:
    """Return the pipeline or estimator inside estimators that only wrap another one.

    Parameters
    ----------
    model : estimator
        For instance a frozen estimator or a :class:`sklearn_iqt.compose.AnyGridIQT`.

    Returns
    -------
    estimator
        The model itself if it is not a wrapper.
    """
    while isinstance(model, FrozenEstimator) or hasattr(type(model), "_fitted_estimator"):
        frozen = isinstance(model, FrozenEstimator)
        model = model.estimator if frozen else model._fitted_estimator()
    return model


def steps_of(model: Any) -> list[Any]:
    """Return the estimators inside a model, in the order in which a scan passes through them.

    Parameters
    ----------
    model : estimator
        A pipeline, an estimator, or a wrapper of one.

    Returns
    -------
    list of estimators
        The last one enhances the scan.
    """
    model = inner_model(model)
    if not isinstance(model, Pipeline):
        return [model]
    *scalers, (_, last) = model.steps
    return [step for _, step in scalers if step != "passthrough"] + steps_of(last)


def enhancer_of(model: Any, caller: str) -> BaseIQTRegressor:
    """Return the estimator that enhances volumes: the model, or the estimator inside it.

    Parameters
    ----------
    model : estimator
        An estimator of this package, a pipeline that ends with one, a frozen estimator, or an
        estimator around another one, such as :class:`sklearn_iqt.compose.AnyGridIQT`.
    caller : str
        Class or function that the message names.

    Returns
    -------
    BaseIQTRegressor
        The innermost estimator.

    Raises
    ------
    TypeError
        If the model does not contain an estimator of this package.
    """
    enhancer = steps_of(model)[-1]
    if not isinstance(enhancer, BaseIQTRegressor):
        raise TypeError(
            f"{caller}: model must be an estimator of sklearn_iqt, or a pipeline that ends with "
            f"one, got {type(model).__name__}."
        )
    return enhancer
