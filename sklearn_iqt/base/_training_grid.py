"""The grid of the training scans, and whether another scan fits it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.exceptions import GeometryMismatchError, ScanWarning
from sklearn_iqt.io import Cohort
from sklearn_iqt.io._orientation import axis_codes, in_mm, same_axes, slice_direction, slice_words

__all__ = ["MOST_RATIO", "SAME_RATIO", "TrainingGrid", "warn_of_mixed_axes"]

# The voxels of a scan may be this many times longer or shorter than in training.
MOST_RATIO = 2.0
# Up to this ratio, voxels have the size of the training.
SAME_RATIO = 1.1
_WRAP = "put the model into sklearn_iqt.compose.AnyGridIQT"


@dataclass(frozen=True, eq=False)
class TrainingGrid:
    """Voxel size and order of axes of the training scans.

    Parameters
    ----------
    spacing : ndarray of shape (3,)
        Voxel size of the low scans, in mm.
    orientation : str
        Directions of their axes, such as "RAS".
    scale : sequence of 3 ints
        High voxels for each low voxel.
    """

    spacing: NDArray[np.float64]
    orientation: str
    scale: Sequence[int]

    def check(self, affine: NDArray[np.floating], name: str) -> None:
        """Refuse a scan that does not fit, and warn if its voxel size differs.

        The sense of the directions is ignored: a scan that is stored from right to left shows the
        same anatomy, mirrored, as one that is stored from left to right, and patches of a few
        voxels contain structures in either sense.

        Parameters
        ----------
        affine : ndarray of shape (4, 4)
            Voxel to mm of the scan.
        name : str
            Start of messages, with the name of the scan.

        Raises
        ------
        GeometryMismatchError
            If the axes have another order, the scan is enhanced already, or its voxels are more
            than twice or less than half as long as in training.
        """
        codes, sizes = axis_codes(affine), voxel_sizes(affine)
        if same_axes(codes) != same_axes(self.orientation):
            raise GeometryMismatchError(
                f"{name} has axes in the order {_order(codes)} ({codes}), but the training images "
                f"in the order {_order(self.orientation)} ({self.orientation}). To enhance scans "
                f"in any order, {_WRAP}."
            )
        ours, theirs = slice_direction(sizes, codes), slice_direction(self.spacing, codes)
        if None not in (ours, theirs) and ours != theirs:
            raise GeometryMismatchError(
                f"{name} has {slice_words(ours)}, but the training images have "
                f"{slice_words(theirs)}. To enhance scans with slices in any direction, {_WRAP}."
            )
        found, learned = in_mm(sizes), in_mm(self.spacing)
        if self.is_enhanced(sizes):
            raise GeometryMismatchError(
                f"{name} has voxels of {found}, but the training images have voxels of {learned}. "
                "The scan seems to be enhanced already. Pass the low-quality image."
            )
        ratios = np.maximum(sizes / self.spacing, self.spacing / sizes)
        if ratios.max() > MOST_RATIO:
            raise GeometryMismatchError(
                f"{name} has voxels of {found}, but the training images have voxels of {learned}. "
                f"To enhance scans of other voxel sizes in plane, {_WRAP}. For slices of another "
                "thickness, train a model on such slices."
            )
        if ratios.max() > SAME_RATIO:
            warnings.warn(
                f"{name} has voxels of {found}, but the model has learned from {learned}. The "
                "result may be worse than for scans with the voxel size of the training.",
                ScanWarning,
                stacklevel=3,
            )

    def is_enhanced(self, sizes: NDArray[np.float64]) -> bool:
        """Return whether voxels are as small already as the model would make them.

        Parameters
        ----------
        sizes : ndarray of shape (3,)
            Voxel size of a scan, along the axes of the training.

        Returns
        -------
        bool
            True if this holds along each axis along which the model enhances.
        """
        enhanced = np.array(self.scale) > 1
        goal = SAME_RATIO * self.spacing / self.scale
        return bool(enhanced.any() and (sizes <= goal)[enhanced].all())


def warn_of_mixed_axes(cohort: Cohort, orientation: str) -> None:
    """Warn about training scans with another order of axes than most.

    Parameters
    ----------
    cohort : Cohort
        Low training scans.
    orientation : str
        Order of most of them, such as "RAS".
    """
    if cohort.low.turns:
        return
    grids = [cohort.low.grid(n) for n in range(len(cohort))]
    codes = {n: axis_codes(g.affine) for n, g in enumerate(grids) if g.affine is not None}
    odd = [n for n, own in codes.items() if same_axes(own) != same_axes(orientation)]
    if odd:
        names = ", ".join(f"{cohort.low.name_of(n)} ({codes[n]})" for n in odd[:5])
        names += f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        warnings.warn(
            f"{cohort.caller}: most training images have axes in the order {_order(orientation)} "
            f"({orientation}), but not {names}. Bring all into one order, for example with "
            "sklearn_iqt.prepare.",
            UserWarning,
            stacklevel=4,
        )


def _order(codes: str) -> str:
    names = {"R": "left-right", "A": "front-back", "S": "bottom-top"}
    return ", ".join(names[code] for code in same_axes(codes))
