"""Draw paired training patches from volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.patches._grid import PatchGrid
from sklearn_iqt.preprocessing import foreground_mask

__all__ = ["foreground_index", "join_rows", "sample_index", "share"]


def share(total: int | None, n_volumes: int) -> list[int | None]:
    """Divide a number of patches as evenly as possible among volumes.

    Parameters
    ----------
    total : int or None
        Number of patches; None for no limit.
    n_volumes : int
        Number of volumes.

    Returns
    -------
    list of int or None
        Patches for each volume, which add up to ``total``; None for each if there is no limit.

    Examples
    --------
    >>> share(10, 4)
    [2, 3, 2, 3]
    """
    if total is None:
        return [None] * n_volumes
    if total < n_volumes:
        raise ValueError(
            f"max_patches={total} leaves some of the {n_volumes} volumes without a patch. Raise it "
            "or pass fewer volumes."
        )
    return np.diff(np.linspace(0, total, n_volumes + 1).astype(int)).tolist()


def foreground_index(grid: PatchGrid, mask: np.ndarray, background: float) -> np.ndarray:
    """Return the patches that are not mostly background.

    Parameters
    ----------
    grid : PatchGrid
        Geometry of the patches.
    mask : ndarray of bool, shape ``grid.shape``
        Foreground.
    background : float, in [0, 1]
        Patches with a larger fraction of background are left out.

    Returns
    -------
    ndarray of int, ascending
        Numbers of the patches on the grid.

    Raises
    ------
    GeometryMismatchError
        If the mask does not have the shape of the grid.
    """
    if mask.shape != grid.shape:
        raise GeometryMismatchError(
            f"foreground_index: the mask has shape {mask.shape}, but the grid has shape "
            f"{grid.shape}. Pass a mask on this grid."
        )
    return np.flatnonzero(1 - grid.fraction(mask) <= background)


def sample_index(
    grid: PatchGrid,
    high: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    n_patches: int | None,
    background: float,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Draw patches that are not mostly background.

    Parameters
    ----------
    grid : PatchGrid
        Geometry of the pair.
    high : ndarray of shape ``grid.high.shape``
        High volume.
    mask : ndarray of bool, shape ``grid.shape``, default=None
        Foreground; by default :func:`sklearn_iqt.preprocessing.foreground_mask` of ``high``.
    n_patches : int or None
        Largest number of patches to draw; None for all.
    background : float, in [0, 1]
        Patches with a larger fraction of background are left out.
    random_state : RandomState
        Source of randomness.

    Returns
    -------
    ndarray of int, ascending
        Numbers of the patches on the grid.
    """
    if mask is None:
        mask_grid, mask = grid.high, foreground_mask(high)
    else:
        mask_grid = grid
    index = foreground_index(mask_grid, mask, background)
    if n_patches is not None and len(index) > n_patches:
        index = np.sort(random_state.choice(index, n_patches, replace=False))
    return index


def join_rows(
    rows: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the paired rows of all volumes.

    Parameters
    ----------
    rows : sequence of (low_rows, high_rows)
        Paired rows of each volume.

    Returns
    -------
    low_rows, high_rows : ndarray of shape (n_rows, voxels of a patch)
        All rows, volume after volume.
    groups : ndarray of int, shape (n_rows,)
        Position of the volume that each row comes from.

    Examples
    --------
    >>> rows = [(np.zeros((2, 3)), np.ones((2, 12))), (np.zeros((1, 3)), np.ones((1, 12)))]
    >>> [part.shape for part in join_rows(rows)]
    [(3, 3), (3, 12), (3,)]
    """
    groups = np.repeat(np.arange(len(rows)), [len(low_rows) for low_rows, _ in rows])
    low_rows, high_rows = map(np.concatenate, zip(*rows, strict=True))
    return low_rows, high_rows, groups
