"""Steps that bring a scan to the grid of the training scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.base import TrainingGrid
from sklearn_iqt.base._training_grid import MOST_RATIO, SAME_RATIO
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io._orientation import (
    axis_codes,
    in_mm,
    reorient,
    same_axes,
    sizes_along,
    slice_direction,
    slice_words,
)
from sklearn_iqt.preprocessing import resample_to, resample_to_voxel_size

__all__ = ["ScanPlan", "interpolated_pair", "plan_interpolation", "plan_scan", "voxel_range"]

# Voxels that differ by less than this fraction are not resampled.
_SAME_SIZE = 0.05


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """Steps that bring a scan to the grid of the training scans, and back.

    Parameters
    ----------
    codes : str
        Directions of the axes of the scan, such as "LPI".
    orientation : str
        Directions in which the model gets them.
    sizes : ndarray of shape (3,)
        Voxel size of the scan along these axes, in mm.
    voxel_size : ndarray of shape (3,)
        Voxel size to which it is resampled. It differs from `sizes` only where it is resampled.
    slices : {"R", "A", "S"} or None
        Direction in which thick slices of the scan are stacked.
    notes : tuple of str
        Reasons for which the result may be worse than on scans like those of the training.
    """

    codes: str
    orientation: str
    sizes: NDArray[np.float64]
    voxel_size: NDArray[np.float64]
    slices: str | None
    notes: tuple[str, ...]

    @property
    def resampled(self) -> bool:
        """True if the scan is interpolated."""
        return bool((self.sizes != self.voxel_size).any())

    def apply(self, image: nibabel.Nifti1Image, order: int) -> nibabel.Nifti1Image:
        """Bring a scan, or its mask, to the grid of the training scans.

        Parameters
        ----------
        image : nibabel.Nifti1Image
            The scan.
        order : int
            Order of the splines.

        Returns
        -------
        nibabel.Nifti1Image
            If the scan is not resampled, the same voxels in another order.
        """
        image = reorient(image, self.orientation)
        if self.resampled:
            return resample_to_voxel_size(image, self.voxel_size.tolist(), order=order)
        return image

    def describe(self) -> str | None:
        """Return the steps in words, or None if there is nothing to do."""
        steps = []
        if self.orientation != self.codes:
            steps.append(f"its axes were reordered from {self.codes} to {self.orientation}")
        if self.resampled:
            steps.append(f"it was resampled from {in_mm(self.sizes)} to {in_mm(self.voxel_size)}")
        return ", and ".join(steps) or None

    def to_record(self) -> dict[str, Any]:
        """Return the steps as JSON holds them."""
        return {
            "Orientation": {"Scan": self.codes, "Model": self.orientation},
            "VoxelSize": {
                "Scan": [round(float(size), 4) for size in self.sizes],
                "Model": [round(float(size), 4) for size in self.voxel_size],
            },
        }


def plan_scan(trained_on: TrainingGrid, affine: NDArray[np.floating], name: str) -> ScanPlan:
    """Choose the steps for a scan, or refuse it if no resampling can make it fit.

    Parameters
    ----------
    trained_on : TrainingGrid
        Grid of the training scans.
    affine : ndarray of shape (4, 4)
        Voxel to mm of the scan.
    name : str
        Start of messages, with the name of the scan.

    Returns
    -------
    ScanPlan
        The axes are put in the order of the training. If the slices of the scan are stacked in
        another direction, they take the place of the slices of the training.

    Raises
    ------
    GeometryMismatchError
        If the scan is enhanced already, its slices are more than twice or less than half as thick
        as in training, its voxels are more than twice as long in plane, or it has thick slices and
        the training scans have none.
    """
    codes, orientation = axis_codes(affine), trained_on.orientation
    ours = slice_direction(voxel_sizes(affine), codes)
    theirs = slice_direction(trained_on.spacing, orientation)
    notes = []
    if ours is not None and theirs is not None and ours != theirs:
        notes.append(
            f"it has {slice_words(ours)}, but the training images have {slice_words(theirs)}"
        )
        orientation = _swapped(orientation, ours, theirs)
    sizes, learned = sizes_along(affine, orientation), trained_on.spacing
    if trained_on.is_enhanced(sizes):
        raise GeometryMismatchError(
            f"{name} has voxels of {in_mm(sizes)}, as small as the model would make them from "
            f"{in_mm(learned)}. There is nothing to enhance. If the scan was enhanced already, "
            "pass the low-quality image."
        )
    if theirs is None and ours is not None:
        # The slices would be interpolated, or the voxels in plane averaged.
        raise GeometryMismatchError(
            f"{name} has {slice_words(ours)} with voxels of {in_mm(sizes)}, but the training "
            f"images have no thick slices, with voxels of {in_mm(learned)}. Resampling cannot turn "
            "one into the other. Use a model that was trained on such slices."
        )
    k = None if theirs is None else same_axes(trained_on.orientation).index(theirs)
    in_plane = np.arange(3) != k
    ratios = sizes / learned
    if k is not None and not 1 / MOST_RATIO <= ratios[k] <= MOST_RATIO:
        kind = "thicker" if ratios[k] > 1 else "thinner"
        raise GeometryMismatchError(
            f"{name} has slices of {sizes[k]:.4g} mm, more than {MOST_RATIO:g} times {kind} than "
            f"in the training images ({learned[k]:.4g} mm). Use a model that was trained on such "
            "slices."
        )
    if (ratios[in_plane] > MOST_RATIO).any():
        raise GeometryMismatchError(
            f"{name} has voxels of {in_mm(sizes)}, in plane more than {MOST_RATIO:g} times as "
            f"long as in the training images ({in_mm(learned)}). Resampling cannot restore such "
            "detail. Use a model that was trained on such scans."
        )
    if k is not None and max(ratios[k], 1 / ratios[k]) > SAME_RATIO:
        notes.append(f"its slices are {sizes[k]:.4g} mm thick, but {learned[k]:.4g} mm in training")
    resampled = in_plane & (np.abs(ratios - 1) > _SAME_SIZE)
    voxel_size = np.where(resampled, learned, sizes)
    if (voxel_size / sizes).max() > SAME_RATIO:
        notes.append(
            f"it loses detail when it is resampled from {in_mm(sizes)} to {in_mm(voxel_size)}"
        )
    return ScanPlan(codes, orientation, sizes, voxel_size, ours, tuple(notes))


def plan_interpolation(
    target: NDArray[np.float64],
    learned: NDArray[np.float64] | None,
    affine: NDArray[np.floating],
    name: str,
) -> ScanPlan:
    """Choose the steps that interpolate a scan to the voxel size of a result, slices last.

    Parameters
    ----------
    target : ndarray of shape (3,)
        Voxel size of the result, in mm.
    learned : ndarray of shape (2, 2), or None
        Voxel sizes of the training scans, see :func:`voxel_range`. None if they are not known.
    affine : ndarray of shape (4, 4)
        Voxel to mm of the scan.
    name : str
        Start of messages, with the name of the scan.

    Returns
    -------
    ScanPlan
        If the scan has thick slices, the axis along which they are stacked changes places with the
        last one.

    Raises
    ------
    GeometryMismatchError
        If the voxels of the scan are as small as those of the result already, or more than twice
        as long as in training.
    """
    orientation = slices_last(affine)
    sizes = sizes_along(affine, orientation)
    if (sizes <= SAME_RATIO * target).all():
        raise GeometryMismatchError(
            f"{name} has voxels of {in_mm(sizes)}, as small as the model would make them "
            f"({in_mm(target)}). There is nothing to enhance. If the scan was enhanced or "
            "interpolated already, pass the low-quality image."
        )
    notes = []
    found = {"in plane": sizes[:2].max(), "along the slices": sizes[2]}
    known = [] if learned is None else zip(found.items(), learned.T, strict=True)
    for (where, size), (least, most) in known:
        span = f"{least:.4g} mm" if least == most else f"{least:.4g} to {most:.4g} mm"
        if size > MOST_RATIO * most:
            raise GeometryMismatchError(
                f"{name} has voxels of {in_mm(sizes)}, {where} more than {MOST_RATIO:g} times as "
                f"long as in the training scans ({span}). Use a model that was trained on such "
                "scans."
            )
        if not least / SAME_RATIO <= size <= SAME_RATIO * most:
            notes.append(f"its voxels are {size:.4g} mm long {where}, but {span} in training")
    resampled = np.abs(sizes / target - 1) > _SAME_SIZE
    voxel_size = np.where(resampled, target, sizes)
    codes = axis_codes(affine)
    slices = slice_direction(voxel_sizes(affine), codes)
    return ScanPlan(codes, orientation, sizes, voxel_size, slices, tuple(notes))


def voxel_range(affines: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return the smallest and the largest voxels of scans.

    Parameters
    ----------
    affines : sequence of ndarray of shape (4, 4)
        Voxel to mm of each scan.

    Returns
    -------
    ndarray of shape (2, 2)
        Smallest length in the first row and largest in the second, in mm. The first column is the
        longer side in plane, the second the length along the slices.
    """
    sizes = np.array([sizes_along(affine, slices_last(affine)) for affine in affines])
    lengths = np.column_stack([sizes[:, :2].max(axis=1), sizes[:, 2]])
    return np.array([lengths.min(axis=0), lengths.max(axis=0)])


