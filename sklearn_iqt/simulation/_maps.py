"""Read tissue maps, from arrays, images and label maps."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Grid, compare_grids, read_volume
from sklearn_iqt.simulation._degrade import FWHM_PER_SIGMA

# Soft maps from a 16-bit image or a spline may exceed 0 and 1 by this much.
_MAP_TOLERANCE = 1e-3
# Width of tissue borders in scans, see the notes of tissue_maps_from_labels.
BORDER_WIDTH = 1.5


def tissue_maps_from_labels(
    labels: Any, *, border_width: float = BORDER_WIDTH
) -> NDArray[np.float32]:
    """
    Return one map for each tissue from a label map of integers.

    Voxels at the border between two tissues contain some of both, as they do in a scan.

    Parameters
    ----------
    labels : array-like of shape (i, j, k), nibabel image or path
        Label map with 0 for background, 1 for CSF, 2 for GM and 3 for WM. A float array may hold
        these numbers as well.
    border_width : float, default=1.5
        Width of the border between tissues: full width at half maximum, in voxels, of the Gaussian
        that smooths the labels, at least 0. With 0, each voxel holds one tissue.

    Returns
    -------
    ndarray of shape (3, i, j, k), float32
        Fractions of CSF, GM and WM. They add up to 1 where there is a label, and are 0 elsewhere.

    Raises
    ------
    ValueError
        If the array is not 3-D or holds another value, or the width is not finite and at least 0.

    Notes
    -----
    The default was measured: a volume with one constant intensity for each tissue, mixed by these
    maps, is closest to real scans at a width of 1.5 voxels (3 T, voxels of 0.87 mm) and of 1.5 to
    1.75 voxels (1.5 T, 1 mm). :class:`LowFieldSimulator` multiplies a scan by such maps to change
    its contrast. Labels without partial volume put an edge into the result that is sharper than
    any edge of the scan.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import tissue_maps_from_labels
    >>> labels = np.array([[[0, 1, 1, 2, 2, 3, 3]]])
    >>> tissue_maps_from_labels(labels, border_width=0)[:, 0, 0]
    array([[0., 1., 1., 0., 0., 0., 0.],
           [0., 0., 0., 1., 1., 0., 0.],
           [0., 0., 0., 0., 0., 1., 1.]], dtype=float32)
    >>> tissue_maps_from_labels(labels)[:, 0, 0].round(2)
    array([[0.  , 0.99, 0.81, 0.19, 0.  , 0.  , 0.  ],
           [0.  , 0.01, 0.19, 0.81, 0.81, 0.19, 0.  ],
           [0.  , 0.  , 0.  , 0.  , 0.19, 0.81, 1.  ]], dtype=float32)
    """
    array = labels
    if isinstance(labels, (str, PathLike, SpatialImage)):
        array, _ = read_volume(labels, name="labels", caller="tissue_maps_from_labels")
    array = np.asarray(array)
    if array.ndim != 3:
        raise ValueError(
            f"tissue_maps_from_labels: the label map must be 3-D, got shape {array.shape}."
        )
    if not 0 <= border_width < np.inf:
        raise ValueError(
            "tissue_maps_from_labels: border_width must be a finite number of voxels, at least 0, "
            f"got {border_width!r}."
        )
    maps = np.stack([array == label for label in (1, 2, 3)]).astype(np.float32)
    n_other = array.size - np.count_nonzero(maps) - np.count_nonzero(array == 0)
    if n_other:
        raise ValueError(
            f"tissue_maps_from_labels: {n_other} voxels have other labels than 0 (background), "
            "1 (CSF), 2 (GM) and 3 (WM). Change these labels, or pass soft maps of shape "
            "(3, i, j, k)."
        )
    if border_width > 0:
        inside = array > 0
        for tissue in maps:
            gaussian_filter(tissue, border_width / FWHM_PER_SIGMA, output=tissue, mode="nearest")
        maps /= np.where(inside, maps.sum(axis=0), 1)
        maps *= inside
    return maps


def read_maps(
    entry: Any,
    volume: NDArray[np.floating],
    affine: NDArray[np.floating] | None,
    mask: NDArray[np.bool_] | None,
    *,
    border_width: float,
    name: str,
    caller: str,
) -> NDArray[np.floating]:
    """
    Return the soft maps of one volume, checked against the volume and in its dtype.

    Parameters
    ----------
    entry : array-like, image or path
        Soft maps of shape (3, i, j, k) or a label map. An image or a path must hold a label map.
    volume : ndarray of shape (i, j, k)
        The volume that the maps belong to.
    affine : ndarray of shape (4, 4) or None
        Its voxel-to-mm matrix; None if it is not known and the place cannot be checked.
    mask : ndarray of bool, shape (i, j, k), or None
        Maps are 0 where it is False.
    border_width : float
        Width of the border between tissues of a label map, see :func:`tissue_maps_from_labels`.
    name : str
        Name of the maps in messages.
    caller : str
        Method that messages name.

    Returns
    -------
    ndarray of shape (3, i, j, k)
        Maps of CSF, GM and WM. They may share memory with the user's array, so do not write to
        them.

    Raises
    ------
    GeometryMismatchError
        If the maps are not on the grid of the volume.
    ValueError
        If a label is unknown or a soft map is not finite and within [0, 1].
    """
    map_affine = None
    if isinstance(entry, (str, PathLike, SpatialImage)):
        entry, map_affine = read_volume(entry, name=name, caller=caller)
    entry = np.asarray(entry)
    soft = entry.ndim == 4 and len(entry) == 3
    found = Grid(entry.shape[1:] if soft else entry.shape, map_affine)
    difference = compare_grids(Grid(volume.shape, affine), found)
    if difference is not None and difference.shape_differs:
        raise GeometryMismatchError(
            f"{caller}: {name} has shape {entry.shape}, but its volume has shape {volume.shape}. "
            f"Pass soft maps of shape {(3, *volume.shape)} or a label map of shape {volume.shape}."
        )
    if difference is not None:
        raise GeometryMismatchError(
            f"{caller}: {name} {difference}. Resample the label map onto the grid of its volume."
        )
    if mask is not None:
        entry = np.where(mask, entry, 0)
    if not soft:
        try:
            maps = tissue_maps_from_labels(entry, border_width=border_width)
            return maps.astype(volume.dtype, copy=False)
        except ValueError as error:
            raise ValueError(f"{caller}: {name}: {error}") from error
    within = (entry >= -_MAP_TOLERANCE) & (entry <= 1 + _MAP_TOLERANCE)  # False for NaN
    if not within.all():
        raise ValueError(
            f"{caller}: {name} holds {within.size - np.count_nonzero(within)} values that are not "
            "finite or not within [0, 1]. Pass the fraction of each tissue in each voxel."
        )
    return entry.astype(volume.dtype, copy=False)
