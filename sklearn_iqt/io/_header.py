"""Check an untrusted NIfTI header, and repair harmless faults."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from nibabel.nifti1 import Nifti1Header, data_type_codes, xform_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._geometry import affine_fault

# NIfTI extensions before the voxels are skipped up to this many bytes.
_MAX_OFFSET = 2**26
# Codes of xyzt_units other than unknown (0) and mm (2).
_UNITS_IN_MM = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}

VOXEL_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip


@dataclass(frozen=True)
class VolumeHeader:
    """A checked header: its size, and the position, type and scaling of the voxels."""

    header: Nifti1Header
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    voxel_dtype: np.dtype
    size: int
    offset: int
    slope: float
    intercept: float
    repairs: tuple[str, ...]
    byte_order: Literal["little", "big"] = "big"
    # Largest number of bytes with other information that may follow the voxels.
    footer: int = 0

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
        Name of the file in errors.

    Returns
    -------
    VolumeHeader
        Checked and repaired header.

    Raises
    ------
    VolumeReadError
        If the header does not describe one 3-D volume of numbers with a usable affine.
    """
    raw = _raw_header(leading, name)
    repairs: list[str] = []
    shape = _volume_shape(raw["dim"].tolist(), name)
    voxel_dtype = _voxel_dtype(int(raw["datatype"]), name).newbyteorder(raw.endianness)
    if int(raw["bitpix"]) != 8 * voxel_dtype.itemsize:
        # The length of the file, which is checked, shows whether the type is right.
        repairs.append(f"bitpix {int(raw['bitpix'])} read as {8 * voxel_dtype.itemsize}")
    offset = _voxel_offset(raw, name, repairs)
    slope, intercept = _intensity_scaling(raw, name, repairs)
    header = clean_header(raw, shape)
    convert_to_mm(header, repairs)
    _repair_pixdim(header, name, repairs)
    _repair_codes(header, repairs)
    affine = _best_affine(header, name, repairs)
    return VolumeHeader(
        header=header,
        affine=affine,
        shape=shape,
        voxel_dtype=voxel_dtype,
        size=raw.sizeof_hdr,
        offset=offset,
        slope=slope,
        intercept=intercept,
        repairs=tuple(repairs),
        byte_order="little" if raw.endianness == "<" else "big",
    )


def extension_repairs(between: bytes, checked: VolumeHeader) -> tuple[str, ...]:
    """Return a warning if the extensions of a header do not end before the voxels.

    The length of the file, which is checked, shows whether the position of the voxels is right.

    Parameters
    ----------
    between : bytes
        Bytes between the header and the voxels.
    checked : VolumeHeader
        The header.

    Returns
    -------
    tuple of str
        One repair, or none.
    """
    if not any(between[:1]):
        return ()
    start, end = 4, len(between)
    if start == end:
        return ("flag of an extension that is missing ignored",)
    while end - start >= 8:
        size = int.from_bytes(between[start : start + 4], checked.byte_order, signed=True)
        if size == 0:
            break
        if not 8 <= size <= end - start:
            return (f"extension of {size} bytes ignored, because {end - start} precede the voxels",)
        start += size
    return ()


