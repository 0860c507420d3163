"""Choose one order of axes, one scale and one voxel size for a cohort, from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt._axes import per_axis
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Grid
from sklearn_iqt.io._orientation import (
    axis_codes,
    in_mm,
    reorient,
    sizes_along,
    slice_direction,
    slice_words,
)

# How far the voxel sizes of one scan may be from the median of the cohort.
_SAME_SIZE = 0.1
# A high scan whose voxels are this many times as long as the others is probably a wrong file.
_COARSER = 1.5


@dataclass(frozen=True)
class GridPlan:
    """The grids that all pairs of a cohort are brought to.

    Parameters
    ----------
    orientation : str
        Directions of the three axes, such as "RAS". The thick axis is the last one.
    thick_axis : str or None
        The thick axis of the low scans: "R", "A" or "S". None if no axis is thick.
    scale : tuple of 3 ints
        High voxels for each low voxel, along each axis.
    voxel_size : tuple of 3 floats
        Size of the high voxels, in mm. Where low scans are not resampled, each pair has the size of
        its low voxels divided by the scale.
    resampled : tuple of 3 bools
        Axes along which low scans are resampled.
    """

    orientation: str
    thick_axis: str | None
    scale: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    resampled: tuple[bool, bool, bool]

    def reorient(self, image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
        """Put the axes of a scan into this order, by swaps and flips.

        Parameters
        ----------
        image : nibabel.Nifti1Image
            A scan.

        Returns
        -------
        nibabel.Nifti1Image
            The same voxels in the same places.
        """
        return reorient(image, self.orientation)

    def low_voxel_size(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the voxel size to which a low scan is brought.

        Parameters
        ----------
        affine : ndarray of shape (4, 4)
            Voxel to mm of the reoriented scan.

        Returns
        -------
        ndarray of shape (3,)
            In mm.
        """
        wanted = np.multiply(self.voxel_size, self.scale)
        return np.where(self.resampled, wanted, voxel_sizes(affine))


def plan_grids(
    low: Sequence[Grid],
    high: Sequence[Grid],
    names: Sequence[tuple[str, str]],
    *,
    voxel_size: Any,
    scale: Any,
    caller: str,
) -> GridPlan:
    """Choose the grids of a cohort, and refuse pairs that do not fit.

    Parameters
    ----------
    low, high : sequence of Grid
        Grids of the files.
    names : sequence of tuples of 2 str
        What error messages call the two scans of each pair.
    voxel_size : float, sequence of 3 floats or None
        Wanted size of the high voxels in mm, or None for the median of the high scans.
    scale : int, sequence of 3 ints or None
        Wanted scale, or None to choose it.
    caller : str
        What error messages start with.

    Returns
    -------
    GridPlan
        One plan for all pairs.

    Raises
    ------
    GeometryMismatchError
        If the pairs cannot have one order of axes, one scale and one voxel size.
    ValueError
        If a parameter is wrong.
    """
    affines: list[Any] = [grid.affine for grid in low]
    high_affines: list[Any] = [grid.affine for grid in high]
    thick = [slice_direction(voxel_sizes(affine), axis_codes(affine)) for affine in affines]
    thick_axis = Counter(thick).most_common(1)[0][0]
    for found, (name, _) in zip(thick, names, strict=True):
        if found != thick_axis:
            raise GeometryMismatchError(
                f"{caller}: {name} has {slice_words(found)}, but most low scans have "
                f"{slice_words(thick_axis)}. Prepare them as two cohorts."
            )
    in_plane = "RAS".replace(thick_axis or "", "")
    orientation = in_plane + (thick_axis or "")
    low_sizes = np.array([sizes_along(affine, orientation) for affine in affines])
    high_sizes = np.array([sizes_along(affine, orientation) for affine in high_affines])
    for ours, theirs, pair in zip(low_sizes, high_sizes, names, strict=True):
        if ours.prod() < (1 - _SAME_SIZE) * theirs.prod():
            raise GeometryMismatchError(
                f"{caller}: the low scan {pair[0]} has smaller voxels ({in_mm(ours)}) than the "
                f"high scan {pair[1]} ({in_mm(theirs)}). Check that low and high are not swapped."
            )
    low_size, high_size = np.median(low_sizes, axis=0), np.median(high_sizes, axis=0)
    wanted = high_size if voxel_size is None else _check_size(voxel_size, caller)
    slices = thick_axis is not None
    resampled = np.array([slices, slices, False]) | (not slices and voxel_size is not None)
    if scale is None:
        factors = np.maximum(1, np.rint(low_size / wanted)).astype(int)
        factors[:2] = 1 if slices else factors[:2]
        scale = factors.tolist()
    scale = per_axis(scale, "scale", caller)
    wanted = np.where(resampled, wanted, low_size / scale)
    for ours, theirs, pair in zip(low_sizes, high_sizes, names, strict=True):
        _check_pair(ours, theirs, low_size, high_size, resampled, pair, caller)
    return GridPlan(
        orientation,
        thick_axis,
        scale,
        tuple(float(size) for size in wanted),  # type: ignore[arg-type]
        tuple(bool(axis) for axis in resampled),  # type: ignore[arg-type]
    )


def _check_pair(
    ours: NDArray,
    theirs: NDArray,
    low_size: NDArray,
    high_size: NDArray,
    resampled: NDArray[np.bool_],
    names: tuple[str, str],
    caller: str,
) -> None:
    off = np.abs(ours / low_size - 1) > _SAME_SIZE
    if (off & ~resampled).any():
        raise GeometryMismatchError(
            f"{caller}: {names[0]} has voxels of {in_mm(ours)}, but the low scans have "
            f"{in_mm(low_size)} in the median. One scale needs slices of one thickness, within "
            f"{_SAME_SIZE:.0%}. Prepare them as two cohorts, or resample this scan first."
        )
    if (theirs > _COARSER * high_size).any():
        raise GeometryMismatchError(
            f"{caller}: {names[1]} has voxels of {in_mm(theirs)}, but the high scans have "
            f"{in_mm(high_size)} in the median. Check that it is the right scan."
        )


def _check_size(voxel_size: Any, caller: str) -> NDArray[np.float64]:
    try:
        wanted = np.broadcast_to(np.asarray(voxel_size, dtype=np.float64), (3,))
    except (TypeError, ValueError):
        wanted = np.zeros(3)
    if not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(
            f"{caller}: voxel_size must be one or three positive finite lengths in mm, got "
            f"{voxel_size!r}."
        )
    return wanted
