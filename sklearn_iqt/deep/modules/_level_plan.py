"""The levels of an anisotropic U-Net, which bring all axes to the same sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sklearn_iqt.patches import per_axis

__all__ = ["Level", "plan_levels"]

Triple: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Level:
    """One level of an anisotropic U-Net.

    Parameters
    ----------
    raise_by : tuple of 3 ints
        Upsampling of the skip connection, from the grid of the way down to that of the way up.
    pool : tuple of 3 ints
        Pooling factors to the next level on the way down.
    expand : tuple of 3 ints
        Upsampling factors from the next level on the way up.
    """

    raise_by: Triple
    pool: Triple
    expand: Triple


def plan_levels(scale: int | Sequence[int], n_levels: int) -> tuple[Level, ...]:
    """Plan the levels of an anisotropic U-Net for any integer factor of each axis.

    On the way up every level is a coarser copy of the high grid. On the way down an axis that is
    still too coarse is left alone, while its missing factor shrinks by its largest prime; the axes
    that are fine enough are pooled by the largest of those primes, or by 2 when no axis is too
    coarse any more.

    Parameters
    ----------
    scale : int or sequence of 3 ints
        High voxels for each low one.
    n_levels : int
        Number of levels.

    Returns
    -------
    tuple of ``n_levels`` Level
        From the finest; the pooling and expansion of the last are 1.

    Raises
    ------
    ValueError
        If there are too few levels for the axes to meet.

    Notes
    -----
    For (1, 1, 2), (1, 1, 4), (1, 1, 6) and (1, 1, 8) these are the plans of the authors' code,
    with its first pooling of (3, 3, 1) for a factor of 6.

    Examples
    --------
    >>> for level in plan_levels((1, 1, 6), n_levels=4):
    ...     print(level.raise_by, level.pool, level.expand)
    (1, 1, 6) (3, 3, 1) (3, 3, 3)
    (1, 1, 2) (2, 2, 1) (2, 2, 2)
    (1, 1, 1) (2, 2, 2) (2, 2, 2)
    (1, 1, 1) (1, 1, 1) (1, 1, 1)
    """
    scale = per_axis(scale, "scale", "plan_levels")
    missing, levels = scale, []
    for _ in range(n_levels - 1):
        shrink = tuple(map(_largest_prime, missing))
        step = max(shrink) if max(shrink) > 1 else 2
        pool = tuple(step if factor == 1 else 1 for factor in missing)
        expand = tuple(map(max, shrink, pool))
        levels.append(Level(missing, pool, expand))  # type: ignore[arg-type]
        missing = tuple(m // s for m, s in zip(missing, shrink, strict=True))  # type: ignore[assignment]
    if max(missing) > 1:
        raise ValueError(
            f"AnisoUNet: n_levels={n_levels} is too few for scale={scale}: every level but the "
            "last takes one prime factor off each axis; use more levels."
        )
    return (*levels, Level(missing, (1, 1, 1), (1, 1, 1)))


def _largest_prime(number: int) -> int:
    """Return the largest prime factor, 1 for 1."""
    largest, factor = 1, 2
    while number > 1:
        if number % factor:
            factor += 1
        else:
            largest, number = factor, number // factor
    return largest
