"""Cut volumes into rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.patches._grid import PatchGrid, pad_to

__all__ = ["chunks", "cut_patches"]


def cut_patches(volume: np.ndarray, grid: PatchGrid, index: Any = None) -> np.ndarray:
    """Copy patches out of a volume, one to a row.

    Parameters
    ----------
    volume : ndarray of shape ``grid.shape``
        Not modified.
    grid : PatchGrid
        Geometry; for the high volume of a pair pass ``grid.high``.
    index : int array-like of shape (n,), default=None
        Numbers of the patches; all of them by default.

    Returns
    -------
    ndarray of shape (n, ``grid.n_voxels``)
        Voxels of each patch in C order, dtype of ``volume``.

    Raises
    ------
    GeometryMismatchError
        If the volume does not have the shape of the grid.

    Examples
    --------
    >>> import numpy as np
    >>> grid = PatchGrid((4, 4, 4), patch_size=2, stride=2)
    >>> cut_patches(np.arange(64).reshape(4, 4, 4), grid, [7])
    array([[42, 43, 46, 47, 58, 59, 62, 63]])
    """
    if volume.shape != grid.shape:
        raise GeometryMismatchError(
            f"cut_patches: the volume has shape {volume.shape}, but the grid has shape "
            f"{grid.shape}. Pass the grid of this volume."
        )
    volume, positions = pad_to(volume, grid.padded_shape), grid.positions(index)
    if volume.strides[-1] != volume.itemsize or volume.dtype.hasobject:
        view = sliding_window_view(volume, grid.patch_size)
        return view[tuple(positions.T)].reshape(-1, grid.n_voxels)
    rows = np.empty((len(positions), grid.n_voxels), volume.dtype)
    # The voxels of a patch along k are one item, which compiled code copies in a few instructions.
    # The code is compiled once for each length of such a line, which takes at most about a second,
    # and is cached on disk.
    line = np.dtype([("voxels", np.uint8, (grid.patch_size[2] * volume.itemsize,))])
    lines = sliding_window_view(volume, grid.patch_size[2], axis=2).view(line)[..., 0]
    _copy_lines(lines, positions, rows.view(line).reshape(-1, *grid.patch_size[:2]))
    return rows


def chunks(index: np.ndarray, n_rows: int) -> Iterator[np.ndarray]:
    """Split patch numbers into runs of at most ``n_rows``.

    Parameters
    ----------
    index : ndarray of shape (n,)
        Patch numbers.
    n_rows : int
        Length of a run.

    Yields
    ------
    ndarray
        Consecutive parts of ``index``.
    """
    for start in range(0, len(index), n_rows):
        yield index[start : start + n_rows]


@njit(cache=True, nogil=True)
def _copy_lines(lines, positions, rows):
    for n in range(len(rows)):
        i, j, k = positions[n]
        for a in range(rows.shape[1]):
            for b in range(rows.shape[2]):
                rows[n, a, b] = lines[i + a, j + b, k]
