"""Foreground of the two volumes of a pair, on both grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.preprocessing import foreground_mask


def block_mean(volume: NDArray, scale: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean of the high voxels of each low voxel."""
    split = [part for n, s in zip(volume.shape, scale, strict=True) for part in (n // s, s)]
    return volume.reshape(split).mean(axis=(1, 3, 5), dtype=np.float64)


def to_blocks(mask: NDArray[np.bool_], scale: Sequence[int]) -> NDArray[np.bool_]:
    """Return a mask of low voxels on the high grid."""
    return np.kron(mask, np.ones(scale, dtype=bool))


def overlap(low: NDArray, high: NDArray, covered: NDArray[np.bool_]) -> tuple[float, float]:
    """Return how well two volumes on the low grid fit on each other.

    Parameters
    ----------
    low, high : ndarray of shape (i, j, k)
        The two volumes.
    covered : ndarray of bool, shape (i, j, k)
        Field of view of the high volume.

    Returns
    -------
    coverage : float
        Part of the foreground of the low volume that lies in the field of view of the high one.
    agreement : float
        Part of the smaller foreground that lies in the other one.
    """
    ours, theirs = _bright(low), _bright(high)
    coverage = float((ours & covered).sum() / ours.sum())
    return coverage, float((ours & theirs).sum() / min(ours.sum(), theirs.sum()))


def zero_foreground(volume: NDArray) -> NDArray[np.bool_]:
    """Return the voxels that are not 0, with the holes between them."""
    return ndimage.binary_fill_holes(volume != 0)


def crop_box(mask: NDArray[np.bool_], margin: Sequence[int]) -> tuple[slice, slice, slice]:
    """Return the smallest box around a mask, grown by a margin in voxels and cut at the rim."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, part.start - m), min(n, part.stop + m))
        for part, m, n in zip(box, margin, mask.shape, strict=True)
    )  # type: ignore[return-value]


def _bright(volume: NDArray) -> NDArray[np.bool_]:
    return foreground_mask(volume)
