"""Geometry of overlapping patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_iqt._axes import per_axis

__all__ = ["PatchGrid", "per_axis"]


@dataclass(frozen=True, init=False)
class PatchGrid:
    """Positions of the patches of one volume, before and after enhancement.

    Patches start every ``stride`` voxels. The last patch along each axis is shifted inward, so that
    every voxel is covered. A volume smaller than a patch is padded at its far end to hold one
    patch.

    Parameters
    ----------
    shape : tuple of 3 ints
        Shape of the volume, in voxels.
    patch_size : int or tuple of 3 ints
        Shape of a patch, in voxels.
    stride : int or tuple of 3 ints
        Steps between patches, in voxels; not above ``patch_size``.
    scale : int or tuple of 3 ints, default=1
        High-resolution voxels for each voxel: the grid of the high volume is :attr:`high`.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or a stride leaves voxels uncovered.

    Examples
    --------
    >>> grid = PatchGrid(shape=(10, 10, 4), patch_size=4, stride=(3, 3, 4), scale=(1, 1, 4))
    >>> grid.n_patches
    9
    >>> grid.positions([0, 8])
    array([[0, 0, 0],
           [6, 6, 0]])
    >>> grid.high.shape, grid.high.patch_size
    ((10, 10, 16), (4, 4, 16))
    """

    shape: tuple[int, int, int]
    patch_size: tuple[int, int, int]
    stride: tuple[int, int, int]
    scale: tuple[int, int, int]

    def __init__(
        self,
        shape: Sequence[int],
        patch_size: int | Sequence[int],
        stride: int | Sequence[int],
        scale: int | Sequence[int] = 1,
    ) -> None:
        given = {"shape": shape, "patch_size": patch_size, "stride": stride, "scale": scale}
        for name, value in given.items():
            object.__setattr__(self, name, per_axis(value, name, "PatchGrid"))
        if any(step > size for step, size in zip(self.stride, self.patch_size, strict=True)):
            raise ValueError(
                f"PatchGrid: stride {self.stride} is larger than patch_size {self.patch_size}, "
                "which leaves voxels between the patches uncovered. Lower the stride."
            )

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of the volume after padding to at least one patch."""
        return tuple(map(max, self.shape, self.patch_size))

    @cached_property
    def starts(self) -> tuple[np.ndarray, ...]:
        """First voxel of the patches along each axis."""
        starts = []
        for length, size, step in zip(self.padded_shape, self.patch_size, self.stride, strict=True):
            last = length - size
            starts.append(np.unique(np.append(np.arange(0, last, step), last)))
        return tuple(starts)

    @property
    def n_starts(self) -> tuple[int, ...]:
        """Number of patches along each axis."""
        return tuple(map(len, self.starts))

    @property
    def n_patches(self) -> int:
        """Total number of patches."""
        return int(np.prod(self.n_starts))

    @property
    def n_voxels(self) -> int:
        """Number of voxels in a patch, which is the length of a row."""
        return int(np.prod(self.patch_size))

    @cached_property
    def high(self) -> PatchGrid:
        """The grid of the same patches on the high-resolution volume."""
        factor = np.asarray(self.scale)
        return PatchGrid(
            shape=tuple(factor * self.shape),
            patch_size=tuple(factor * self.patch_size),
            stride=tuple(factor * self.stride),
        )

    def positions(self, index: Any = None) -> np.ndarray:
        """Return the first voxel of patches.

        Parameters
        ----------
        index : int array-like of shape (n,), default=None
            Numbers of the patches, counted in C order; all of them by default.

        Returns
        -------
        ndarray of int64, shape (n, 3)
            First voxel along (i, j, k).
        """
        index = np.arange(self.n_patches) if index is None else np.asarray(index, dtype=np.intp)
        along = np.unravel_index(index, self.n_starts)
        return np.stack([s[a] for s, a in zip(self.starts, along, strict=True)], axis=-1)

    def covered(self, index: Any) -> np.ndarray:
        """Return the voxels that some of the patches cover.

        Parameters
        ----------
        index : int array-like of shape (n,)
            Numbers of the patches.

        Returns
        -------
        ndarray of bool, shape ``shape``
            True for the voxels of these patches.
        """
        covered = np.zeros(self.shape, dtype=bool)
        for start in self.positions(index):
            stop = start + self.patch_size
            covered[tuple(map(slice, start, stop))] = True
        return covered

    def fraction(self, mask: np.ndarray) -> np.ndarray:
        """Return the fraction of each patch that lies in a mask.

        Parameters
        ----------
        mask : ndarray of bool, shape ``shape``
            Mask of the volume, for example its foreground.

        Returns
        -------
        ndarray of float64, shape (n_patches,)
            Between zero and one. Padding repeats the mask at the edge.
        """
        mask = pad_to(np.asarray(mask), self.padded_shape)
        # Sum along j and k plane by plane, which takes little memory.
        _, j, k = windows = list(zip(self.starts, self.patch_size, strict=True))
        sums = np.empty((len(mask), *self.n_starts[1:]), np.min_scalar_type(mask.size))
        for plane_sums, plane in zip(sums, mask, strict=True):
            plane_sums[:] = _window_sums(_window_sums(plane, 1, *k, sums.dtype), 0, *j, sums.dtype)
        return _window_sums(sums, 0, *windows[0], sums.dtype).ravel() / self.n_voxels


def pad_to(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return a volume with its far edges repeated up to ``shape``, or the volume if it is full."""
    missing = [(0, wanted - given) for wanted, given in zip(shape, volume.shape, strict=True)]
    return np.pad(volume, missing, mode="edge") if np.any(missing) else volume


def _window_sums(
    values: np.ndarray, axis: int, starts: np.ndarray, size: int, dtype: Any
) -> np.ndarray:
    total = np.insert(np.cumsum(values, axis=axis, dtype=dtype), 0, 0, axis=axis)
    return total.take(starts + size, axis=axis) - total.take(starts, axis=axis)
