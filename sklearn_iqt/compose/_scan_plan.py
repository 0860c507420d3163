"""Steps that bring a scan to the grid of the training scans."""

from __future__ import annotations

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
from sklearn_iqt.preprocessing import resample_to_voxel_size

__all__ = ["ScanPlan", "plan_scan"]

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
    notes : tuple of str
        Reasons for which the result may be worse than on scans like those of the training.
    """

    codes: str
    orientation: str
    sizes: NDArray[np.float64]
    voxel_size: NDArray[np.float64]
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
    return ScanPlan(codes, orientation, sizes, voxel_size, tuple(notes))


def _swapped(orientation: str, first: str, second: str) -> str:
    """Return an orientation with two directions in exchanged places."""
    places = [same_axes(orientation).index(direction) for direction in (first, second)]
    codes = list(orientation)
    codes[places[0]], codes[places[1]] = codes[places[1]], codes[places[0]]
    return "".join(codes)
