"""Check an untrusted MGH header, the format of FreeSurfer, and convert it to NIfTI."""

from __future__ import annotations

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._geometry import affine_fault
from sklearn_iqt.io._header import VolumeHeader, clean_header, squeezed_shape
from sklearn_iqt.io._open import MAX_FOOTER

__all__ = ["MGH_HEADER_SIZE", "parse_mgh_header"]

MGH_HEADER_SIZE = DATA_OFFSET
_VERSION = 1
_VOXEL_DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# Fields of the header, without the padding before the voxels.
_FIELDS = 90


def parse_mgh_header(leading: bytes, name: str) -> VolumeHeader:
    """Check the first 284 bytes of an MGH file.

    Parameters
    ----------
    leading : bytes
        The first bytes of the (inflated) file.
    name : str
        Name of the file in errors.

    Returns
    -------
    VolumeHeader
        Checked header, as of a NIfTI file at the same place.

    Raises
    ------
    VolumeReadError
        If the header does not describe one 3-D volume of numbers with a usable affine.
    """
    raw = MGHHeader(leading[:_FIELDS], check=False)
    if int(raw["version"]) != _VERSION:
        raise VolumeReadError(
            f"{name}: the file does not start with an MGH header. Check that it is an MGH file and "
            "that the copy is complete."
        )
    shape = squeezed_shape(tuple(raw["dims"].tolist()), name)
    code = int(raw["type"])
    if code not in _VOXEL_DTYPES:
        raise VolumeReadError(
            f"{name}: the voxel type has code {code}, which is not an MGH type of grey values. "
            "Convert the volume to integers or floats."
        )
    affine = np.asarray(raw.get_affine(), dtype=np.float64)
    fault = affine_fault(affine)
    if fault is not None:
        raise VolumeReadError(f"{name}: the affine {fault}. Correct the geometry of the scan.")
    return VolumeHeader(
        header=_as_nifti(shape, affine),
        affine=affine,
        shape=shape,
        voxel_dtype=np.dtype(_VOXEL_DTYPES[code]),
        size=MGH_HEADER_SIZE,
        offset=MGH_HEADER_SIZE,
        slope=1.0,
        intercept=0.0,
        repairs=(),
        footer=MAX_FOOTER,
    )


def _as_nifti(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Nifti1Header:
    header = clean_header(Nifti1Header(), shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine, "scanner")
    header.set_sform(affine, "scanner")
    return header
