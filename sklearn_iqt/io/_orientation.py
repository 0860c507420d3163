"""Directions of the axes of a scan, and changes of their order."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.io._carry import carried_image

__all__ = [
    "axis_codes",
    "in_mm",
    "is_orientation",
    "reorient",
    "same_axes",
    "sizes_along",
    "slice_direction",
    "slice_words",
]

# Slices are thick if they are more than this many times as thick as wide.
_THICK = 1.1
_AXES = str.maketrans("LPI", "RAS")


def axis_codes(affine: ArrayLike) -> str:
    """Return the directions in which the three axes run, such as "RAS" or "LPI".

    Parameters
    ----------
    affine : array-like of shape (4, 4)
        Voxel to mm.

    Returns
    -------
    str
        As from :func:`nibabel.orientations.aff2axcodes`: each axis runs to the left (L) or right
        (R), posterior (P) or anterior (A), inferior (I) or superior (S). Axes of a tilted scan have
        the code of the closest direction.
    """
    return "".join(nibabel.aff2axcodes(affine))


def is_orientation(value: object) -> bool:
    """Return whether a value names one direction for each of three axes, such as "RAS"."""
    return isinstance(value, str) and len(value) == 3 and sorted(same_axes(value)) == list("ARS")


def same_axes(codes: str) -> str:
    """Return codes without the sense of direction: "R", "A" and "S" stand for both senses.

    Parameters
    ----------
    codes : str
        See :func:`axis_codes`.

    Returns
    -------
    str
        For instance "RAS" for "LPI".
    """
    return codes.translate(_AXES)


def sizes_along(affine: ArrayLike, codes: str) -> NDArray[np.float64]:
    """Return the voxel sizes along the axes of another order.

    Parameters
    ----------
    affine : array-like of shape (4, 4)
        Voxel to mm.
    codes : str
        Wanted order, see :func:`axis_codes`.

    Returns
    -------
    ndarray of shape (3,)
        In mm.
    """
    ours = same_axes(axis_codes(affine))
    return voxel_sizes(affine)[[ours.index(code) for code in same_axes(codes)]]


def slice_direction(sizes: ArrayLike, codes: str) -> str | None:
    """Return the direction in which slices are stacked, if they are thick.

    Parameters
    ----------
    sizes : array-like of shape (3,)
        Voxel size in mm.
    codes : str
        Directions of the axes, see :func:`axis_codes`.

    Returns
    -------
    {"R", "A", "S"} or None
        None if no side of a voxel is more than 1.1 times as long as both others.
    """
    lengths = np.asarray(sizes, dtype=np.float64)
    k = int(lengths.argmax())
    if lengths[k] <= _THICK * np.delete(lengths, k).max():
        return None
    return same_axes(codes)[k]


def slice_words(direction: str | None) -> str:
    """Return a name for slices in a direction, for messages."""
    kinds = {"R": "thick sagittal slices", "A": "thick coronal slices", "S": "thick axial slices"}
    return "no thick slices" if direction is None else kinds[direction]


def in_mm(sizes: ArrayLike) -> str:
    """Return a voxel size with its unit, for messages."""
    return " x ".join(f"{size:.4g}" for size in np.asarray(sizes, dtype=np.float64)) + " mm"


def reorient(image: nibabel.Nifti1Image, codes: str) -> nibabel.Nifti1Image:
    """Put the axes of an image into another order, by swaps and flips.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        A volume.
    codes : str
        Wanted directions of the axes, see :func:`axis_codes`.

    Returns
    -------
    nibabel.Nifti1Image
        The same voxels in the same places.
    """
    change = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    voxels = np.ascontiguousarray(apply_orientation(np.asarray(image.dataobj), change))
    affine = image.affine @ inv_ornt_aff(change, image.shape)
    result = carried_image(voxels, image.header, image.affine, affine)
    axes: list[Any] = [
        None if old is None else int(change[old, 0]) for old in image.header.get_dim_info()
    ]
    result.header.set_dim_info(*axes)
    return result
