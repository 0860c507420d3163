"""Decide from a header alone whether a file may be read, and repair what is harmless.

Nothing here trusts a field before it is checked: sizes are Python integers, and no memory is
asked for before the bytes that fill it are known to be possible.
"""

from __future__ import annotations

import math
import sys
import warnings
import zlib
from dataclasses import dataclass

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header, xform_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError, SpatialImage
from numpy.typing import DTypeLike, NDArray

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._geometry import affine_fault
from sklearn_iqt.io._stream import MAX_DEFLATE_RATIO

MAX_VOXELS = 2**29
# NIfTI extensions in front of the voxels are skipped; this much of them is plenty.
_MAX_OFFSET = 2**26
# A stream this close to the limit of deflate is one constant. Above this many voxels that is an
# attack or a failed export, never a scan, and is not worth the memory.
_BOMB_RATIO = 1000
_BOMB_VOXELS = 2**24

VOXEL_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED_DTYPES = {
    0: "unknown", 1: "1-bit", 32: "complex64", 128: "RGB", 1536: "float128",
    1792: "complex128", 2048: "complex256", 2304: "RGBA",
}  # fmt: skip
# Everything that reading through nibabel or zlib was seen to raise on damaged input.
READ_FAULTS = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError,
    zlib.error, ImageFileError, HeaderDataError,
)  # fmt: skip


@dataclass(frozen=True)
class VolumeHeader:
    """What a checked header says: where the voxels are and how to understand them."""

    header: Nifti1Header
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    voxel_dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    repairs: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of the voxels in the file."""
        return math.prod(self.shape) * self.voxel_dtype.itemsize


def parse_header(leading: bytes, name: str) -> VolumeHeader:
    """Check the first 348 or 540 bytes of a NIfTI file.

    Parameters
    ----------
    leading : bytes
        The first bytes of the (inflated) file.
    name : str
        How errors call the file.

    Returns
    -------
    VolumeHeader
        Checked and repaired header.

    Raises
    ------
    VolumeReadError
        If the header does not describe one 3-D volume of numbers with a usable affine.
    """
    raw = _sniff(leading, name)
    repairs: list[str] = []
    shape = _volume_shape(raw["dim"].tolist(), name)
    voxel_dtype = _voxel_dtype(int(raw["datatype"]), name).newbyteorder(raw.endianness)
    offset = _voxel_offset(raw, name, repairs)
    slope, intercept = _intensity_scaling(raw, name, repairs)
    header = clean_header(raw, shape)
    _repair_pixdim(header, name, repairs)
    _repair_codes(header, repairs)
    affine = _best_affine(header, name, repairs)
    return VolumeHeader(
        header, affine, shape, voxel_dtype, offset, slope, intercept, tuple(repairs)
    )


def clean_header(raw: Nifti1Header, shape: tuple[int, int, int]) -> Nifti1Header:
    """Return a copy that describes a volume in memory: 3-D, float32, unscaled, native bytes.

    Parameters
    ----------
    raw : nibabel.Nifti1Header
        Header of a file or image; extensions are not carried.
    shape : tuple of three ints
        Shape of the volume.

    Returns
    -------
    nibabel.Nifti1Header
        Header of a single file.
    """
    klass = Nifti2Header if raw.sizeof_hdr == 540 else Nifti1Header
    native = raw.as_byteswapped("<" if sys.byteorder == "little" else ">")
    header = klass(native.binaryblock, check=False)
    header["magic"] = header.single_magic
    header["dim"] = [3, *shape, 1, 1, 1, 1]
    header.set_data_dtype(np.float32)
    header["scl_slope"] = header["scl_inter"] = np.nan
    header["vox_offset"] = 0
    header["pixdim"][4:] = 1
    return header


def header_size(leading: bytes) -> int:
    """Return how many bytes the header takes: 540 for NIfTI-2, 348 for anything else."""
    return 540 if leading[:4] in _sizeof_hdr(540) else 348


def check_size(
    checked: VolumeHeader, size_on_disk: int, compressed: bool, max_voxels: int, name: str
) -> None:
    """Refuse a volume that is too large or that the bytes on disk cannot possibly hold.

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
        How errors call the file.

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
    if declared > size_on_disk * (MAX_DEFLATE_RATIO if compressed else 1):
        kind = "compressed bytes, which cannot inflate to that" if compressed else "bytes"
        raise VolumeReadError(
            f"{name}: the header declares {shape} voxels of {checked.voxel_dtype.name} "
            f"({declared} bytes), but the file has {size_on_disk} {kind}. It is truncated or its "
            "header is wrong; copy or convert the scan again."
        )
    if compressed and n_voxels > _BOMB_VOXELS and declared > _BOMB_RATIO * size_on_disk:
        raise VolumeReadError(
            f"{name}: {size_on_disk} compressed bytes would inflate to {declared}, so almost all "
            "voxels are the same. It is a decompression bomb or a failed export; if the scan is "
            "real, store it uncompressed as .nii."
        )


