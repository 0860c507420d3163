"""Checks of parameters on the axes of volumes: one number for each axis, and alignment."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

# How a low and a high grid may be aligned, see sklearn_iqt.io.scaled_affine.
ALIGNMENTS = ("center", "corner")


def check_alignment(alignment: str, caller: str) -> str:
    """Return `alignment` if it is known or raise ValueError."""
    if alignment not in ALIGNMENTS:
        raise ValueError(f"{caller}: alignment must be 'center' or 'corner', got {alignment!r}.")
    return alignment


def per_axis(value: Any, name: str, caller: str) -> tuple[int, int, int]:
    """Return one positive integer for each axis ``(i, j, k)``.

    Parameters
    ----------
    value : int or sequence of 3 ints
        One number for all axes, or one for each axis.
    name, caller : str
        Name of the parameter, and the class or function that the message names.

    Returns
    -------
    tuple of 3 ints
        All at least one.

    Raises
    ------
    ValueError
        If ``value`` is anything else.
    """
    numbers = (value,) * 3 if isinstance(value, Integral) else tuple(np.atleast_1d(value).tolist())
    if len(numbers) != 3 or not all(isinstance(v, Integral) and int(v) >= 1 for v in numbers):
        raise ValueError(
            f"{caller}: {name} must be a positive integer or three of them, one for each axis "
            f"(i, j, k), got {value!r}."
        )
    return tuple(int(v) for v in numbers)  # type: ignore[return-value]
