"""Decode the JSON values and arrays of an untrusted file into estimators."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from sklearn_iqt._fitted_params import SESSION
from sklearn_iqt.base import BaseIQTRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence._checks import check_state
from sklearn_iqt.persistence._encode import SETTINGS
from sklearn_iqt.persistence._registry import (
    CLASSES,
    FITTED_PARAMS,
    MAX_WIDTH,
    MODELS,
    Classes,
    find_class,
    find_state,
)

_MAX_DEPTH = 32
# Estimators in a file, such as the trees of a forest.
_MAX_ESTIMATORS = 2**13
_ATTRIBUTE = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_SCALARS = {"float16", "float32", "float64", "bool"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class Decoder:
    """Build estimators from the nodes of a file. Nodes that an encoder does not write are refused.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Arrays of the file. Each must be used exactly once.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._unused = dict(arrays)
        self._n_estimators = 0

    def model(self, node: Any) -> Any:
        """Return the model of the outermost node, after checking that it uses every array."""
        model = self._estimator(node, 0, MODELS)
        if self._unused:
            raise UntrustedModelError(
                f"its model does not use the arrays {sorted(self._unused)[:5]}. The file was "
                "changed."
            )
        return model

    def _value(self, node: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise UntrustedModelError(f"it has values nested more than {_MAX_DEPTH} levels deep.")
        if node is None or isinstance(node, (bool, str, int)):
            return node
        if isinstance(node, float):
            if not math.isfinite(node):
                raise UntrustedModelError("it contains a number that is not finite.")
            return node
        if isinstance(node, list):
            return [self._value(item, depth + 1) for item in node]
        if "class" in node:
            return self._estimator(node, depth + 1, CLASSES)
        kinds = {
            "tuple": self._tuple,
            "dict": self._dict,
            "scalar": self._scalar,
            "strings": self._strings,
            "array": self._array,
            "objects": self._objects,
        }
        kind = next((key for key in kinds if key in node), None)
        if kind is None or set(node) - {kind, "transposed", "shape"}:
            raise UntrustedModelError(f"it contains an unknown kind of value, {sorted(node)[:5]}.")
        return kinds[kind](node, depth)

    def _tuple(self, node: dict, depth: int) -> tuple:
        _expect(node["tuple"], list, "a tuple")
        return tuple(self._value(item, depth + 1) for item in node["tuple"])

    def _dict(self, node: dict, depth: int) -> dict:
        _expect(node["dict"], dict, "a dict")
        return {key: self._value(item, depth + 1) for key, item in node["dict"].items()}

    def _scalar(self, node: dict, depth: int) -> Any:
        pair = node["scalar"]
        is_pair = isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        if not (is_pair and pair[0] in _SCALARS):
            raise UntrustedModelError("it contains a numpy number of an unknown type.")
        if not isinstance(pair[1], (int, float)):
            raise UntrustedModelError("it contains a numpy number that is not a number.")
        dtype: np.dtype[Any] = np.dtype(pair[0])
        try:
            number = dtype.type(pair[1])
        except OverflowError:
            number = np.float64(np.nan)
        # numpy 1 wraps integers that are too large.
        wrapped = dtype.kind in "iu" and number != pair[1]
        if wrapped or not np.isfinite(number):
            raise UntrustedModelError(
                "it contains a number that is not finite or does not fit its type."
            )
        return number

    def _strings(self, node: dict, depth: int) -> np.ndarray:
        strings = _expect(node["strings"], list, "an array of strings")
        if not all(isinstance(item, str) for item in strings):
            raise UntrustedModelError("it contains an array of strings with other values.")
        return np.array(strings, dtype=object)

    def _array(self, node: dict, depth: int) -> np.ndarray:
        name = node["array"]
        if not isinstance(name, str) or name not in self._unused:
            raise UntrustedModelError(f"the array {str(name)[:80]!r} is missing or used twice.")
        array = self._unused.pop(name)
        return array.T if node.get("transposed") is True else array

    def _objects(self, node: dict, depth: int) -> np.ndarray:
        nodes = _expect(node["objects"], list, "an array of estimators")
        shape = _expect(node.get("shape"), list, "the shape of an array of estimators")
        if not (all(type(n) is int and n > 0 for n in shape) and math.prod(shape) == len(nodes)):
            raise UntrustedModelError("it contains an array of estimators of another shape.")
        array = np.empty(len(nodes), dtype=object)
        for n, part in enumerate(nodes):
            array[n] = self._estimator(part, depth + 1, CLASSES)
        return array.reshape(shape)

    def _estimator(self, node: Any, depth: int, classes: Classes) -> Any:
        self._n_estimators += 1
        if self._n_estimators > _MAX_ESTIMATORS:
            raise UntrustedModelError(f"it contains more than {_MAX_ESTIMATORS} estimators.")
        _expect(node, dict, "an estimator")
        if set(node) - {"class", "params", "fitted", "arrays"}:
            raise UntrustedModelError(
                f"it contains an estimator with unknown keys, {sorted(node)[:6]}."
            )
        cls = find_class(node.get("class"), classes)
        estimator = self._unfitted(cls, _expect(node.get("params"), dict, "parameters"), depth)
        if set(node) & {"fitted", "arrays"}:
            if cls.__name__ in FITTED_PARAMS:
                raise UntrustedModelError(
                    f"its {cls.__name__} has fitted attributes, which it cannot have."
                )
            self._restore(estimator, node, depth)
        return estimator

    def _restore(self, estimator: Any, node: dict, depth: int) -> None:
        """Set the fitted attributes of an estimator, and check them before it is used."""
        cls, state = type(estimator), find_state(estimator)
        taken = {*estimator.get_params(deep=False), *SETTINGS, *(state.restored if state else ())}
        for name, value in _expect(node.get("fitted", {}), dict, "attributes").items():
            # A value from a file must not replace a name that the class defines.
            if not _ATTRIBUTE.match(name) or hasattr(cls, name) or name in taken:
                raise UntrustedModelError(
                    f"{cls.__name__} cannot have the fitted attribute {name[:80]!r}."
                )
            setattr(estimator, name, self._value(value, depth))
        if ("arrays" in node) != (state is not None):
            raise UntrustedModelError(
                f"{cls.__name__} {'must have' if state else 'has no'} named arrays."
            )
        nodes = _expect(node.get("arrays", {}), dict, "arrays")
        arrays = {key: self._value(value, depth) for key, value in nodes.items()}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise UntrustedModelError(f"{cls.__name__} has a named array that is not an array.")
        for name in ("n_features_in_", "n_outputs_"):
            width = getattr(estimator, name, 1)
            if type(width) is not int or not 1 <= width <= MAX_WIDTH:
                raise UntrustedModelError(
                    f"{cls.__name__}.{name} is {str(width)[:80]}, not a number from 1 to "
                    f"{MAX_WIDTH}."
                )
        if isinstance(estimator, BaseIQTRegressor):
            check_state(estimator)
        try:
            if state is not None:
                state.restore(estimator, arrays)
        except ImportError:
            raise
        except Exception as error:
            raise UntrustedModelError(f"{cls.__name__} cannot use its state: {error}") from error

    def _unfitted(self, cls: type, nodes: dict, depth: int) -> Any:
        unknown = set(nodes) - (set(cls._get_param_names()) - SESSION)  # type: ignore[attr-defined]
        if unknown:
            raise UntrustedModelError(
                f"{cls.__name__} cannot have the parameters {sorted(unknown)[:5]} in a file. The "
                "file was changed or written by a newer version of sklearn_iqt."
            )
        params = {key: self._value(value, depth) for key, value in nodes.items()}
        try:
            estimator = cls(**params)
            if hasattr(cls, "_parameter_constraints"):  # all classes but FeatureUnion
                estimator._validate_params()  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise UntrustedModelError(str(error)) from error
        return estimator


def plain_value(node: Any) -> Any:
    """Return the value of a node for display: an estimator as a dict, an array as its name."""
    if isinstance(node, list):
        return [plain_value(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "class" in node:
        return {"class": node["class"], "params": plain_value({"dict": node.get("params")})}
    if isinstance(node.get("tuple"), list):
        return tuple(plain_value(item) for item in node["tuple"])
    if isinstance(node.get("dict"), dict):
        return {key: plain_value(item) for key, item in node["dict"].items()}
    if isinstance(node.get("scalar"), list):
        return node["scalar"][-1] if node["scalar"] else None
    return node.get("strings", node.get("array"))


def _expect(node: Any, kind: type, what: str) -> Any:
    if not isinstance(node, kind):
        raise UntrustedModelError(
            f"{what} must be stored as {kind.__name__}, not as {type(node).__name__}."
        )
    return node
