"""Volumes in and out: containers, NIfTI files, and the gate that refuses bad ones."""

from sklearn_iqt.io._collection import VolumeCollection, as_volumes, is_rows
from sklearn_iqt.io._geometry import grid_offset, scaled_affine
from sklearn_iqt.io._nifti import load_volume, read_geometry
from sklearn_iqt.io._replace import replaced_file
from sklearn_iqt.io._save import save_volume

__all__ = [
    "VolumeCollection",
    "as_volumes",
    "grid_offset",
    "is_rows",
    "load_volume",
    "read_geometry",
    "replaced_file",
    "save_volume",
    "scaled_affine",
]
