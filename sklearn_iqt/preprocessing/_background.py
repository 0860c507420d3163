"""Recognise volumes that are exactly zero in the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dark_voxels", "has_zero_background"]

# The background is exactly 0 if this part of the dark voxels is. Dark is what is below a part of a
# high percentile.
_ZEROS_OF_DARK, _DARK, _BRIGHT_PERCENTILE = 0.9, 0.05, 99.5


def has_zero_background(volume: NDArray) -> bool:
    """Return whether a volume is exactly 0 outside of the head or the brain.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        A scan.

    Returns
    -------
    bool
        False if the background holds noise, or the rings that a spline leaves around a brain, and
        for a volume without a background.

    Examples
    --------
    >>> import numpy as np
    >>> brain = np.zeros((8, 8, 8))
    >>> brain[2:-2, 2:-2, 2:-2] = 100.0
    >>> has_zero_background(brain), has_zero_background(brain + 0.01)
    (True, False)
    """
    dark, zero = dark_voxels(volume), volume == 0
    return bool(zero.any() and (zero & dark).sum() >= _ZEROS_OF_DARK * dark.sum())


def dark_voxels(volume: NDArray) -> NDArray[np.bool_]:
    """Return the voxels that are as dark as a background, which noise or rings may fill.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        A scan.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        Voxels up to 5 % of the 99.5th percentile.

    Examples
    --------
    >>> dark_voxels(np.array([[[-1.0, 0.0, 1.0, 50.0, 100.0]]]))
    array([[[ True,  True,  True, False, False]]])
    """
    return volume <= _DARK * np.percentile(volume, _BRIGHT_PERCENTILE)
