"""From the voxels of a mask that a user passes to a foreground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mask_foreground"]


def mask_foreground(voxels: NDArray, name: str) -> NDArray[np.bool_]:
    """Return where a mask is above zero, or refuse a mask of another kind.

    Parameters
    ----------
    voxels : ndarray of shape (i, j, k)
        Finite voxels of a mask, a label map or a volume that is zero in the background.
    name : str
        Name of the mask in error messages.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        The foreground, which is not empty.

    Raises
    ------
    ValueError
        If no voxel is above zero, or some are below. Negative voxels come from noise, or from
        a spline that was used for resampling. Then small positive ones are everywhere, too.

    Examples
    --------
    >>> mask_foreground(np.array([[[0, 1, 3]]]), "mask")
    array([[[False,  True,  True]]])
    """
    n_negative = int(np.count_nonzero(voxels < 0))
    if n_negative:
        raise ValueError(
            f"{name} has {n_negative} voxels below zero, so that voxels above zero are not its "
            "foreground. If it was resampled by a spline, resample it with the nearest neighbour "
            "(order=0). Otherwise pass a mask of zeros and ones."
        )
    foreground = voxels > 0
    if not foreground.any():
        raise ValueError(f"{name} is empty. Pass a mask with voxels above zero.")
    return foreground
