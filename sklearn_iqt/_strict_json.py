"""Parse JSON from untrusted files, and compute digests of it."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["canonical_json", "parse_json"]

# Longer numbers do not fit 64 bits.
_MAX_DIGITS = 20


def parse_json(content: bytes, *, finite: bool = True) -> dict[str, Any]:
    """Parse a JSON object in UTF-8.

    Parameters
    ----------
    content : bytes
        Text of the object.
    finite : bool, default=True
        Whether to refuse numbers that are not finite.

    Returns
    -------
    dict
        Its integers fit 64 bits, and its strings can be encoded.

    Raises
    ------
    ValueError
        If the text is not an object, is nested too deeply, or contains a name twice.

    Examples
    --------
    >>> parse_json(b'{"epoch": 3}')
    {'epoch': 3}
    """
    try:
        parsed = json.loads(
            content.decode(),
            object_pairs_hook=_unique_names,
            parse_constant=_finite if finite else float,
            parse_float=_finite if finite else float,
            parse_int=_short,
        )
        json.dumps(parsed, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError("it is not a JSON object")
    return parsed


def canonical_json(value: Any) -> bytes:
    """Return the same bytes for equal values, for a digest.

    Parameters
    ----------
    value : object
        Value of JSON.

    Returns
    -------
    bytes
        JSON with sorted names and without white space.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("it contains the same name twice")
    return names


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"it contains {number[:20]}, which is not finite")
    return value


def _short(number: str) -> int:
    if len(number) > _MAX_DIGITS:
        raise ValueError(f"it contains an integer of {len(number)} digits")
    return int(number)
