"""Signs that a mixture of three Gaussians did not find fluid, grey and white matter."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.preprocessing._standardize import Scan

__all__ = ["find_fault", "relative_depth"]

# Darkest voxel of the estimated foreground, relative to grey matter.
_DARKEST_FOREGROUND = 0.6
# Width of the brightest class relative to grey matter: at most 0.23 in T1-weighted brains.
_WIDEST = 0.27
# How far the brightest class is from the surface, relative to the class in the middle.
_LEAST_DEPTH = 1.06
# Distances are measured in about this many voxels.
_SAMPLE = 500_000


def find_fault(scan: Scan, means: NDArray[np.floating], widths: NDArray[np.floating]) -> str | None:
    """Return why the means cannot belong to a T1-weighted brain, or None if they can.

    Parameters
    ----------
    scan : Scan
        The volume and its foreground.
    means, widths : ndarray of shape (3,)
        Means and standard deviations of the classes, from the darkest to the brightest.

    Returns
    -------
    str or None
        The reason and what to do, worded to follow "because".
    """
    _, grey, white = means
    if not scan.masked and scan.foreground.min() > _DARKEST_FOREGROUND * grey:
        return (
            "there is little or no air around the brain, so that the estimated foreground leaves "
            "out darker parts of the brain. Pass a mask of the brain, or crop less."
        )
    if widths[2] > _WIDEST * grey:
        return (
            "the brightest class is wider than white matter. This happens in scans with a skull, "
            "and in scans that are not T1-weighted. Pass a mask of the brain of a T1-weighted scan."
        )
    if relative_depth(scan, means, widths) < _LEAST_DEPTH:
        return (
            f"voxels of about {white:.4g} are closer to the surface than voxels of about "
            f"{grey:.4g}, but white matter is inside grey matter. Check that the scan is "
            "T1-weighted, and that the mask is the whole brain."
        )
    return None


def relative_depth(
    scan: Scan,
    means: NDArray[np.floating],
    widths: NDArray[np.floating],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> float:
    """Return how deep in the brain the brightest class is, relative to the middle class.

    Parameters
    ----------
    scan : Scan
        The volume and its foreground.
    means, widths : ndarray of shape (3,)
        Means and standard deviations of the classes, from the darkest to the brightest.
    spacing : sequence of 3 floats, default=(1.0, 1.0, 1.0)
        Voxel size.

    Returns
    -------
    float
        Ratio of the mean distances from the surface. It is 1.2 or more in T1-weighted brains, whose
        white matter is inside grey matter, and about 1 in T2-weighted and FLAIR brains. It is 0 if
        a class is empty.
    """
    step = ceil((scan.volume.size / _SAMPLE) ** (1 / 3))
    grid = (slice(None, None, step),) * 3
    volume = scan.volume[grid]
    inside = ndimage.binary_fill_holes(scan.inside[grid])
    padded = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    depth = padded[1:-1, 1:-1, 1:-1]
    # Halfway between two means, in units of their standard deviations.
    darker, brighter = (means[:2] * widths[1:] + means[1:] * widths[:2]) / (widths[1:] + widths[:2])
    white = inside & (volume > brighter)
    grey = inside & (volume > darker) & (volume <= brighter)
    if not (white.any() and grey.any()):
        return 0.0
    return float(depth[white].mean() / depth[grey].mean())
