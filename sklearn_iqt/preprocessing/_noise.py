"""Estimates of the standard deviation of the noise of a scan.

``noise_level`` always returns a number, which fine anatomy makes too large. ``background_noise``
and ``tissue_noise`` see no anatomy, and return None where there are too few voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.preprocessing._foreground import foreground_mask

__all__ = ["background_noise", "noise_level", "tissue_noise"]

# Standard deviation of a normal distribution relative to its median absolute value.
_OF_MEDIAN = 1.4826
# Median of a Rayleigh distribution of unit width.
_RAYLEIGH = math.sqrt(2 * math.log(2))
# Smallest number of voxels from which noise is estimated.
_MIN_VOXELS = 200
# Number of voxels around the foreground that are not used as background.
_MARGIN = 3


def noise_level(
    volume: NDArray, mask: NDArray[np.bool_] | None = None, *, axes: Sequence[int] = (0, 1)
) -> float:
    """Return the standard deviation of the noise in the foreground of a volume.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Volume with noise that is not correlated between neighbouring voxels.
    mask : ndarray of bool, shape (i, j, k), default=None
        Foreground. By default it is estimated.
    axes : sequence of int, default=(0, 1)
        Axes along which voxels are small. Differences along these axes contain little anatomy.

    Returns
    -------
    float
        The standard deviation, in the unit of the volume. Fine anatomy makes it too large.

    Notes
    -----
    As by Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64
    (1996), the noise is what remains after second differences along each axis. Its median absolute
    value is used, because edges hardly change it.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.random.default_rng(0).normal(100, 5, (40, 40, 4))
    >>> round(noise_level(volume, volume > 0))
    5
    """
    residual = volume.astype(np.float32)
    for axis in axes:
        residual = ndimage.correlate1d(residual, [1.0, -2.0, 1.0], axis, mode="nearest")
    inside = foreground_mask(volume) if mask is None else mask
    # The edge of a brain without a skull is not noise.
    near = np.ones([3 if axis in axes else 1 for axis in range(3)])
    inner = ndimage.binary_erosion(inside, near)
    inside = inner if inner.any() else inside
    gain = np.sqrt(6.0) ** len(axes)
    return float(_OF_MEDIAN * np.median(np.abs(residual[inside])) / gain)


def background_noise(volume: NDArray, foreground: NDArray[np.bool_]) -> float | None:
    """Return the standard deviation of the noise in the background of a volume.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        A scan.
    foreground : ndarray of bool, shape (i, j, k)
        Its foreground. The three voxels around it are not used.

    Returns
    -------
    float or None
        The standard deviation, in the unit of the volume. None if most of the background is zero,
        or if it is too small.

    Notes
    -----
    The magnitudes of complex noise have a Rayleigh distribution, which is assumed if no voxel is
    negative.

    Examples
    --------
    >>> import numpy as np
    >>> real, imaginary = np.random.default_rng(0).normal(0, 5, (2, 40, 40, 4))
    >>> round(background_noise(np.hypot(real, imaginary), np.zeros((40, 40, 4), bool)))
    5
    """
    background = volume[~ndimage.binary_dilation(foreground, iterations=_MARGIN)]
    if background.size < _MIN_VOXELS or np.mean(background == 0) > 0.5:
        return None
    median = float(np.median(background))
    if background.min() >= 0:
        return median / _RAYLEIGH
    return _OF_MEDIAN * float(np.median(np.abs(background - median)))


def tissue_noise(
    volume: NDArray, tissue: NDArray[np.bool_], spacing: Sequence[float]
) -> float | None:
    """Return the standard deviation of the noise deep inside a tissue.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        A scan.
    tissue : ndarray of bool, shape (i, j, k)
        Voxels of one tissue.
    spacing : sequence of 3 floats
        Lengths of a voxel. The plane of the two shortest is the plane of the slices.

    Returns
    -------
    float or None
        The standard deviation, in the unit of the volume, from mixed differences of 2 x 2 voxels in
        plane. None if there are too few such voxels.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.random.default_rng(0).normal(100, 5, (40, 40, 4))
    >>> round(tissue_noise(volume, volume > 0, (1, 1, 4)))
    5
    """
    first, second = sorted(np.argsort(spacing, kind="stable")[:2])
    plane = np.zeros((3, 3, 3), bool)
    plane[tuple(slice(None) if axis in (first, second) else 1 for axis in range(3))] = True
    deep = ndimage.binary_erosion(tissue, plane)
    # All four voxels [0, 0], [1, 0], [0, 1] and [1, 1] of a square must be deep.
    inside = deep
    for axis in (first, second):
        ends = [np.take(inside, range(s, inside.shape[axis] - 1 + s), axis) for s in (0, 1)]
        inside = ends[0] & ends[1]
    mixed = np.diff(np.diff(volume, axis=first), axis=second)[inside] / 2
    if mixed.size < _MIN_VOXELS:
        return None
    return _OF_MEDIAN * float(np.median(np.abs(mixed)))
