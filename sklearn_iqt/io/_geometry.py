"""Check affines, and compute the affine of a finer or coarser grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt._axes import check_alignment

# Below this ratio of the smallest to the largest singular value, an affine read from 32-bit
# header fields cannot be distinguished from a singular one.
_SINGULAR = 1e-5
# No scan has sizes or positions (mm) beyond these limits, which would overflow in later arithmetic.
_SMALLEST, _LARGEST = 1e-9, 1e9


def affine_fault(affine: NDArray[np.float64]) -> str | None:
    """Return the fault of an affine, or None if it maps voxels to mm one to one."""
    if affine.shape != (4, 4):
        return f"has shape {affine.shape}, not (4, 4)"
    if not np.isfinite(affine).all():
        return "holds NaN or infinite values"
    if not np.allclose(affine[3], (0, 0, 0, 1), rtol=0, atol=1e-6):
        return f"has the last row {affine[3].tolist()}, not [0, 0, 0, 1]"
    singular_values = np.linalg.svd(affine[:3, :3], compute_uv=False)
    if singular_values[2] <= _SINGULAR * singular_values[0]:
        return "is singular, so that it maps different voxels to the same place"
    if singular_values[2] < _SMALLEST or np.abs(affine).max() > _LARGEST:
        return f"has entries that are too small or too large for a scan: {affine[:3].tolist()}"
    return None


def check_affine(affine: ArrayLike, name: str = "affine") -> NDArray[np.float64]:
    """Return `affine` as a finite invertible float64 (4, 4) array or raise ValueError."""
    matrix = np.array(affine, dtype=np.float64)
    fault = affine_fault(matrix)
    if fault is not None:
        raise ValueError(f"{name} {fault}. Pass a finite, invertible 4 x 4 voxel-to-mm matrix.")
    return matrix


def check_zoom(zoom: ArrayLike, caller: str) -> NDArray[np.float64]:
    """Return `zoom` as three positive finite floats or raise ValueError."""
    factors = np.asarray(zoom, dtype=np.float64)
    if factors.ndim == 0:
        factors = np.repeat(factors, 3)
    if factors.shape != (3,) or not np.isfinite(factors).all() or (factors <= 0).any():
        raise ValueError(
            f"{caller}: zoom must be one or three positive finite numbers, got {zoom!r}."
        )
    return factors


def scaled_affine(
    affine: ArrayLike, zoom: ArrayLike, alignment: str = "center"
) -> NDArray[np.float64]:
    """Return the affine of the grid with `zoom` times as many voxels along each axis.

    Parameters
    ----------
    affine : array-like of shape (4, 4)
        Voxel-to-mm matrix of the given grid.
    zoom : float or sequence of three floats
        How many times smaller the new voxels are along each axis. Pass ``1 / scale`` to get the low
        grid from a high grid.
    alignment : {"center", "corner"}, default="center"
        With "center" the two grids cover the same field of view. With "corner" the first voxels
        of the two grids share their centre, as in the simulator of Lin et al.

    Returns
    -------
    ndarray of shape (4, 4)
        Voxel-to-mm matrix of the new grid, float64.

    Raises
    ------
    ValueError
        If the affine is not finite and invertible, a zoom is not positive and finite, or the
        alignment is unknown.

    Notes
    -----
    Voxel ``h`` of the new grid lies at voxel coordinate ``(h + 0.5) / zoom - 0.5`` of the given
    grid ("center") or at ``h / zoom`` ("corner").

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import scaled_affine
    >>> scaled_affine(np.diag([1.0, 1.0, 4.0, 1.0]), zoom=(1, 1, 4))
    array([[ 1. ,  0. ,  0. ,  0. ],
           [ 0. ,  1. ,  0. ,  0. ],
           [ 0. ,  0. ,  1. , -1.5],
           [ 0. ,  0. ,  0. ,  1. ]])
    """
    matrix = check_affine(affine, "scaled_affine: affine")
    factors = check_zoom(zoom, "scaled_affine")
    check_alignment(alignment, "scaled_affine")
    step = np.diag([*(1.0 / factors), 1.0])
    if alignment == "center":
        step[:3, 3] = 0.5 / factors - 0.5
    return matrix @ step
