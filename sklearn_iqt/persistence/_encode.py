"""Encode fitted estimators as JSON values and named arrays."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from sklearn_iqt.persistence._registry import HOMES, MODELS, NOT_STORED, class_name

# Settings of scikit-learn on the instance, which are not learned.
_SETTINGS = ("_metadata_request", "_sklearn_output_config")


class Encoder:
    """Turn estimators into JSON values, and collect their arrays under names.

    Numbers, strings, lists and None stand for themselves; anything else is an object with one key
    that names its kind: ``tuple``, ``dict``, ``scalar``, ``strings``, ``array`` or ``class``.

    Parameters
    ----------
    caller : str
        Used in messages.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Arrays collected so far, contiguous.
    """

    def __init__(self, caller: str) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._caller = caller

    def model(self, model: Any) -> dict:
        """Return the node of a model that stands on its own."""
        return self.estimator(model, homes=MODELS)

    def estimator(
        self,
        estimator: Any,
        path: str = "",
        *,
        fitted: bool = True,
        homes: dict[str, str] = HOMES,
    ) -> dict:
        """Return the node of an estimator; unless ``fitted``, only its parameters."""
        name = class_name(estimator, homes)
        if name is None:
            where = f" ({path})" if path else ""
            raise TypeError(
                f"{self._caller}: {type(estimator).__module__}.{type(estimator).__name__}{where} "
                f"cannot be stored without pickle; only {sorted(homes)} can. Use skops.io.dump for "
                "this model."
            )
        prefix = f"{path}." if path else ""
        node: dict[str, Any] = {"class": name, "params": self._params(estimator, prefix)}
        # A pipeline learns nothing itself: its fitted steps are a parameter.
        if fitted and not isinstance(estimator, Pipeline):
            node["fitted"] = self._learned(estimator, prefix)
            if hasattr(estimator, "_fitted_arrays"):
                node["arrays"] = {
                    key: self._array(np.asarray(array), f"{prefix}arrays/{key}")
                    for key, array in estimator._fitted_arrays().items()
                }
        return node

    def value(self, value: Any, path: str, *, fitted: bool = True) -> Any:
        """Return the JSON form of a value."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "fiub":
            self._check_finite(value, path)
            return {"scalar": [value.dtype.name, value.item()]}
        if isinstance(value, (int, float)):
            self._check_finite(value, path)
            return value
        if isinstance(value, (list, tuple)):
            items = [self.value(v, f"{path}.{n}", fitted=fitted) for n, v in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {
                "dict": {
                    key: self.value(v, f"{path}.{n}", fitted=fitted)
                    for n, (key, v) in enumerate(value.items())
                }
            }
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, BaseEstimator):
            return self.estimator(value, path, fitted=fitted)
        raise TypeError(
            f"{self._caller}: {path} is a {type(value).__module__}.{type(value).__name__}, which "
            "cannot be stored without pickle. Use skops.io.dump for this model."
        )

    def _params(self, estimator: Any, prefix: str) -> dict:
        # As in clone, an estimator given as a parameter is its parameters; only steps are fitted.
        fitted = isinstance(estimator, Pipeline)
        nodes = {}
        for key, value in sorted(estimator.get_params(deep=False).items()):
            path = prefix + key
            if isinstance(value, np.random.RandomState):
                warnings.warn(
                    f"{self._caller}: {path} is a RandomState, which is not stored; the "
                    f"loaded model has {path}=None. Pass an integer seed to keep it.",
                    UserWarning,
                    stacklevel=2,
                )
                value = None
            nodes[key] = None if key in NOT_STORED else self.value(value, path, fitted=fitted)
        return nodes

    def _learned(self, estimator: Any, prefix: str) -> dict:
        skipped = {
            *estimator.get_params(deep=False),
            *getattr(estimator, "_restored_attributes", ()),
            *_SETTINGS,
        }
        return {
            key: self.value(value, prefix + key)
            for key, value in sorted(vars(estimator).items())
            if key not in skipped
        }

    def _array(self, array: np.ndarray, path: str) -> dict:
        if array.dtype.kind in "OU" and all(isinstance(item, str) for item in array.flat):
            return {"strings": array.tolist()}
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(
                f"{self._caller}: {path} is an array of {array.dtype}, which cannot be stored "
                "without pickle. Use skops.io.dump for this model."
            )
        self._check_finite(array, path)
        # The order in memory decides the last bit of matrix products, so it is kept.
        by_columns = array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous
        stored = array.T if by_columns else array
        self.arrays[path] = np.array(stored, dtype=stored.dtype.newbyteorder("="), order="C")
        return {"array": path, "transposed": True} if by_columns else {"array": path}

    def _check_finite(self, value: Any, path: str) -> None:
        finite = np.isfinite(value).all() if isinstance(value, np.ndarray) else math.isfinite(value)
        if not finite:
            raise ValueError(f"{self._caller}: {path} holds NaN or infinite values; refit.")


def plain_json(value: Any, caller: str, path: str = "training") -> Any:
    """Return a user's notes about a training in types of JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_json(item, caller, f"{path}[{n}]") for n, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain_json(item, caller, f"{path}.{key}") for key, item in value.items()}
    raise TypeError(
        f"{caller}: {path} must be made of dicts with string keys, lists, strings, finite numbers, "
        f"booleans and None; got {value!r}."
    )
