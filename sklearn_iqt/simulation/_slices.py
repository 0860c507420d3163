"""Distributions of the voxels of a scan: thickness and direction of slices, and size in plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_iqt.io import Grid
from sklearn_iqt.simulation._brains import Brain, LowBrain
from sklearn_iqt.simulation._degrade import apply_matrix, slice_matrix
from sklearn_iqt.simulation._rendering import pure_means

_PROFILES = ("gaussian", "box")


class Slices(NamedTuple):
    """
    The voxels of one scan, relative to a high volume whose last axis crosses the slices.

    Parameters
    ----------
    axis : int
        Stored axis of the high volume that crosses the slices. It changes places with the last one.
    steps : ndarray of shape (3,)
        Distance between the centres of voxels, in high voxels.
    widths : ndarray of shape (3,)
        Full width at half maximum of a voxel, in high voxels.
    phases : ndarray of shape (3,)
        Place of the first voxel within its step, in [0, 1).
    profile : {"gaussian", "box"}
        Profile of the slices.
    to_high_grid : bool
        Whether the scan is interpolated onto the grid of the high volume.
    """

    axis: int
    steps: NDArray[np.float64]
    widths: NDArray[np.float64]
    phases: NDArray[np.float64]
    profile: str
    to_high_grid: bool

    @property
    def order(self) -> list[int]:
        """Stored axis in each place of the turned volume."""
        order = [0, 1, 2]
        order[self.axis], order[2] = 2, self.axis
        return order

    def turned(self, array: NDArray) -> NDArray:
        """
        Return an array with the axis that crosses the slices in the last place.

        Parameters
        ----------
        array : ndarray of shape (..., i, j, k)
            Volume, or maps.

        Returns
        -------
        ndarray
            A view.
        """
        return array.swapaxes(self.axis - 3, -1)

    def turned_grid(self, grid: Grid) -> Grid:
        """
        Return a grid with the axis that crosses the slices in the last place, or turn it back.

        Parameters
        ----------
        grid : Grid
            Shape and affine.

        Returns
        -------
        Grid
            The same grid with two axes exchanged.
        """
        shape = tuple(grid.shape[axis] for axis in self.order)
        return Grid(shape, None if grid.affine is None else grid.affine[:, [*self.order, 3]])

    def grids(self, high: Grid, name: str = "") -> tuple[Grid, Grid]:
        """
        Return the grids of a scan and of its high volume, both turned.

        Parameters
        ----------
        high : Grid
            Grid of a high volume, not turned.
        name : str, default=""
            Not used.

        Returns
        -------
        tuple of two Grid
            The field of view of the scan covers that of the high volume.
        """
        target = self.turned_grid(high)
        place = None if target.affine is None else target.affine @ self.to_high()
        return Grid(self._n_voxels(target.shape), place), target

    def apply(self, brain: Brain, mask_target: bool) -> LowBrain:
        """
        Blur and sample a brain.

        Parameters
        ----------
        brain : Brain
            High volume and maps.
        mask_target : bool
            Whether the high volume is multiplied by the sum of its maps.

        Returns
        -------
        LowBrain
            The turned brain, on the grid of the scan.
        """
        means = pure_means(brain.volume, brain.maps, brain.name)
        low, maps = (self.sample(self.turned(array)) for array in (brain.volume, brain.maps))
        size = self.steps * brain.voxel_size[self.order]
        target = np.ascontiguousarray(self.turned(brain.target(mask_target)))
        return LowBrain(low, maps, means, size, target)

    def to_high(self) -> NDArray[np.float64]:
        """
        Return the affine from voxels of the scan to voxels of the turned high volume.

        Returns
        -------
        ndarray of shape (4, 4)
            Steps on the diagonal.
        """
        return from_matvec(np.diag(self.steps), self._first())

    def sample(self, turned: NDArray[np.floating]) -> NDArray[np.floating]:
        """
        Blur a turned volume by the profiles of the voxels, and sample it at their centres.

        Parameters
        ----------
        turned : ndarray of shape (..., i, j, k)
            High volume or maps.

        Returns
        -------
        ndarray of shape (..., i', j', k')
            On the grid of the scan.
        """
        first, n_voxels = self._first(), self._n_voxels(turned.shape[-3:])
        for axis in (2, 1, 0):  # the slices first, which leaves the least to do
            matrix = slice_matrix(
                turned.shape[axis - 3],
                n_voxels[axis],
                self.steps[axis],
                first[axis],
                self.widths[axis],
                profile=self.profile if axis == 2 else "gaussian",
                mode="nearest",
            )
            turned = apply_matrix(turned, matrix, axis - 3)
        return turned

    def _first(self) -> NDArray[np.float64]:
        """Return the centre of the first voxel, such that it covers the first high voxel."""
        return (self.steps - 1) / 2 - self.phases * self.steps

    def _n_voxels(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return how many voxels cover a turned high volume."""
        beyond = (np.array(shape) - 0.5 - self._first()) / self.steps + 0.5
        return tuple(np.ceil(beyond - 1e-6).astype(int).tolist())


@dataclass(frozen=True)
class SliceGeometry:
    """
    Describe scans with slices of any thickness and direction, and voxels of any size in plane.

    Each parameter with a range is drawn uniformly and independently for each scan.

    Parameters
    ----------
    thickness : tuple of two floats, default=(2.0, 6.5)
        Thinnest and thickest slice in mm: the full width at half maximum of its profile, above 0.
    gap : tuple of two floats, default=(0.0, 1.0)
        Smallest and largest gap between slices in mm, at least 0. The distance between the centres
        of two slices is thickness plus gap.
    in_plane : tuple of two floats, default=(0.8, 1.8)
        Smallest and largest voxel in plane in mm, above 0. Both sides are equal. Voxels that
        are smaller than in the high volume are interpolated.
    axes : sequence of ints, default=(0, 1, 2)
        Stored axes of the high volume that may cross the slices, each with the same probability.
        Leave out axes along which the high volume is not sharp.
    profiles : sequence of {"gaussian", "box"}, default=("gaussian", "box")
        Slice profiles to choose from.
    phase : bool, default=True
        Whether the place of the first voxel is drawn as well. Otherwise the first voxel begins
        where the high volume begins.
    to_high_grid : bool, default=True
        Whether a scan is interpolated onto the grid of its high volume, with the slices along the
        last axis of both. This is the input of a model with ``scale=1`` that enhances scans of any
        grid. With False a scan keeps its own grid.

    Raises
    ------
    ValueError
        If a range, an axis or a profile is not valid.

    Notes
    -----
    :func:`sklearn_iqt.preprocessing.resample_to` with ``order=3`` interpolates scans onto the high
    grid in the same way.

    Examples
    --------
    >>> from sklearn_iqt.simulation import SliceGeometry
    >>> geometry = SliceGeometry(thickness=(4, 4), gap=(0, 0), in_plane=(1, 1), axes=(2,))
    >>> geometry.sample((1, 1, 1), random_state=0).steps
    array([1., 1., 4.])
    """

    thickness: tuple[float, float] = (2.0, 6.5)
    gap: tuple[float, float] = (0.0, 1.0)
    in_plane: tuple[float, float] = (0.8, 1.8)
    axes: Sequence[int] = (0, 1, 2)
    profiles: Sequence[str] = _PROFILES
    phase: bool = True
    to_high_grid: bool = True

    def __post_init__(self) -> None:
        """Check the parameters and keep them as plain, hashable tuples."""
        for name, lowest in (("thickness", 1e-9), ("gap", 0.0), ("in_plane", 1e-9)):
            object.__setattr__(
                self, name, check_range(getattr(self, name), name, lowest, caller="SliceGeometry")
            )
        for name, allowed in (("axes", (0, 1, 2)), ("profiles", _PROFILES)):
            given = getattr(self, name)
            chosen = tuple(np.atleast_1d(np.asarray(given)).tolist())
            if not chosen or not set(chosen) <= set(allowed):
                raise ValueError(
                    f"SliceGeometry: {name} must be one or more of {allowed}, got {given!r}."
                )
            object.__setattr__(self, name, chosen)

    def sample(self, voxel_size: Any, random_state: Any = None) -> Slices:
        """
        Draw the voxels of one scan.

        Parameters
        ----------
        voxel_size : sequence of three floats
            Voxel size of the high volume in mm.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        Slices
            The voxels, relative to those of the high volume.
        """
        # Always eight numbers, so that each parameter affects only its own draw.
        uniform = check_random_state(random_state).uniform(size=8)
        thickness, gap, in_plane = (
            low + (high - low) * u
            for (low, high), u in zip(
                (self.thickness, self.gap, self.in_plane), uniform, strict=False
            )
        )
        axis = self.axes[int(uniform[3] * len(self.axes))]
        sizes = np.asarray(voxel_size, dtype=np.float64).copy()
        sizes[axis], sizes[2] = sizes[2], sizes[axis]
        return Slices(
            axis,
            np.array([in_plane, in_plane, thickness + gap]) / sizes,
            np.array([in_plane, in_plane, thickness]) / sizes,
            uniform[5:] if self.phase else np.zeros(3),
            self.profiles[int(uniform[4] * len(self.profiles))],
            self.to_high_grid,
        )


def check_range(value: Any, name: str, lowest: float, *, caller: str) -> tuple[float, float]:
    """
    Return a number, or a range of two numbers, as a range.

    Parameters
    ----------
    value : float or pair of floats
        One number stands for itself twice.
    name, caller : str
        Name of the parameter, and the class that the message names.
    lowest : float
        Smallest allowed number.

    Returns
    -------
    tuple of two floats
        Lowest and highest value.

    Raises
    ------
    ValueError
        If the numbers are not finite, not ordered or below the lowest.
    """
    try:
        ends = np.broadcast_to(np.asarray(value, dtype=np.float64), 2)
    except (TypeError, ValueError):
        ends = np.full(2, np.nan)
    if not (np.isfinite(ends).all() and lowest <= ends[0] <= ends[1]):
        bound = "above 0" if 0 < lowest < 1e-6 else f"at least {lowest:g}"
        raise ValueError(
            f"{caller}: {name} must be a finite number {bound}, or a range of two "
            f"(lowest, highest), got {value!r}."
        )
    return float(ends[0]), float(ends[1])
