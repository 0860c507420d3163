"""The robust intensity scale by which a pair of volumes is divided."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["foreground_mask", "intensity_scale"]


def intensity_scale(
    volume: np.ndarray, mask: np.ndarray | None = None, percentile: float = 99.5
) -> float:
    """Return the intensity that counts as one in a volume.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Low-field volume, in any unit.
    mask : ndarray of bool, shape (i, j, k), default=None
        Voxels to look at; by default those not below the mean of the volume, so that the size of
        the background has no say.
    percentile : float, in (0, 100], default=99.5
        Percentile of the foreground intensities.

    Returns
    -------
    float
        Positive; the percentile, so that scaled tissue lies in about [0, 1].

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
    foreground = volume[volume >= volume.mean()] if mask is None else volume[mask]
    if mask is None and not foreground.size:
        foreground = volume  # constant, and its mean is rounded up
    scale = float(np.percentile(foreground, percentile)) if foreground.size else 0.0
    if not scale > 0:
        raise ValueError(
            f"intensity_scale: no positive intensity to scale by in a volume with range "
            f"[{volume.min():g}, {volume.max():g}]; an all-background volume cannot be enhanced."
        )
    return scale


def foreground_mask(volume: np.ndarray) -> np.ndarray:
    """Return the voxels that are not background, by the rule of the IQT patch library.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Any volume whose background is darker than its mean.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        Voxels at or above the mean intensity, and the holes between them (ventricles).

    Notes
    -----
    Threshold at the mean of the high-quality volume: Lin et al., Medical Image Analysis 87
    (2023) 102807. The holes are filled here so that fluid inside the brain is not left out.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.zeros((5, 5, 5))
    >>> volume[1:4, 1:4, 1:4] = 1.0
    >>> volume[2, 2, 2] = 0.0
    >>> int(foreground_mask(volume).sum())
    27
    """
    return ndimage.binary_fill_holes(volume >= volume.mean())
