"""Build valid and invalid NIfTI files byte by byte."""

from __future__ import annotations

import gzip
import io

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

SHAPE = (5, 4, 3)


def small_volume(dtype="<i2", shape=SHAPE):
    """Return voxels that any voxel type can hold."""
    return (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)


def header_for(voxels, version=1, affine=None, **fields):
    """Return a valid header, with some raw fields overwritten, perhaps by invalid values."""
    klass = {1: Nifti1Header, 2: Nifti2Header}[version]
    endianness = ">" if voxels.dtype.str[0] == ">" else "<"
    header = klass(endianness=endianness)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units("mm")
    header.set_sform(np.diag([1.0, 1.5, 4.0, 1.0]) if affine is None else affine, 1)
    header["pixdim"][1:4] = 1, 1.5, 4
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    header["scl_slope"], header["scl_inter"] = 1, 0
    for field, content in fields.items():
        if isinstance(content, dict):
            for position, entry in content.items():
                header[field][position] = entry
        else:
            header[field] = content
    return header


def nifti_bytes(voxels=None, *, version=1, affine=None, order="F", **fields):
    """Return a whole file: header, no extension, voxels in file order."""
    if voxels is None:
        voxels = small_volume()
    header = header_for(voxels, version, affine, **fields)
    return header.binaryblock + b"\0\0\0\0" + voxels.tobytes(order=order)


def gzipped(content):
    """Compress reproducibly."""
    stream = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, stream, mtime=0) as inflated:
        inflated.write(content)
    return stream.getvalue()


def zeros_gzipped(leading, n_zeros):
    """Compress `leading` followed by many zeros, without holding the zeros in memory."""
    stream = io.BytesIO()
    block = bytes(1 << 20)
    with gzip.GzipFile("", "wb", 9, stream, mtime=0) as inflated:
        inflated.write(leading)
        for start in range(0, n_zeros, len(block)):
            inflated.write(block[: min(len(block), n_zeros - start)])
    return stream.getvalue()
