"""High volumes with their tissue maps, and the same blurred and sampled at the voxels of a scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, Grid, scaled_affine
from sklearn_iqt.simulation._degrade import degrade
from sklearn_iqt.simulation._lesions import add_lesions, depth_of
from sklearn_iqt.simulation._maps import read_maps
from sklearn_iqt.simulation._rendering import pure_means


class LowBrain(NamedTuple):
    """
    A brain on the grid of a scan, before contrast and noise, and its high volume.

    Parameters
    ----------
    low : ndarray of shape (i, j, k)
        Blurred and sampled volume.
    maps : ndarray of shape (3, i, j, k)
        Blurred and sampled maps of CSF, GM and WM.
    means : tuple of two floats
        Mean intensities of pure GM and of pure WM.
    voxel_size : ndarray of shape (3,)
        Voxel size of the scan in mm; voxels of arrays have 1 mm before they are sampled.
    target : ndarray
        High volume.
    """

    low: NDArray[np.floating]
    maps: NDArray[np.floating]
    means: tuple[float, float]
    voxel_size: NDArray[np.float64]
    target: NDArray[np.floating]


@dataclass(frozen=True)
class FixedSlices:
    """
    Slices that are the same in each scan: a whole number of high voxels apart.

    Parameters
    ----------
    scale : tuple of 3 ints
        High voxels in a low voxel.
    thickness : tuple of 3 floats
        Full width at half maximum of the slice profile, in high voxels.
    alignment : {"center", "corner"}
        Position of a low voxel in its block.
    """

    scale: tuple[int, ...]
    thickness: tuple[float, ...]
    alignment: str

    def grids(self, high: Grid, name: str) -> tuple[Grid, Grid]:
        """
        Return the grids of a scan and of its high volume.

        Parameters
        ----------
        high : Grid
            Grid of a high volume.
        name : str
            Name of the volume in messages.

        Returns
        -------
        tuple of two Grid
            The high volume is cropped at the far end to a whole number of blocks.
        """
        shape = tuple(n // s for n, s in zip(high.shape, self.scale, strict=True))
        if 0 in shape:
            raise GeometryMismatchError(
                f"{name} has shape {high.shape}, but one low voxel "
                f"needs scale={self.scale} voxels. Pass a larger volume or a smaller scale."
            )
        affine = None
        if high.affine is not None:
            affine = scaled_affine(high.affine, [1 / s for s in self.scale], self.alignment)
        cropped = tuple(n * s for n, s in zip(shape, self.scale, strict=True))
        return Grid(shape, affine), Grid(cropped, high.affine)

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
            The brain on the grid of the scan.
        """
        _, cropped = self.grids(Grid(brain.volume.shape, brain.affine), brain.name)
        low, maps = (
            degrade(array, scale=self.scale, thickness=self.thickness, alignment=self.alignment)
            for array in (brain.volume, brain.maps)
        )
        means = pure_means(low, maps, brain.name, "low voxels")
        crop = tuple(slice(n) for n in cropped.shape)
        target = brain.target(mask_target)[crop]
        return LowBrain(
            low, maps, means, brain.voxel_size * self.scale, np.ascontiguousarray(target)
        )


@dataclass(frozen=True, eq=False)
class Brain:
    """
    A high volume with its tissue maps.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Intensities; 0 outside of the mask, if there is one.
    maps : ndarray of shape (3, i, j, k)
        Maps of CSF, GM and WM, in the dtype of the volume.
    affine : ndarray of shape (4, 4) or None
        Voxel to mm; None for an array.
    name : str
        Name of the volume in messages.
    """

    volume: NDArray[np.floating]
    maps: NDArray[np.floating]
    affine: NDArray[np.float64] | None
    name: str

    @property
    def voxel_size(self) -> NDArray[np.float64]:
        """Voxel size in mm; 1 for arrays."""
        return size_in_mm(self.affine)

    def target(self, mask_target: bool) -> NDArray[np.floating]:
        """
        Return the high volume that a model learns to predict.

        Parameters
        ----------
        mask_target : bool
            Whether it is multiplied by the sum of its maps.

        Returns
        -------
        ndarray of shape (i, j, k)
            A new array.
        """
        if mask_target:
            return self.volume * self.maps.sum(axis=0, dtype=self.volume.dtype)
        return self.volume.copy()

    def with_lesions(self, n_lesions: int, seed: int, **options: Any) -> Brain:
        """
        Return the brain with lesions in white matter.

        Parameters
        ----------
        n_lesions : int
            Number of lesions.
        seed : int
            Determines them.
        **options : dict
            Ranges of :func:`add_lesions`.

        Returns
        -------
        Brain
            With the same maps.
        """
        depth, unit = self._white_matter
        rng = np.random.RandomState((seed, 4))
        options = {"size": self.voxel_size, "rng": rng, **options}
        return replace(self, volume=add_lesions(self.volume, depth, unit, n_lesions, **options))

    @cached_property
    def _white_matter(self) -> tuple[NDArray[np.float32], float]:
        """Depth of voxels in white matter, and its mean intensity."""
        white = self.maps[2] > 0.5
        mean = float(self.volume[white].mean(dtype=np.float64)) if white.any() else 0.0
        return depth_of(white, self.voxel_size), mean


def size_in_mm(affine: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """
    Return the voxel size of an affine.

    Parameters
    ----------
    affine : ndarray of shape (4, 4) or None
        Voxel to mm.

    Returns
    -------
    ndarray of shape (3,)
        In mm; 1 if there is no affine.
    """
    return np.ones(3) if affine is None else voxel_sizes(affine)


def read_brain(cohort: Cohort, n: int, tissues: Any, border_width: float) -> Brain:
    """
    Read a high volume, its mask and its tissue maps.

    Parameters
    ----------
    cohort : Cohort
        High volumes, perhaps with masks.
    n : int
        Number of the volume.
    tissues : array-like, image or path
        Soft maps or label map of the volume.
    border_width : float
        Width of the border between tissues of a label map.

    Returns
    -------
    Brain
        Volume and maps are 0 outside of the mask.
    """
    volume, _, inside, affine = cohort.read(n)
    maps = read_maps(
        tissues,
        volume,
        affine,
        inside,
        border_width=border_width,
        name=f"tissues[{n}]",
        caller=cohort.caller,
    )
    volume = volume if inside is None else volume * inside
    return Brain(volume, maps, affine, f"{cohort.caller}: high[{n}]")


def one_for_each(tissues: Any, n_volumes: int, caller: str) -> list[Any]:
    """
    Return the tissues of each volume, or refuse them if their number differs.

    Parameters
    ----------
    tissues : object
        Argument of the user.
    n_volumes : int
        Number of high volumes.
    caller : str
        Class or method that the message names.

    Returns
    -------
    list
        Soft maps or a label map for each volume.
    """
    if isinstance(tissues, (str, PathLike, SpatialImage)) or (
        isinstance(tissues, np.ndarray) and tissues.dtype != object and tissues.ndim < 4
    ):
        raise GeometryMismatchError(
            f"{caller}: tissues is a single {type(tissues).__name__}. Pass a sequence with "
            "the label map, or the three maps, of each volume."
        )
    if len(tissues) != n_volumes:
        raise GeometryMismatchError(
            f"{caller}: high holds {n_volumes} volumes, but tissues holds {len(tissues)} "
            "entries. Pass one entry for each volume."
        )
    return list(tissues)
