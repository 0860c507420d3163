"""Refuse volumes that are too large, impossible or not finite.

Sizes are checked against the bytes on disk before memory is allocated.
"""

from __future__ import annotations

import math
import os
import zlib
from typing import TypeAlias

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage
from numpy.typing import DTypeLike, NDArray

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._carry import image_header
from sklearn_iqt.io._header import VolumeHeader
from sklearn_iqt.io._open import PADDING, compare_checksum

MAX_VOXELS = 2**29
# Range of the largest absolute intensity of a volume. Sums of squares are then far inside the range
# of float32.
MIN_INTENSITY, MAX_INTENSITY = 1e-12, 1e12
# Deflate cannot compress more than this many bytes into one.
_MAX_DEFLATE_RATIO = 1032
# A ratio so close to this limit means that almost all voxels are the same. If there are more voxels
# than this, the file is an attack or a failed export and not a scan.
_BOMB_RATIO = 1000
_BOMB_VOXELS = 2**24
# Deflate adds at most a few bytes to each block that it cannot compress.
_MAX_OVERHEAD = 1.1

# Whether NaN is refused, background, or background only where an array is True.
Nan: TypeAlias = "str | NDArray[np.bool_]"
NAN_REMEDY = (
    "Replace them first. NaN outside the field of view is replaced by 0 if you pass a mask that "
    "excludes it, or read the volume with nan='background'."
)

# All errors that nibabel and zlib have raised in tests with damaged input.
READ_FAULTS = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError,
    zlib.error, ImageFileError, HeaderDataError,
)  # fmt: skip


def check_size(
    checked: VolumeHeader, size_on_disk: int, compressed: bool, max_voxels: int, name: str
) -> None:
    """Refuse a volume that is too large, or larger than the bytes on disk can hold.

    Parameters
    ----------
    checked : VolumeHeader
        Header of the volume.
    size_on_disk : int
        Size of the file in bytes.
    compressed : bool
        Whether the file is gzip-compressed.
    max_voxels : int
        Largest number of voxels to accept.
    name : str
        Name of the file in errors.

    Raises
    ------
    VolumeReadError
        If the volume is refused.
    """
    n_voxels = math.prod(checked.shape)
    shape = " x ".join(map(str, checked.shape))
    if n_voxels > max_voxels:
        raise VolumeReadError(
            f"{name}: the header declares {shape} = {n_voxels} voxels, more than "
            f"max_voxels={max_voxels}. Crop or downsample the volume, or pass a larger max_voxels "
            "if you trust the file."
        )
    declared = checked.offset + checked.n_bytes
    if declared > size_on_disk * (_MAX_DEFLATE_RATIO if compressed else 1):
        kind = "compressed bytes, which cannot inflate to that" if compressed else "bytes"
        raise VolumeReadError(
            f"{name}: the header declares {shape} voxels of {checked.voxel_dtype.name} "
            f"({declared} bytes), but the file has {size_on_disk} {kind}. It is truncated or its "
            "header is wrong. Copy or convert the scan again."
        )
    if compressed and size_on_disk > _MAX_OVERHEAD * declared + checked.footer + PADDING:
        raise VolumeReadError(
            f"{name}: the header declares {shape} voxels of {checked.voxel_dtype.name} "
            f"({declared} bytes), but the file has {size_on_disk} compressed bytes. The file is "
            "damaged or its header is wrong. Copy or convert the scan again."
        )
    if compressed and n_voxels > _BOMB_VOXELS and declared > _BOMB_RATIO * size_on_disk:
        raise VolumeReadError(
            f"{name}: {size_on_disk} compressed bytes would inflate to {declared}, so almost all "
            "voxels are the same. The file is a decompression bomb or a failed export. If the scan "
            "is real, store it uncompressed as .nii."
        )


def check_image(
    image: SpatialImage, name: str = "image", nan: Nan = "refuse"
) -> tuple[NDArray, NDArray[np.float64]]:
    """Return the voxels and the affine of a nibabel image after the checks of a file.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Image of one volume; trailing axes of length one are dropped. Voxels that are still on
        disk are read now.
    name : str, default="image"
        Name of the image in errors.
    nan : {"refuse", "background"} or ndarray of bool, default="refuse"
        Where NaN is replaced by 0: nowhere, everywhere, or where the array is True.

    Returns
    -------
    volume : ndarray of shape (i, j, k)
        Finite voxels, float64 if the image holds float64 and float32 otherwise. They share memory
        with the image if no conversion is needed.
    affine : ndarray of shape (4, 4)
        Finite invertible voxel-to-mm matrix.

    Raises
    ------
    VolumeReadError
        If the image is not one finite 3-D volume of real numbers with a usable affine.
    """
    shape, affine = check_place(image, name)
    on_disk = nibabel.is_proxy(image.dataobj)
    if on_disk and math.prod(shape) > MAX_VOXELS:
        raise VolumeReadError(
            f"{name} declares {math.prod(shape)} voxels, more than {MAX_VOXELS}. Crop it first."
        )
    dtype = image.get_data_dtype() if on_disk else np.asarray(image.dataobj).dtype
    if dtype.kind not in "biuf":
        raise VolumeReadError(
            f"{name} holds {dtype} voxels, but must hold real numbers. Convert it to one grey "
            "value per voxel."
        )
    voxels = image_voxels(image, name, working_dtype(dtype)).reshape(shape)
    voxels = fill_nan(voxels, nan)
    refuse_intensities(voxels, name)
    return voxels, affine