def warn_repairs(repairs: tuple[str, ...], name: str, stacklevel: int = 3) -> None:
    """Say in one warning which header fields were put right."""
    if repairs:
        warnings.warn(
            f"{name}: repaired the header: {'; '.join(repairs)}.", UserWarning, stacklevel
        )


def check_image(image: SpatialImage, name: str = "image") -> tuple[NDArray, NDArray[np.float64]]:
    """Return the voxels and the affine of a nibabel image after the checks of a file.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Image of one volume; trailing axes of length one are dropped. Voxels that are still on
        disk are read now.
    name : str, default="image"
        How errors call the image.

    Returns
    -------
    volume : ndarray of shape (i, j, k)
        Finite voxels: float64 where the image holds float64, else float32. Not a copy where it
        need not be.
    affine : ndarray of shape (4, 4)
        Finite invertible voxel-to-mm matrix.

    Raises
    ------
    VolumeReadError
        If the image is not one finite 3-D volume of real numbers with a usable affine.
    """
    shape = squeezed_shape(tuple(image.shape), name)
    affine = image.affine
    if affine is None:
        raise VolumeReadError(
            f"{name} has no affine. Build the image with its 4 x 4 voxel-to-mm matrix."
        )
    affine = np.array(affine, dtype=np.float64)
    fault = affine_fault(affine)
    if fault is not None:
        raise VolumeReadError(f"{name}: the affine {fault}. Put the geometry of the scan right.")
    on_disk = nibabel.is_proxy(image.dataobj)
    if on_disk and math.prod(shape) > MAX_VOXELS:
        raise VolumeReadError(
            f"{name} declares {math.prod(shape)} voxels, more than {MAX_VOXELS}. Crop it first."
        )
    dtype = image.get_data_dtype() if on_disk else np.asarray(image.dataobj).dtype
    if dtype.kind not in "biuf":
        raise VolumeReadError(
            f"{name} holds {dtype} voxels, not real numbers. Convert it to one grey value a voxel."
        )
    try:
        with np.errstate(over="ignore"):
            voxels = np.asarray(image.dataobj, dtype=working_dtype(dtype)).reshape(shape)
    except READ_FAULTS as error:
        raise VolumeReadError(
            f"{name}: the voxels cannot be read ({type(error).__name__}: {error}). The file behind "
            "the image is damaged or gone; copy it again."
        ) from error
    check_finite(voxels, name)
    return voxels, affine


