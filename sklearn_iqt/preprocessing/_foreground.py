"""Estimate of the foreground of a volume."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["foreground_mask"]

# Share of the voxels at either end that cannot move the threshold.
_OUTLIERS = 0.001
# A threshold is found from about this many voxels, which is enough for a mean and a median.
_SAMPLE = 1_000_000


def foreground_mask(
    volume: NDArray, *, threshold: str = "mean", fill_holes: bool = True
) -> NDArray[np.bool_]:
    """Return the voxels that are not background.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Volume with a dark background.
    threshold : {"mean", "zero"}, default="mean"
        ``"mean"`` selects the voxels at or above the mean, which does not need skull stripping. The
        brightest voxels are clipped first, so that vessels and damaged voxels do not raise it.
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
    The threshold at the mean is from Lin et al., Medical Image Analysis 87 (2023) 102807, who
    neither clip intensities nor fill holes. Intensities are clipped at twice the median of a first
    foreground, measured from the darkest voxels. In large volumes, the mean is
    computed from a regular grid of voxels.

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
    inside = volume > 0 if threshold == "zero" else volume >= _clipped_mean(volume)
    return ndimage.binary_fill_holes(inside) if fill_holes else inside


def _clipped_mean(volume: NDArray) -> float:
    """Return the mean of a volume, without the effect of its few darkest and brightest voxels."""
    step = ceil((volume.size / _SAMPLE) ** (1 / 3))
    sample = volume[::step, ::step, ::step].ravel()
    bottom = _order_statistic(sample, ceil(_OUTLIERS * (sample.size - 1)))
    # A share of the voxels above the background, of which there may be few.
    above = sample[sample > bottom]
    if not above.size:
        return bottom
    top = _order_statistic(above, int((1 - _OUTLIERS) * (above.size - 1)))
    sample = np.clip(sample, bottom, top)
    tissue = np.median(sample[sample >= _mean(sample)])
    return _mean(np.minimum(sample, 2 * tissue - bottom))


def _order_statistic(values: NDArray, rank: int) -> float:
    return float(np.partition(values, rank)[rank])


def _mean(values: NDArray) -> float:
    # The mean of equal numbers may be rounded to a larger number.
    return min(float(values.mean(dtype=np.float64)), float(values.max()))
