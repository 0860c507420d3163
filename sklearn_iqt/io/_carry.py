"""Carry the header of an image over to results, which may lie on another grid."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._geometry import affine_fault
from sklearn_iqt.io._header import (
    clean_header,
    convert_to_mm,
    drop_unusable_qform,
    drop_unusable_sform,
    squeezed_shape,
)

# Images, and files with the time of their last change, whose repairs were reported already.
_reported_images: weakref.WeakSet[SpatialImage] = weakref.WeakSet()
_reported_files: set[tuple[str, int]] = set()


def image_header(
    image: SpatialImage, name: str, affine: NDArray[np.float64] | None = None
) -> tuple[Nifti1Header, NDArray[np.float64], tuple[int, int, int]]:
    """Return the header, affine and shape of a nibabel image, in mm, without reading its voxels.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Image of one volume; trailing axes of length one are dropped.
    name : str
        Name of the image in errors and warnings.
    affine : ndarray of shape (4, 4), default=None
        Used instead of the affine of the image.

    Returns
    -------
    header : nibabel.Nifti1Header
        Cleaned copy. Images of other formats get a new header.
    affine : ndarray of shape (4, 4)
        Finite invertible voxel-to-mm matrix.
    shape : tuple of 3 ints
        Voxels along each axis.

    Raises
    ------
    VolumeReadError
        If the image is not one 3-D volume or has no usable affine.

    Warns
    -----
    UserWarning
        Once for an image with sizes in another unit than mm, or with an unusable sform.
    """
    shape = squeezed_shape(tuple(image.shape), name)
    if image.affine is None and affine is None:
        raise VolumeReadError(
            f"{name} has no affine. Build the image with its 4 x 4 voxel-to-mm matrix."
        )
    matrix = np.array(image.affine if affine is None else affine, dtype=np.float64)
    repairs: list[str] = []
    if isinstance(image.header, Nifti1Header):
        header = clean_header(image.header, shape)
        factor = convert_to_mm(header, repairs)
        if affine is None:
            matrix[:3] *= factor
        drop_unusable_qform(header)
        if affine is None and affine_fault(matrix) is not None and header["qform_code"] > 0:
            drop_unusable_sform(header, repairs)
            matrix = np.asarray(header.get_best_affine(), dtype=np.float64)
    else:
        header = Nifti1Header()
        header.set_data_shape(shape)
        header.set_xyzt_units("mm")
    fault = affine_fault(matrix)
    if fault is not None:
        raise VolumeReadError(f"{name}: the affine {fault}. Correct the geometry of the scan.")
    if repairs and image not in _reported_images:
        _reported_images.add(image)
        _warn(repairs, name)
    return header, matrix, shape


def warn_repairs(repairs: Sequence[str], name: str) -> None:
    """Warn once for each file, with a list of the header fields that were repaired."""
    if not repairs:
        return
    version = os.path.realpath(name), os.stat(name).st_mtime_ns
    if version not in _reported_files:
        _reported_files.add(version)
        _warn(repairs, name)


def _warn(repairs: Sequence[str], name: str) -> None:
    message = f"{name}: repaired the header: {'; '.join(repairs)}."
    warnings.warn(message, UserWarning, stacklevel=4)


def carried_image(
    voxels: NDArray,
    header: Nifti1Header,
    base: NDArray[np.float64],
    affine: NDArray[np.float64],
    *,
    replaced: bool = False,
) -> nibabel.Nifti1Image:
    """Return an image of voxels that lie on another grid than the header.

    Parameters
    ----------
    voxels : ndarray of shape (i, j, k)
        Voxels of the new image, of a type that NIfTI can hold.
    header : nibabel.Nifti1Header
        Header to carry over; it is not changed. Units, description, intent and the codes of qform
        and sform are kept, and so is a qform that names another space than the sform. Fields that
        describe the old slices, intensities or display range are dropped.
    base : ndarray of shape (4, 4)
        Voxel-to-mm matrix that belongs to the header.
    affine : ndarray of shape (4, 4)
        Voxel-to-mm matrix of `voxels`.
    replaced : bool, default=False
        Whether `affine` corrects `base`, instead of being another grid in the same space. The
        qform is corrected, too.

    Returns
    -------
    nibabel.Nifti1Image
        A Nifti2Image, which is a subclass, if the header is one of NIfTI-2.

    Raises
    ------
    ValueError
        If a NIfTI-1 header cannot hold the shape.
    """
    header = header.copy()
    same_grid = (
        voxels.shape == header.get_data_shape()
        and np.array_equal(base, affine)
        and _has_affine(header, affine)
    )
    # nibabel would fall back on a FreeSurfer convention that other tools cannot read.
    if header.sizeof_hdr == 348 and max(voxels.shape) > np.iinfo(np.int16).max:
        raise ValueError(
            f"NIfTI-1 cannot hold the shape {voxels.shape}. Pass an image with a NIfTI-2 header."
        )
    header.set_data_shape(voxels.shape)
    if not same_grid:
        for field in ("slice_start", "slice_end", "slice_code", "slice_duration"):
            header[field] = 0
        _set_affine(header, base, affine, replaced)
    header.set_data_dtype(voxels.dtype)
    header["cal_min"] = header["cal_max"] = 0
    klass = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    image = klass(voxels, affine, header)
    image.header.set_slope_inter(1, 0)
    return image


def _has_affine(header: Nifti1Header, affine: NDArray[np.float64]) -> bool:
    """Return whether a header already has this affine, at the precision of a file."""
    coded = header["sform_code"] > 0 or header["qform_code"] > 0
    return coded and np.array_equal(np.float32(header.get_best_affine()), np.float32(affine))


def _set_affine(
    header: Nifti1Header, base: NDArray[np.float64], affine: NDArray[np.float64], replaced: bool
) -> None:
    """Write the affine as sform, and keep a qform that names another space."""
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    qform: Any = affine
    if qform_code > 0 and not replaced:
        qform = header.get_qform() @ np.linalg.inv(base) @ affine
    header.set_qform(qform, qform_code)
    if qform_code > 0 and not np.allclose(header.get_qform(), qform, atol=1e-3):
        # A qform cannot store a shear, and a wrong qform is worse than a missing one.
        header.set_qform(None, 0)
    header.set_sform(affine, sform_code or qform_code or 2)
