"""Containers of volumes, and NIfTI files, which are checked when they are read and written."""

from sklearn_iqt.io._cohort import Cohort, Pair
from sklearn_iqt.io._collection import VolumeCollection
from sklearn_iqt.io._containers import as_volumes, is_rows, read_volume
from sklearn_iqt.io._geometry import scaled_affine
from sklearn_iqt.io._grid import Grid, GridDifference, compare_grids
from sklearn_iqt.io._nifti import load_volume, read_geometry
from sklearn_iqt.io._replace import replaced_file
from sklearn_iqt.io._save import save_volume

__all__ = [
    "Cohort",
    "Grid",
    "GridDifference",
    "Pair",
    "VolumeCollection",
    "as_volumes",
    "compare_grids",
    "is_rows",
    "load_volume",
    "read_geometry",
    "read_volume",
    "replaced_file",
    "save_volume",
    "scaled_affine",
]
