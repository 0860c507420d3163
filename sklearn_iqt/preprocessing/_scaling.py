"""Robust intensity scale of a volume, by which a pair of volumes is divided."""

from __future__ import annotations

import numpy as np

from sklearn_iqt.preprocessing._foreground import foreground_mask

__all__ = ["intensity_scale"]


def intensity_scale(
    volume: np.ndarray, mask: np.ndarray | None = None, percentile: float = 99.5
) -> float:
    """Return the intensity by which a volume is divided, so that tissue is close to [0, 1].

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Low-field volume, in any unit.
    mask : ndarray of bool, shape (i, j, k), default=None
        Foreground. By default the voxels at or above the mean of the volume, so that the size of
        the background has little effect.
    percentile : float, in (0, 100], default=99.5
        Percentile of the foreground intensities.

    Returns
    -------
    float
        The percentile, which is positive.

    Raises
    ------
    ValueError
        If the percentile is not positive, as in an empty or constant-zero volume.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.zeros((4, 4, 4))
    >>> volume[1:3, 1:3, 1:3] = 250.0
    >>> intensity_scale(volume)
    250.0
    """
    inside = foreground_mask(volume, fill_holes=False) if mask is None else mask
    foreground = volume[inside]
    scale = float(np.percentile(foreground, percentile)) if foreground.size else 0.0
    if not scale > 0:
        raise ValueError(
            f"intensity_scale: there is no positive intensity to scale by in a volume with range "
            f"[{volume.min():g}, {volume.max():g}]. Check for a volume or mask without foreground."
        )
    return scale
