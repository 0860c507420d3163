"""Predict a volume patch by patch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.patches._cut import chunks, cut_patches
from sklearn_iqt.patches._grid import PatchGrid
from sklearn_iqt.patches._merge import PatchMerger
from sklearn_iqt.patches._sampling import foreground_index
from sklearn_iqt.patches._source import PatchSource
from sklearn_iqt.preprocessing import foreground_mask

__all__ = ["predict_volume", "rows_per_chunk"]

# Rows are cut, predicted and merged in runs of this many bytes. This is enough for efficient matrix
# products, and little compared with a volume.
CHUNK_BYTES = 2**26


def rows_per_chunk(grid: PatchGrid) -> int:
    """Return how many rows to cut, predict and merge at a time.

    Parameters
    ----------
    grid : PatchGrid
        Geometry of the volume.

    Returns
    -------
    int
        At least one.
    """
    row_bytes = np.dtype(np.float32).itemsize * (grid.n_voxels + grid.high.n_voxels)
    return max(CHUNK_BYTES // row_bytes, 1)


def predict_volume(
    volume: NDArray,
    mask: NDArray[np.bool_] | None,
    source: PatchSource,
    predict_rows: Callable[[NDArray], tuple[NDArray, NDArray | None]],
    *,
    return_std: bool,
    report_progress: Callable[[float], object],
) -> tuple[NDArray[np.float32], ...]:
    """Enhance a volume patch by patch and average the overlaps.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Low volume, in any unit.
    mask : ndarray of bool, shape (i, j, k), or None
        Foreground; by default :func:`sklearn_iqt.preprocessing.foreground_mask`.
    source : PatchSource
        Prepares the volume for cutting.
    predict_rows : callable
        Takes rows of input patches, and returns rows of output patches and their standard
        deviations, or None for zero.
    return_std : bool
        Whether to return the standard deviation of the overlapping predictions as well.
    report_progress : callable
        Takes the fraction of the patches that are done, from 0 to 1.

    Returns
    -------
    tuple of ndarray of float32, on the high grid
        The enhanced volume, and the standard deviation with ``return_std``, in the unit of
        ``volume``. Voxels that no foreground patch covers hold the interpolation.
    """
    inputs, baseline, unit = source.scaled(volume, mask)
    patcher = source.patcher
    grid = patcher.grid(inputs.shape)
    foreground = foreground_mask(inputs) if mask is None else source.mask_on_inputs(mask)
    index = foreground_index(grid, foreground, patcher.background)
    del foreground
    merger = PatchMerger(
        grid, patcher.window, fill=baseline, overwrite_fill=True, return_std=return_std
    )
    done = 0
    for part in chunks(index, rows_per_chunk(grid)):
        rows, std = predict_rows(cut_patches(inputs, grid, part))
        merger.add(rows, part, std)
        done += len(part)
        report_progress(done / len(index))
    outputs = merger.finalize() if return_std else (merger.finalize(),)
    for output in outputs:
        output *= np.float32(unit)
    return outputs
