"""Which voxels of a volume are foreground."""

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
        ``"mean"`` takes the voxels at or above the mean, which needs no skull stripping.
        ``"zero"`` takes the voxels above zero, which is right for volumes that are exactly zero
        outside of the brain, and keeps their dark fluid.
    fill_holes : bool, default=True
        Whether to add the holes between these voxels. Patches need them, because ventricles are
        part of the brain. Statistics of intensities leave them out, because they are dark.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        The foreground. All voxels of a constant volume, at the threshold ``"mean"``.

    Notes
    -----
    Threshold at the mean: Lin et al., Medical Image Analysis 87 (2023) 102807. They do not fill
    holes.

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
        # The mean of equal numbers may round to above them.
        inside = volume >= min(volume.mean(dtype=np.float64), volume.max())
    return ndimage.binary_fill_holes(inside) if fill_holes else inside
