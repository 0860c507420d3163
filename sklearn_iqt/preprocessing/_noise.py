"""Estimate of the standard deviation of the noise of a scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.preprocessing._foreground import foreground_mask

__all__ = ["noise_level"]

# Standard deviation of a normal distribution relative to its median absolute value.
_OF_MEDIAN = 1.4826


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