def working_dtype(dtype: DTypeLike) -> np.dtype:
    """Return float64 for float64 and float32 for everything else."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def check_finite(volume: NDArray, name: str) -> None:
    """Raise VolumeReadError with the count if a volume holds NaN or infinite voxels."""
    report_nonfinite(count_nonfinite(volume), volume.size, name)


def count_nonfinite(volume: NDArray) -> int:
    """Return how many voxels are NaN or infinite."""
    return volume.size - int(np.count_nonzero(np.isfinite(volume)))


def report_nonfinite(count: int, size: int, name: str) -> None:
    """Raise VolumeReadError if `count` of the `size` voxels of a volume are not finite."""
    if count:
        raise VolumeReadError(
            f"{name}: {count} of {size} voxels are NaN, infinite or beyond the float32 range. "
            "Replace them (for example by the background value) before using the volume."
        )


def squeezed_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """Return a shape without its trailing axes of length one, or raise unless three are left."""
    if any(length < 1 for length in shape):
        raise VolumeReadError(f"{name}: the shape {shape} has an axis without voxels.")
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise VolumeReadError(
            f"{name} has the shape {shape}; one 3-D volume is needed. "
            + ("Split the series into single volumes." if len(shape) > 3 else "Stack the slices.")
        )
    return shape[0], shape[1], shape[2]


def _sizeof_hdr(size: int) -> tuple[bytes, bytes]:
    return size.to_bytes(4, "little"), size.to_bytes(4, "big")


def _sniff(leading: bytes, name: str) -> Nifti1Header:
    """Return the raw header in the byte order of the file."""
    for klass, size, magic in (
        (Nifti1Header, 348, b"n+1\0"),
        (Nifti2Header, 540, b"n+2\0\r\n\x1a\n"),
    ):
        if leading[:4] not in _sizeof_hdr(size) or len(leading) < size:
            continue
        endianness = "<" if leading[:4] == _sizeof_hdr(size)[0] else ">"
        header = klass(leading[:size], endianness=endianness, check=False)
        found = leading[344:348] if size == 348 else leading[4:12]
        if found == magic:
            return header
        if found[:2] == b"ni":
            raise VolumeReadError(
                f"{name}: it is the header of a .hdr/.img pair. Convert the pair to one .nii file."
            )
        raise VolumeReadError(
            f"{name}: the NIfTI magic string is {found!r}, not {magic!r}. It is damaged or an "
            "Analyze file; convert it to NIfTI again."
        )
    raise VolumeReadError(
        f"{name}: it does not start with a NIfTI header. Check that it is a NIfTI file and that "
        "the copy is complete."
    )


def _volume_shape(dim: list[int], name: str) -> tuple[int, int, int]:
    n_axes = dim[0]
    if not 1 <= n_axes <= 7:
        raise VolumeReadError(
            f"{name}: the header declares {n_axes} dimensions; NIfTI allows 1 to 7. The header is "
            "damaged; convert the scan again."
        )
    if any(length < 1 for length in dim[1 : n_axes + 1]):
        raise VolumeReadError(
            f"{name}: the header declares the dimensions {dim[1 : n_axes + 1]}; each must be at "
            "least 1. The header is damaged; convert the scan again."
        )
    return squeezed_shape(tuple(dim[1 : n_axes + 1]), name)


def _voxel_dtype(code: int, name: str) -> np.dtype:
    if code not in VOXEL_DTYPES:
        kind = _REFUSED_DTYPES.get(code, "not a NIfTI type")
        raise VolumeReadError(
            f"{name}: the voxel type is {kind} (code {code}). Convert the volume to integers or "
            "floats, one grey value a voxel."
        )
    return np.dtype(VOXEL_DTYPES[code])


def _voxel_offset(raw: Nifti1Header, name: str, repairs: list[str]) -> int:
    offset = float(raw["vox_offset"])
    first = raw.single_vox_offset
    if offset == 0:
        repairs.append(f"vox_offset 0 read as {first}")
        return first
    if not (first <= offset <= _MAX_OFFSET and offset.is_integer()):
        raise VolumeReadError(
            f"{name}: vox_offset is {offset:g}; it must be an integer from {first} to "
            f"{_MAX_OFFSET}. The header is damaged; convert the scan again."
        )
    return int(offset)


def _intensity_scaling(raw: Nifti1Header, name: str, repairs: list[str]) -> tuple[float, float]:
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        repairs.append(f"scl_slope {slope:g} read as no scaling")
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise VolumeReadError(
            f"{name}: scl_inter is {intercept:g} beside scl_slope {slope:g}, so the intensities "
            "are unknown. Put scl_inter right."
        )
    return slope, intercept


def _repair_pixdim(header: Nifti1Header, name: str, repairs: list[str]) -> None:
    pixdim = header["pixdim"]
    sizes = pixdim[1:4].astype(np.float64)
    if not np.isfinite(pixdim[:4]).all():
        raise VolumeReadError(
            f"{name}: pixdim is {pixdim[:4].tolist()}, so the voxel size is unknown. Put it right."
        )
    if (sizes == 0).any():
        repairs.append("pixdim 0 read as 1")
    if (sizes < 0).any():
        repairs.append("negative pixdim made positive")
    pixdim[1:4] = np.where(sizes == 0, 1, np.abs(sizes))
    # The standard reads anything but -1 as 1; nibabel refuses it.
    pixdim[0] = -1 if pixdim[0] < 0 else 1


def _repair_codes(header: Nifti1Header, repairs: list[str]) -> None:
    """Replace codes that nibabel would stumble over later."""
    for field in ("qform_code", "sform_code"):
        code = int(header[field])
        if code not in xform_codes.code:
            header[field] = 2 if code > 0 else 0
            repairs.append(f"{field} {code} read as {int(header[field])}")
    try:
        header.get_xyzt_units()
    except KeyError:
        header["xyzt_units"] = 2
        repairs.append("unknown xyzt_units read as mm")


def drop_unusable_qform(header: Nifti1Header) -> bool:
    """Declare the qform absent if it is no finite invertible transform; tell whether it was so."""
    dropped = False
    if header["qform_code"] > 0:
        try:
            fault = affine_fault(np.asarray(header.get_qform(), dtype=np.float64))
        except (ValueError, HeaderDataError) as error:
            fault = str(error)
        dropped = fault is not None
    if dropped or header["qform_code"] <= 0:
        header["qform_code"] = 0
        for field in ("quatern_b", "quatern_c", "quatern_d"):
            header[field] = 0
    return dropped


def _best_affine(header: Nifti1Header, name: str, repairs: list[str]) -> NDArray[np.float64]:
    if drop_unusable_qform(header):
        if header["sform_code"] <= 0:
            raise VolumeReadError(
                f"{name}: the qform is not a finite invertible transform and there is no sform. "
                "Put the geometry of the scan right."
            )
        repairs.append("unusable qform dropped in favour of the sform")
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    fault = affine_fault(affine)
    if fault is not None:
        raise VolumeReadError(f"{name}: the affine {fault}. Put the geometry of the scan right.")
    return affine
