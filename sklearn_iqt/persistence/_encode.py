"""Encode fitted estimators as JSON values and named arrays."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt._fitted_params import NAME as PARAMS_OF_FIT
from sklearn_iqt._fitted_params import SESSION
from sklearn_iqt.persistence._registry import (
    CLASSES,
    FITTED_PARAMS,
    MODELS,
    Classes,
    class_name,
    find_state,
)

# Attributes that are set without fitting, which are neither stored nor read.
SETTINGS = ("_metadata_request", "_skl_callbacks", "_sklearn_output_config", PARAMS_OF_FIT)


class Encoder:
    """Convert estimators to JSON values, and collect their arrays by name.

    Numbers, strings, lists and None are stored as JSON. Any other value is an object with one key
    for its kind: ``tuple``, ``dict``, ``scalar``, ``strings``, ``array``, ``objects`` or ``class``.

    Parameters
    ----------
    caller : str
        Name of the function in messages.
    half_precision : bool
        Whether weights of nets are stored as float16.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Contiguous arrays of the encoded estimators.
    """

    def __init__(self, caller: str, *, half_precision: bool) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._caller = caller
        self._half_precision = half_precision

    def model(self, model: Any) -> dict:
        """Return the node of a model that can be loaded."""
        return self.estimator(model, classes=MODELS)

    def estimator(
        self,
        estimator: Any,
        path: str = "",
        *,
        fitted: bool = True,
        classes: Classes = CLASSES,
    ) -> dict:
        """Return the node of an estimator. Without ``fitted``, it has only the parameters."""
        name = class_name(estimator, classes)
        if name is None:
            where = f" ({path})" if path else ""
            raise TypeError(
                f"{self._caller}: {type(estimator).__module__}.{type(estimator).__name__}{where} "
                f"cannot be stored without pickle. Call register_class for a class of your own."
            )
        prefix = f"{path}." if path else ""
        node: dict[str, Any] = {"class": name, "params": self._params(estimator, prefix, fitted)}
        # The fitted parts of a pipeline are a parameter.
        if fitted and name not in FITTED_PARAMS and _is_fitted(estimator):
            state = find_state(estimator)
            skipped = () if state is None else state.restored
            node["fitted"] = self._fitted_attributes(estimator, prefix, skipped)
            if state is not None:
                node["arrays"] = {
                    key: self._array(self._rounded(np.asarray(array)), f"{prefix}arrays/{key}")
                    for key, array in state.arrays(estimator).items()
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
            fitted = fitted or isinstance(value, FrozenEstimator)
            return self.estimator(value, path, fitted=fitted)
        raise TypeError(
            f"{self._caller}: {path} is a {type(value).__module__}.{type(value).__name__}, which "
            "cannot be stored without pickle."
        )

    def _params(self, estimator: Any, prefix: str, fitted: bool) -> dict:
        # As in clone, parameters that are estimators are stored unfitted, except steps and frozen
        # estimators.
        fitted_param = FITTED_PARAMS.get(type(estimator).__name__) if fitted else None
        nodes: dict[str, Any] = {}
        for key, value in sorted(estimator.get_params(deep=False).items()):
            if key in SESSION:
                continue
            path = prefix + key
            if isinstance(value, np.random.RandomState):
                # Parts of a fitted estimator get theirs from a parameter, which was reported.
                if any(part.endswith("_") for part in path.split(".")):
                    nodes[key] = None
                    continue
                warnings.warn(
                    f"{self._caller}: {path} is a RandomState, which is not stored. The loaded "
                    f"model has {path}=None. Pass an integer seed to store it.",
                    UserWarning,
                    stacklevel=2,
                )
                value = None
            nodes[key] = self.value(value, path, fitted=key == fitted_param)
        return nodes

    def _fitted_attributes(self, estimator: Any, prefix: str, restored: tuple[str, ...]) -> dict:
        skipped = {*estimator.get_params(deep=False), *restored, *SETTINGS}
        return {
            key: self.value(value, prefix + key)
            for key, value in sorted(vars(estimator).items())
            if key not in skipped
        }

    def _rounded(self, array: np.ndarray) -> np.ndarray:
        # Of all named arrays, only the weights of nets are float32.
        half = self._half_precision and array.dtype == np.float32
        return array.astype(np.float16) if half else array

    def _array(self, array: np.ndarray, path: str) -> dict:
        if array.dtype.kind in "OU" and all(isinstance(item, str) for item in array.flat):
            return {"strings": array.tolist()}
        if array.dtype.kind == "O" and all(isinstance(i, BaseEstimator) for i in array.flat):
            nodes = [self.estimator(part, f"{path}.{n}") for n, part in enumerate(array.flat)]
            return {"objects": nodes, "shape": list(array.shape)}
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(
                f"{self._caller}: {path} is an array of {array.dtype}, which cannot be stored "
                "without pickle."
            )
        self._check_finite(array, path)
        # The order in memory is stored, because it changes the last bits of matrix products.
        by_columns = not array.flags.c_contiguous and list(array.strides) == sorted(array.strides)
        stored = array.T if by_columns else array
        self.arrays[path] = np.array(stored, dtype=stored.dtype.newbyteorder("="), order="C")
        return {"array": path, "transposed": True} if by_columns else {"array": path}

    def _check_finite(self, value: Any, path: str) -> None:
        finite = np.isfinite(value).all() if isinstance(value, np.ndarray) else math.isfinite(value)
        if not finite:
            raise ValueError(
                f"{self._caller}: {path} holds NaN or infinite values. Fit the model again."
            )


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def plain_json(value: Any, caller: str, path: str = "training") -> Any:
    """Return the notes of a user in types of JSON."""
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
        f"booleans and None, got {value!r}."
    )
