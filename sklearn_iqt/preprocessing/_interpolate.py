"""Interpolate onto a grid that is finer by an integer factor, one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage

from sklearn_iqt._axes import check_alignment, per_axis

__all__ = ["axis_matrix", "interpolation_matrix", "upsample"]


@lru_cache(maxsize=256)
def interpolation_matrix(
    n_voxels: int, scale: int, order: int = 3, alignment: str = "center"
) -> np.ndarray:
    """Return the matrix that interpolates one axis onto a finer grid.

    Spline interpolation on a regular grid is linear and separable, so that one small matrix for
    each axis describes it completely. The baseline applies it to volumes, methods on patches apply
    it to rows, and nets apply it to feature maps, all with the same result.

    Parameters
    ----------
    n_voxels : int
        Voxels along the axis before interpolation.
    scale : int
        Number of new voxels for each old one.
    order : int, in [0, 5], default=3
        Spline order; 3 is cubic.
    alignment : {"center", "corner"}, default="center"
        Whether new voxel h lies at old coordinate (h + 0.5) / scale - 0.5 ("center") or h / scale
        ("corner").

    Returns
    -------
    ndarray of shape (n_voxels * scale, n_voxels), float64, read-only
        Rows sum to one. Beyond the first and last voxel centre the edge value is repeated.

    Examples
    --------
    >>> interpolation_matrix(2, 2, order=1)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    check_alignment(alignment, "interpolation_matrix")
    shift = 0.5 / scale - 0.5 if alignment == "center" else 0.0
    coordinates = np.clip(np.arange(n_voxels * scale) / scale + shift, 0, n_voxels - 1)
    matrix = axis_matrix(n_voxels, coordinates, order)
    matrix.flags.writeable = False
    return matrix


def axis_matrix(n_voxels: int, coordinates: np.ndarray, order: int) -> np.ndarray:
    """Return the matrix that interpolates one axis at given places.

    Parameters
    ----------
    n_voxels : int
        Voxels along the axis.
    coordinates : ndarray of shape (n,)
        Places in voxels, from 0 to ``n_voxels - 1``.
    order : int, in [0, 5]
        Spline order.

    Returns
    -------
    ndarray of shape (n, n_voxels), float64
        Rows sum to one.
    """
    matrix = np.empty((len(coordinates), n_voxels))
    for column, impulse in enumerate(np.eye(n_voxels)):
        matrix[:, column] = ndimage.map_coordinates(
            impulse, coordinates[None], order=order, mode="mirror"
        )
    return matrix


def upsample(
    volume: np.ndarray,
    scale: int | Sequence[int],
    *,
    order: int = 3,
    alignment: str = "center",
) -> np.ndarray:
    """Interpolate a volume onto a grid that is ``scale`` times finer.

    Parameters
    ----------
    volume : ndarray of shape (..., i, j, k)
        Low-resolution volume, or a stack of volumes or patches.
    scale : int or sequence of 3 ints
        New voxels for each old one, along each axis.
    order : int, in [0, 5], default=3
        Spline order; 3 is cubic.
    alignment : {"center", "corner"}, default="center"
        With "center", the centre of an old voxel is the centre of the block of new voxels that it
        covers. With "corner", old voxel j has the position of new voxel ``scale * j``. A wrong
        alignment shifts the result by (scale - 1) / 2 new voxels.

    Returns
    -------
    ndarray of shape (..., i * scale_i, j * scale_j, k * scale_k)
        Same dtype as a floating ``volume``, float32 otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.arange(4.0).reshape(1, 1, 4)
    >>> upsample(ramp, (1, 1, 2), order=1).ravel()
    array([0.  , 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.  ])
    """
    volume = np.asarray(volume)
    if volume.dtype not in (np.float32, np.float64):
        volume = volume.astype(np.float32)
    for axis, factor in zip((-3, -2, -1), per_axis(scale, "scale", "upsample"), strict=True):
        if factor > 1:
            matrix = interpolation_matrix(volume.shape[axis], factor, order, alignment)
            product = np.tensordot(volume, matrix.astype(volume.dtype), axes=(axis, 1))
            volume = np.moveaxis(product, -1, axis)
    return np.ascontiguousarray(volume)