def clean_header(raw: Nifti1Header, shape: tuple[int, int, int]) -> Nifti1Header:
    """Return a copy that describes a volume in memory: 3-D, float32, unscaled, native bytes.

    Parameters
    ----------
    raw : nibabel.Nifti1Header
        Header of a file or image. Extensions are dropped.
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


def squeezed_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """Return a shape without its trailing axes of length one, or raise unless three are left."""
    if any(length < 1 for length in shape):
        raise VolumeReadError(f"{name}: the shape {shape} has an axis without voxels.")
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise VolumeReadError(
            f"{name} has the shape {shape}, but one 3-D volume is needed. "
            + ("Split the series into single volumes." if len(shape) > 3 else "Stack the slices.")
        )
    return shape[0], shape[1], shape[2]


def drop_unusable_qform(header: Nifti1Header) -> bool:
    """Remove a qform that is not a finite invertible transform; return whether it was removed."""
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


def drop_unusable_sform(header: Nifti1Header, repairs: list[str]) -> None:
    """Remove an sform that is not a finite invertible transform, if there is a usable qform.

    Call it after :func:`drop_unusable_qform`.
    """
    if min(header["sform_code"], header["qform_code"]) <= 0:
        return
    if affine_fault(np.asarray(header.get_sform(), dtype=np.float64)) is None:
        return
    header["sform_code"] = 0
    for field in ("srow_x", "srow_y", "srow_z"):
        header[field] = 0
    repairs.append("unusable sform dropped in favour of the qform")


def convert_to_mm(header: Nifti1Header, repairs: list[str]) -> float:
    """Convert sizes and positions in metres or micrometres to mm, and return the factor."""
    units = int(header["xyzt_units"])
    if units & 7 not in _UNITS_IN_MM:
        return 1.0
    name, factor = _UNITS_IN_MM[units & 7]
    with np.errstate(over="ignore", invalid="ignore"):
        header["pixdim"][1:4] *= factor
        for field in ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"):
            header[field] = header[field] * factor
    header["xyzt_units"] = units - (units & 7) + 2
    repairs.append(f"sizes converted from {name} to mm")
    return factor


def _sizeof_hdr(size: int) -> tuple[bytes, bytes]:
    return size.to_bytes(4, "little"), size.to_bytes(4, "big")


def _raw_header(leading: bytes, name: str) -> Nifti1Header:
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
                f"{name}: the file is the header of a .hdr/.img pair. Convert the pair to one .nii "
                "file."
            )
        raise VolumeReadError(
            f"{name}: the NIfTI magic string is {found!r}, not {magic!r}. The file is damaged, or "
            "it is an Analyze file. Convert the scan to NIfTI again."
        )
    raise VolumeReadError(
        f"{name}: the file does not start with a NIfTI header. Check that it is a NIfTI file and "
        "that the copy is complete."
    )


def _volume_shape(dim: list[int], name: str) -> tuple[int, int, int]:
    n_axes = dim[0]
    if not 1 <= n_axes <= 7:
        raise VolumeReadError(
            f"{name}: the header declares {n_axes} dimensions, but NIfTI allows 1 to 7. The header "
            "is damaged. Convert the scan again."
        )
    if any(length < 1 for length in dim[1 : n_axes + 1]):
        raise VolumeReadError(
            f"{name}: the header declares the dimensions {dim[1 : n_axes + 1]}, but each must be "
            "at least 1. The header is damaged. Convert the scan again."
        )
    return squeezed_shape(tuple(dim[1 : n_axes + 1]), name)


def _voxel_dtype(code: int, name: str) -> np.dtype:
    if code not in VOXEL_DTYPES:
        kind = data_type_codes.label.get(code, "not a NIfTI type")
        raise VolumeReadError(
            f"{name}: the voxel type is {kind} (code {code}). Convert the volume to integers or "
            "floats, with one grey value per voxel."
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
            f"{name}: vox_offset is {offset:g}, but must be an integer from {first} to "
            f"{_MAX_OFFSET}. The header is damaged. Convert the scan again."
        )
    return int(offset)


def _intensity_scaling(raw: Nifti1Header, name: str, repairs: list[str]) -> tuple[float, float]:
    try:
        slope, intercept = raw.get_slope_inter()
    except HeaderDataError as fault:
        raise VolumeReadError(
            f"{name}: scl_inter is {raw['scl_inter']:g} and scl_slope is {raw['scl_slope']:g}, so "
            "the intensities are unknown. Correct scl_inter."
        ) from fault
    if slope is None:
        repairs.append(f"scl_slope {raw['scl_slope']:g} read as no scaling")
        return 1.0, 0.0
    return slope, intercept


def _repair_pixdim(header: Nifti1Header, name: str, repairs: list[str]) -> None:
    pixdim = header["pixdim"]
    sizes = pixdim[1:4].astype(np.float64)
    if not np.isfinite(pixdim[:4]).all():
        raise VolumeReadError(
            f"{name}: pixdim is {pixdim[:4].tolist()}, so the voxel size is unknown. Correct it."
        )
    if (sizes == 0).any():
        repairs.append("pixdim 0 read as 1")
    if (sizes < 0).any():
        repairs.append("negative pixdim made positive")
    pixdim[1:4] = np.where(sizes == 0, 1, np.abs(sizes))
    # The standard reads anything but -1 as 1; nibabel refuses it.
    pixdim[0] = -1 if pixdim[0] < 0 else 1


def _repair_codes(header: Nifti1Header, repairs: list[str]) -> None:
    """Replace codes that would make nibabel fail later."""
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


def _best_affine(header: Nifti1Header, name: str, repairs: list[str]) -> NDArray[np.float64]:
    if drop_unusable_qform(header):
        if header["sform_code"] <= 0:
            raise VolumeReadError(
                f"{name}: the qform is not a finite invertible transform and there is no sform. "
                "Correct the geometry of the scan."
            )
        repairs.append("unusable qform dropped in favour of the sform")
    drop_unusable_sform(header, repairs)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    fault = affine_fault(affine)
    if fault is not None:
        raise VolumeReadError(f"{name}: the affine {fault}. Correct the geometry of the scan.")
    return affine
