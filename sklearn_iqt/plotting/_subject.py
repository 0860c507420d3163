"""The volumes of one subject, compared with its main volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Grid, compare_grids, read_volume, scaled_affine
from sklearn_iqt.io._masks import mask_foreground
from sklearn_iqt.plotting._slices import Scan, Slice, cut, upright
from sklearn_iqt.preprocessing import foreground_mask

# Errors are equal if they differ by less than this fraction of the brightness of the truth.
_EQUAL = 1e-3


class Subject:
    """Read the volumes of a subject, and compare them with the main volume.

    The main volume determines the position of the slices, the window and the brain.

    Parameters
    ----------
    main : array of shape (i, j, k), nibabel image or path
        The truth, or the only volume.
    name : str
        Name of the main volume in messages.
    affine : array-like of shape (4, 4), optional
        Map from voxels to mm of the main volume if it is an array. The default is the identity.
    mask : array of shape (i, j, k), nibabel image or path, optional
        Brain, where it is above zero. By default, the voxels where the main volume is above zero.
    position : sequence of 3 floats, optional
        Point in mm through which slices are cut. The default is the centre of the brain.
    caller : str
        Name of the function in messages.
    """

    def __init__(
        self,
        main: Any,
        name: str,
        *,
        affine: ArrayLike | None = None,
        mask: Any = None,
        position: Sequence[float] | None = None,
        caller: str,
    ) -> None:
        self._caller = caller
        voxels, own = read_volume(main, name=name, caller=caller)
        if own is None:
            own = np.eye(4) if affine is None else scaled_affine(affine, 1)
        self._stored_shape, self._stored_affine = voxels.shape, own
        self.main = upright(voxels, own)
        self.position = self._middle() if position is None else np.asarray(position, dtype=float)
        if self.position.shape != (3,) or not np.isfinite(self.position).all():
            raise ValueError(f"{caller}: position must be 3 numbers in mm, got {position!r}.")
        self.window = brightness(self.main.voxels)
        self.brain = self._brain(mask)

    def read(self, volume: Any, name: str) -> Scan:
        """Read a volume. An array covers the field of view of the main volume."""
        voxels, own = read_volume(volume, name=name, caller=self._caller)
        if own is None:
            zoom = np.divide(voxels.shape, self._stored_shape)
            own = scaled_affine(self._stored_affine, zoom)
        return upright(voxels, own)

    def read_same(self, volume: Any, name: str) -> Scan:
        """Read a volume that must be on the grid of the main volume."""
        scan = self.read(volume, name)
        if not self.same_grid(scan, name):
            raise GeometryMismatchError(
                f"{self._caller}: {name} has shape {scan.voxels.shape} and the truth "
                f"{self.main.voxels.shape}, after both were turned upright. Their grids must be "
                f"the same. Interpolate {name} first, for example with InterpolationIQT."
            )
        return scan

    def same_grid(self, scan: Scan, name: str) -> bool:
        """Return whether a volume is on the grid of the main volume.

        A volume of the same shape with another affine raises GeometryMismatchError. Both volumes
        are compared upright, so that the order of their stored axes does not matter.
        """
        expected, found = (Grid(s.voxels.shape, s.affine) for s in (self.main, scan))
        difference = compare_grids(expected, found)
        if difference is None or difference.shape_differs:
            return difference is None
        raise GeometryMismatchError(
            f"{self._caller}: {name} has the shape of the truth but {difference}. Resample {name}, "
            "or correct its affine."
        )

    def error(self, scan: Scan) -> Scan:
        """Return the absolute error of a volume on the grid of the main volume."""
        return Scan(np.abs(scan.voxels - self.main.voxels), scan.affine)

    def improvement(self, scan: Scan, baseline: Scan, threshold: float | None) -> Scan:
        """Return a map of the voxels in the brain where a volume is closer to the truth."""
        low, high = self.window
        margin = _EQUAL * (high - low) if threshold is None else threshold
        gain = self.error(baseline).voxels - self.error(scan).voxels
        return Scan((gain > margin) & self.brain, scan.affine)

    def fraction(self, improved: Scan) -> float:
        """Return the fraction of the brain where a volume is closer to the truth."""
        return float(improved.voxels[self.brain].mean())

    def cut(self, scan: Scan, view: str) -> Slice:
        """Return the slice of a volume through the position."""
        return cut(scan, view, self.position, self._caller)

    def _brain(self, mask: Any) -> NDArray[np.bool_]:
        if mask is not None:
            return mask_foreground(self.read_same(mask, "mask").voxels, f"{self._caller}: mask")
        # The truth is zero outside of the brain, and in holes that do not belong to the brain.
        brain = foreground_mask(self.main.voxels, threshold="zero", fill_holes=False)
        return brain if brain.any() else np.ones_like(brain)

    def _middle(self) -> NDArray[np.float64]:
        """Return the median position of the bright voxels in mm."""
        bright = np.argwhere(foreground_mask(self.main.voxels, fill_holes=False))
        return apply_affine(self.main.affine, np.median(bright, axis=0))


def brightness(voxels: NDArray[Any]) -> tuple[float, float]:
    """Return the intensities of black and of white."""
    high = float(np.percentile(voxels[foreground_mask(voxels, fill_holes=False)], 99.5))
    low = float(np.percentile(voxels, 0.5))
    # Noise around zero is drawn black. In a volume with mean zero, negative intensities are not
    # noise.
    low = low if low < -0.5 * high else 0.0
    return low, high if high > low else low + 1.0