def interpolated_pair(
    images: Sequence[nibabel.Nifti1Image], voxel_size: NDArray[np.float64] | None, order: int
) -> list[nibabel.Nifti1Image]:
    """Bring a pair and its mask to one grid, which has the slices of the low scan last.

    Parameters
    ----------
    images : sequence of nibabel.Nifti1Image
        The low and the high scan of one person, in the same place in mm, and perhaps a mask.
    voxel_size : ndarray of shape (3,), or None
        Voxel size of the grid, in mm. By default that of the high scan.
    order : int
        Order of the splines.

    Returns
    -------
    list of nibabel.Nifti1Image
        The same on one grid. Their affines hold the voxel size alone, because the model learns from
        slices of any direction. The high scan is only resampled if its voxels have another size.
    """
    low, high, *masks = images
    high = reorient(
        high, _with_last(axis_codes(high.affine), same_axes(slices_last(low.affine))[2])
    )
    sizes = voxel_sizes(high.affine)
    if voxel_size is not None and (np.abs(sizes / voxel_size - 1) > _SAME_SIZE).any():
        high, sizes = resample_to_voxel_size(high, voxel_size.tolist(), order=order), voxel_size
    moved = [resample_to(low, high, order=order), high]
    moved += [resample_to(mask, high, order=0) for mask in masks]
    return [nibabel.Nifti1Image(image.dataobj, np.diag([*sizes, 1])) for image in moved]


def slices_last(affine: NDArray[np.floating]) -> str:
    """Return the directions of the axes of a scan after its slices are stacked along the last.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
        Voxel to mm of the scan.

    Returns
    -------
    str
        The directions of the scan itself if it has no thick slices.
    """
    codes = axis_codes(affine)
    direction = slice_direction(voxel_sizes(affine), codes)
    return codes if direction is None else _with_last(codes, direction)


def _with_last(orientation: str, direction: str) -> str:
    """Return an orientation with one direction last, by one exchange."""
    return _swapped(orientation, direction, same_axes(orientation)[2])


def _swapped(orientation: str, first: str, second: str) -> str:
    """Return an orientation with two directions in exchanged places."""
    places = [same_axes(orientation).index(direction) for direction in (first, second)]
    codes = list(orientation)
    codes[places[0]], codes[places[1]] = codes[places[1]], codes[places[0]]
    return "".join(codes)
