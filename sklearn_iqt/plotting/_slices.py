"""Upright volumes, and slices of them at a position in mm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

# The axis that each view cuts, and the letters at its left, right, bottom and top border. The axes
# of upright volumes run to right, anterior and superior.
VIEWS = {"axial": (2, "LRPA"), "coronal": (1, "LRIS"), "sagittal": (0, "PAIS")}


class Scan(NamedTuple):
    """A volume whose axes run to right, anterior and superior."""

    voxels: NDArray[Any]
    affine: NDArray[np.float64]


class Slice(NamedTuple):
    """Pixels, first row at the bottom, and their borders (left, right, bottom, top) in mm."""

    pixels: NDArray[Any]
    extent: tuple[float, float, float, float]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        left, right, bottom, top = self.extent
        return right - left, top - bottom


def check_views(views: Sequence[str], caller: str) -> None:
    """Raise ValueError if a view is unknown, or there is no view."""
    if isinstance(views, str) or not len(views) or set(views) - set(VIEWS):
        raise ValueError(f"{caller}: views must be among {list(VIEWS)}, got {views!r}.")


def thick_view(affine: NDArray[np.float64]) -> tuple[str, str]:
    """Return a view that contains the axis of the largest voxels, and the name of this axis.

    Only such a view shows how much detail there is along the thick axis. It is the coronal view,
    or the axial view if the slices themselves are coronal.
    """
    thick = int(io_orientation(affine)[np.argmax(voxel_sizes(affine)), 0])
    axis = ("left to right", "posterior to anterior", "inferior to superior")[thick]
    return ("axial" if thick == VIEWS["coronal"][0] else "coronal"), axis


def upright(voxels: NDArray[Any], affine: NDArray[np.float64]) -> Scan:
    """Flip and permute the axes of a volume to the nearest right, anterior and superior."""
    orientation = io_orientation(affine)
    turned = affine @ inv_ornt_aff(orientation, voxels.shape)
    return Scan(apply_orientation(voxels, orientation), turned)


def cut(scan: Scan, view: str, position: NDArray[np.float64], caller: str) -> Slice:
    """Return the slice of a volume through a position in mm."""
    axis, _ = VIEWS[view]
    voxel = apply_affine(np.linalg.inv(scan.affine), position)
    number = int(np.round(voxel[axis]))
    if not -1 <= number <= scan.voxels.shape[axis]:
        raise ValueError(
            f"{caller}: position {position.tolist()} mm is outside of a volume in the {view} view. "
            "Pass a position inside of all volumes."
        )
    number = min(max(number, 0), scan.voxels.shape[axis] - 1)
    # The borders of the first and last voxel, in mm relative to the position, so that slices of
    # different grids are aligned.
    sizes = voxel_sizes(scan.affine)
    left, right, bottom, top = (
        float(sizes[a] * (end - voxel[a]))
        for a in range(3)
        if a != axis
        for end in (-0.5, scan.voxels.shape[a] - 0.5)
    )
    return Slice(np.take(scan.voxels, number, axis=axis).T, (left, right, bottom, top))
