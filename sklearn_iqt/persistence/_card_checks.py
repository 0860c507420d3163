"""Check the fields of a training card, which come from a user or from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import numpy as np

from sklearn_iqt._axes import ALIGNMENTS
from sklearn_iqt.io._orientation import is_orientation
from sklearn_iqt.persistence._encode import plain_json

Check = Callable[[Any], Any]


class NotAllowed(Exception):
    """A value is not allowed. The message says which values are allowed."""


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise NotAllowed("a string")
    return value


def alignment(value: Any) -> str:
    if value not in ALIGNMENTS:
        raise NotAllowed("'center' or 'corner'")
    return value


def orientation(value: Any) -> str:
    if not is_orientation(value):
        raise NotAllowed("one direction for each axis, such as 'RAS'")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise NotAllowed("True or False")
    return bool(value)


def whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise NotAllowed("a whole number")
    return int(value)


def count(value: Any) -> int:
    n = whole_number(value)
    if n < 1:
        raise NotAllowed("a whole number of at least 1")
    return n


def number(value: Any) -> float:
    plain = value.item() if isinstance(value, np.generic) else value
    is_number = isinstance(plain, (int, float)) and not isinstance(plain, bool)
    if not (is_number and abs(plain) <= sys.float_info.max):
        raise NotAllowed("a finite number")
    return plain


def several(check: Check) -> Check:
    """Return a check of one or several values, which returns a tuple."""

    def check_all(values: Any) -> tuple:
        single = isinstance(values, str) or not isinstance(values, (list, tuple, np.ndarray))
        return tuple(check(value) for value in ([values] if single else values))

    return check_all


def exactly(n: int, check: Check, allowed: str) -> Check:
    """Return a check of ``n`` values, which returns a tuple."""

    def check_all(values: Any) -> tuple:
        if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != n:
            raise NotAllowed(allowed)
        try:
            return tuple(check(value) for value in values)
        except NotAllowed:
            raise NotAllowed(allowed) from None

    return check_all


def positive(value: Any) -> float:
    if not number(value) > 0:
        raise NotAllowed("a positive number")
    return number(value)


def value_range(values: Any) -> tuple[float, float]:
    allowed = "two finite numbers, the smaller one first"
    first, last = exactly(2, number, allowed)(values)
    if first > last:
        raise NotAllowed(allowed)
    return first, last


def day(value: Any) -> str:
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError):
        raise NotAllowed("a date such as '2026-11-28'") from None


def scores(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise NotAllowed("a dict of names and finite numbers")
    return {name: number(score) for name, score in value.items()}


def notes(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotAllowed("a dict")
    return plain_json(value, "TrainingCard", "notes")


_FACTORS = exactly(3, count, "three whole numbers of at least 1")
_LENGTHS = exactly(3, positive, "three positive numbers")

# Functions that return the stored value of each field, or raise NotAllowed.
CHECKS: dict[str, Check] = {
    "method": text,
    "standardized": flag,
    "cohort": text,
    "n_pairs": count,
    "scale": _FACTORS,
    "alignment": alignment,
    "spacing_low_mm": _LENGTHS,
    "spacing_high_mm": _LENGTHS,
    "orientation": orientation,
    "snr_presets": several(text),
    "snr_wm": value_range,
    "snr_gm": value_range,
    "contrast": value_range,
    "surface": value_range,
    "thickness": several(number),
    "gap": several(number),
    "noise": several(text),
    "tissues": several(text),
    "scores": scores,
    "seed": whole_number,
    "date": day,
    "license": text,
    "recipe": text,
    "commit": text,
    "intended_use": text,
    "limits": several(text),
    "notes": notes,
}
