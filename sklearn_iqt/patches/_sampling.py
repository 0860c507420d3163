"""Drawing paired training patches from one pair of volumes."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.patches._cut import cut_patches
from sklearn_iqt.patches._grid import PatchGrid
from sklearn_iqt.preprocessing import foreground_mask

__all__ = ["foreground_index", "sample_index", "sample_pair", "share"]


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
        Patches for each volume, which add up to ``total``; None for each where there is no limit.

    Examples
    --------
    >>> share(10, 4)
    [2, 3, 2, 3]
    """
    if total is None:
        return [None] * n_volumes
    if total < n_volumes:
        raise ValueError(
            f"max_patches={total} leaves some of the {n_volumes} volumes without a patch; raise it "
            "or give fewer volumes."
        )
    return np.diff(np.linspace(0, total, n_volumes + 1).astype(int)).tolist()


def foreground_index(
    grid: PatchGrid, mask: np.ndarray, background: float, *, caller: str
) -> np.ndarray:
    """Return the patches that are not mostly background.

    Parameters
    ----------
    grid : PatchGrid
        Geometry of the patches.
    mask : ndarray of bool, shape ``grid.shape``
        Foreground.
    background : float, in [0, 1]
        Patches with a larger fraction of background are left out.
    caller : str
        Used in the message.

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
            f"{caller}: a mask has shape {mask.shape}, its volume {grid.shape}."
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
        How many to draw at most; None for all.
    background : float, in [0, 1]
        Patches with a larger fraction of background are left out.
    random_state : RandomState
        Source of the draw.

    Returns
    -------
    ndarray of int, ascending
        Numbers of the patches on the grid.
    """
    if mask is None:
        mask_grid, mask = grid.high, foreground_mask(high)
    else:
        mask_grid = grid
    index = foreground_index(mask_grid, mask, background, caller="sample_index")
    if n_patches is not None and len(index) > n_patches:
        index = np.sort(random_state.choice(index, n_patches, replace=False))
    return index


def sample_pair(
    low: np.ndarray, high: np.ndarray, grid: PatchGrid, **drawing: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same random patches out of both volumes of a pair.

    Parameters
    ----------
    low, high : ndarray
        Volumes of shape ``grid.shape`` and ``grid.high.shape``.
    grid : PatchGrid
        Geometry of the pair.
    **drawing : dict
        See :func:`sample_index`.

    Returns
    -------
    low_rows, high_rows : ndarray of shape (n, voxels of a patch)
        Paired rows, in the order of the grid.
    """
    index = sample_index(grid, high, **drawing)
    return cut_patches(low, grid, index), cut_patches(high, grid.high, index)
