"""Estimate of the foreground of a volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["foreground_mask"]


def foreground_mask(
    volume: NDArray, *, threshold: str = "mean", fill_holes: bool = True
) -> NDArray[np.bool_]:
    """Return the voxels that are not background.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Volume with a dark background.
    threshold : {"mean", "zero"}, default="mean"
        ``"mean"`` selects the voxels at or above the mean, which does not need skull stripping.
        ``"zero"`` selects the voxels above zero. This is right for volumes that are exactly zero
        outside the brain, and includes their dark fluid.
    fill_holes : bool, default=True
        Whether to add the holes between these voxels. Fill them to select patches, because
        ventricles are part of the brain. Leave them out of statistics of intensities, because they
        are dark.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        The foreground. With the threshold ``"mean"`` it includes all voxels of a constant volume.

    Notes
    -----
    The threshold at the mean is from Lin et al., Medical Image Analysis 87 (2023) 102807, who do
    not fill holes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.preprocessing import foreground_mask
    >>> volume = np.zeros((5, 5, 5))
    >>> volume[1:4, 1:4, 1:4] = 1.0
    >>> volume[2, 2, 2] = 0.0
    >>> int(foreground_mask(volume).sum())
    27
    >>> int(foreground_mask(volume, fill_holes=False).sum())
    26
    """
    if threshold not in ("mean", "zero"):
        raise ValueError(f"foreground_mask: threshold must be 'mean' or 'zero', got {threshold!r}.")
    if threshold == "zero":
        inside = volume > 0
    else:
        # The mean of equal numbers may be rounded to a larger number.
        inside = volume >= min(volume.mean(dtype=np.float64), volume.max())
    return ndimage.binary_fill_holes(inside) if fill_holes else inside