def image_voxels(image: SpatialImage, name: str, dtype: DTypeLike | None = None) -> NDArray:
    """Return the voxels of a nibabel image, and compare the checksum of its file, if it has one.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Image in memory or on disk.
    name : str
        Name of the image in errors.
    dtype : dtype, default=None
        Type of the result. None keeps the type of the image.

    Returns
    -------
    ndarray
        Voxels with all axes of the image.

    Raises
    ------
    VolumeReadError
        If the file is damaged or missing.
    """
    proxy = image.dataobj
    try:
        with np.errstate(over="ignore"):
            voxels = np.asarray(proxy, dtype=dtype)
        if isinstance(proxy, ArrayProxy) and isinstance(proxy.file_like, (str, os.PathLike)):
            n_bytes = math.prod(proxy.shape) * proxy.dtype.itemsize
            compare_checksum(proxy.file_like, proxy.offset + n_bytes)
    except READ_FAULTS as error:
        raise VolumeReadError(
            f"{name}: the voxels cannot be read ({type(error).__name__}: {error}). The file behind "
            "the image is damaged or missing. Copy it again."
        ) from error
    return voxels


def check_place(
    image: SpatialImage, name: str = "image"
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the shape and the affine of a nibabel image, without reading its voxels.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Image of one volume; trailing axes of length one are dropped.
    name : str, default="image"
        Name of the image in errors.

    Returns
    -------
    shape : tuple of 3 ints
        Voxels along each axis.
    affine : ndarray of shape (4, 4)
        Finite invertible voxel-to-mm matrix.

    Raises
    ------
    VolumeReadError
        If the image is not one 3-D volume or has no usable affine.
    """
    _, affine, shape = image_header(image, name)
    return shape, affine


def working_dtype(dtype: DTypeLike) -> np.dtype:
    """Return float64 for float64 and float32 for everything else."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def check_nan(nan: str, caller: str) -> str:
    """Return `nan` if it is known or raise ValueError."""
    if nan not in ("refuse", "background"):
        raise ValueError(f"{caller}: nan must be 'refuse' or 'background', got {nan!r}.")
    return nan


def fill_nan(volume: NDArray, nan: Nan) -> NDArray:
    """Return a volume in which NaN is 0 where it counts as background; a copy if any is."""
    if isinstance(nan, str) and nan == "refuse":
        return volume
    filled = np.isnan(volume)
    if not isinstance(nan, str):
        filled &= nan
    return np.where(filled, volume.dtype.type(0), volume) if filled.any() else volume


def count_nonfinite(volume: NDArray) -> int:
    """Return how many voxels are NaN or infinite."""
    return volume.size - int(np.count_nonzero(np.isfinite(volume)))


def intensity_fault(volume: NDArray) -> str | None:
    """Return why the intensities of a volume cannot be used, or None.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Volume of floats, with at least one voxel.

    Returns
    -------
    str or None
        Fault and remedy, which follow the name of the volume.
    """
    # Both are NaN if any voxel is, and they take no memory.
    lowest, highest = float(volume.min()), float(volume.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return (
            f"{count_nonfinite(volume)} of {volume.size} voxels are NaN, infinite or beyond the "
            f"float32 range. {NAN_REMEDY}"
        )
    largest = max(highest, -lowest)
    if largest == 0 or MIN_INTENSITY <= largest <= MAX_INTENSITY:
        return None
    return (
        f"the largest absolute intensity is {largest:.3g}, but must be from {MIN_INTENSITY:g} to "
        f"{MAX_INTENSITY:g}, so that sums and squares do not overflow. Multiply the volume by a "
        "constant."
    )


def refuse_intensities(volume: NDArray, name: str) -> None:
    """Raise VolumeReadError if the intensities of a volume cannot be used."""
    fault = intensity_fault(volume)
    if fault is not None:
        raise VolumeReadError(f"{name}: {fault}")
