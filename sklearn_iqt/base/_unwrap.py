"""Find the estimator that enhances volumes inside a model."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_iqt.base._dispatch import BaseIQTRegressor

__all__ = ["enhancer_of"]


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
    inner = model
    while not isinstance(inner, BaseIQTRegressor):
        if isinstance(inner, Pipeline):
            inner = inner.steps[-1][1]
        elif isinstance(inner, FrozenEstimator):
            inner = inner.estimator
        elif hasattr(inner, "_fitted_estimator"):
            inner = inner._fitted_estimator()
        else:
            raise TypeError(
                f"{caller}: the model must be an estimator of sklearn_iqt, or a pipeline that ends "
                f"with one, got {type(model).__name__}."
            )
    return inner
