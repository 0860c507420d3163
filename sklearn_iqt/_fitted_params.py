"""Remember the parameters of a fit, to notice when they are changed afterwards."""

from __future__ import annotations

from typing import Any

import joblib
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

__all__ = ["NAME", "SESSION", "changed_params", "remember_params"]

# Attribute with the digests of the parameters; it is not stored in model files.
NAME = "_params_of_fit"
# Parameters that belong to a machine or a terminal, and not to a model. They are not read from
# model files, so that a file cannot choose a folder whose pickles joblib loads, start threads or
# draw progress bars.
SESSION = frozenset(("callbacks", "checkpoint", "device", "memory", "n_jobs", "verbose"))
# Parameters that the fitted state does not depend on, or that only matter to the next fit.
_WITHOUT_EFFECT = SESSION | {
    "average_flips",
    "keep_zeros",
    "margin",
    "random_state",
    "tile_size",
    "warm_start",
}


def remember_params(estimator: BaseEstimator) -> None:
    """Remember the parameters that have decided the fitted state, if an estimator has one."""
    if get_tags(estimator).requires_fit:
        setattr(estimator, NAME, _digests(estimator))


def changed_params(estimator: BaseEstimator) -> list[str]:
    """Return the names of parameters that were changed since they were remembered."""
    before = getattr(estimator, NAME, None)
    if before is None:
        return []
    now = _digests(estimator)
    return sorted(name for name in before | now if before.get(name) != now.get(name))


def _digests(estimator: BaseEstimator) -> dict[str, str]:
    params = estimator.get_params(deep=True)
    return {
        name: _digest(value)
        for name, value in params.items()
        if name.rpartition("__")[2] not in _WITHOUT_EFFECT
    }


def _digest(value: Any) -> str:
    """Return a digest of a value; parts are represented by their class and their parameters."""
    if isinstance(value, BaseEstimator):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(_digest(item) for item in value)})"
    try:
        return joblib.hash(value)
    except Exception:  # a value that cannot be pickled
        return repr(value)
