"""Merge overlapping patches into a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from scipy.signal import windows

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.patches._grid import PatchGrid

__all__ = ["PatchMerger", "patch_window"]

WINDOWS = ("uniform", "hann", "gaussian")


def patch_window(patch_size: tuple[int, int, int], window: str = "uniform") -> np.ndarray:
    """Return the weight of each voxel of a patch when overlapping patches are averaged.

    Parameters
    ----------
    patch_size : tuple of 3 ints
        Shape of a patch, in voxels.
    window : {"uniform", "hann", "gaussian"}, default="uniform"
        Shape of the window. The Gaussian has a standard deviation of an eighth of the patch. All
        weights are above zero, so that the outermost voxels of a volume are still covered.

    Returns
    -------
    ndarray of float64, shape ``patch_size``
        Product of one window for each axis.

    Examples
    --------
    >>> patch_window((1, 1, 3), "hann").ravel()
    array([0.5, 1. , 0.5])
    """
    make: dict[str, Callable[[int], np.ndarray]] = {
        "uniform": np.ones,
        "hann": lambda size: windows.hann(size + 2)[1:-1],
        "gaussian": lambda size: windows.gaussian(size, std=size / 8),
    }
    if window not in make:
        raise ValueError(f"patch_window: window must be one of {WINDOWS}; got {window!r}.")
    return np.einsum("i,j,k->ijk", *(make[window](size) for size in patch_size))


class PatchMerger:
    """Average overlapping patches into a volume, with accumulators for unfinished planes only.

    Patches are added in the order of their grid. As soon as no later patch can reach a plane, the
    plane is finished and leaves the float64 accumulators. These are therefore only as thick as one
    run of patches, regardless of the size of the volume.

    Parameters
    ----------
    grid : PatchGrid
        Geometry of the low volume; the merged volume has shape ``grid.high.shape``.
    window : {"uniform", "hann", "gaussian"}, default="uniform"
        Weights of the voxels of a patch.
    fill : ndarray of shape ``grid.high.shape``, default=None
        Values of voxels that no patch covers. By default an uncovered voxel is an error.
    overwrite_fill : bool, default=False
        Whether to merge into the memory of ``fill``, plane by plane. ``fill`` must then be a
        writeable array of floats. Patches may still be cut from it, because they start on planes
        that are not finished.
    dtype : dtype, default=None
        Float type of the merged volume. By default float32, or the dtype of ``fill`` if it is
        overwritten.
    return_std : bool, default=False
        Whether :meth:`finalize` also returns the standard deviation of the overlapping values.

    Raises
    ------
    GeometryMismatchError
        If ``fill`` does not have the shape of the merged volume.
    ValueError
        If ``dtype`` is not a float type, or ``fill`` cannot be overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.patches import cut_patches
    >>> grid = PatchGrid((5, 5, 5), patch_size=3, stride=1)
    >>> volume = np.random.default_rng(0).random((5, 5, 5))
    >>> merger = PatchMerger(grid, dtype=np.float64)
    >>> merger.add(cut_patches(volume, grid), np.arange(grid.n_patches))
    >>> bool(np.allclose(merger.finalize(), volume))
    True
    """

    def __init__(
        self,
        grid: PatchGrid,
        window: str = "uniform",
        *,
        fill: np.ndarray | None = None,
        overwrite_fill: bool = False,
        dtype: Any = None,
        return_std: bool = False,
    ) -> None:
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise ValueError(f"PatchMerger: dtype must be a float type, got {np.dtype(dtype)}.")
        if overwrite_fill and (fault := _overwrite_fault(fill, dtype)):
            raise ValueError(
                f"PatchMerger: overwrite_fill cannot merge into fill, {fault}. Pass a writeable "
                "float array of the dtype, or leave overwrite_fill out."
            )
        self.grid = grid.high
        self.window = patch_window(self.grid.patch_size, window)
        self.return_std = return_std
        if fill is not None and fill.shape != self.grid.shape:
            raise GeometryMismatchError(
                f"PatchMerger: fill has shape {fill.shape}, but must have the shape of the merged "
                f"volume, {self.grid.shape}."
            )
        self._may_stay_uncovered = fill is not None
        dtype = np.float32 if dtype is None else dtype
        if fill is None:
            self._mean = np.empty(self.grid.shape, dtype)
        else:
            self._mean = fill if overwrite_fill else fill.astype(dtype)
        self._std = np.zeros(self.grid.shape, self._mean.dtype) if return_std else None
        self._first = 0
        # Sums of weights, sums of weighted values and, for the spread, sums of weighted squares.
        self._sums = np.zeros((2 + return_std, 0, *self.grid.padded_shape[1:]))

    def add(self, rows: np.ndarray, index: Any, std: np.ndarray | None = None) -> None:
        """Add a run of patches.

        Parameters
        ----------
        rows : ndarray of shape (n, ``grid.high.n_voxels``)
            Values of the patches.
        index : int array-like of shape (n,)
            Numbers of the patches on the grid. They must not start on earlier planes than patches
            that were added before.
        std : ndarray of the shape of ``rows``, default=None
            Standard deviation of the values. By default it is 0.

        Raises
        ------
        ValueError
            If the rows do not fit the grid, or are not added in the order of the grid.
        """
        for name, array in (("rows", rows), ("std", rows if std is None else std)):
            if np.shape(array) != (len(index), self.grid.n_voxels):
                raise ValueError(
                    f"PatchMerger: {name} has shape {np.shape(array)}, but index and grid need "
                    f"{(len(index), self.grid.n_voxels)}."
                )
        if not len(index):
            return
        positions = self.grid.positions(index)
        first, last = positions[:, 0].min(), positions[:, 0].max()
        if first < self._first:
            raise ValueError(
                f"PatchMerger: a patch starts on plane {first}, but planes before {self._first} "
                "are finished. Add patches in the order of the grid."
            )
        self._finish(first)
        self._grow(last + self.grid.patch_size[0] - first)
        positions[:, 0] -= first
        spread = np.empty((0, 0), np.float32) if std is None else np.asarray(std)
        _accumulate(self._sums, np.asarray(rows), spread, positions, self.window)

    def finalize(self) -> Any:
        """Return the merged volume.

        Returns
        -------
        volume : ndarray of shape ``grid.high.shape``
            Weighted mean of the patches over each voxel.
        std : ndarray of the same shape
            Standard deviation of each voxel, from the differences between the patches over it and
            from their own standard deviations; only with ``return_std``. Zero where no patch is.

        Raises
        ------
        ValueError
            If voxels are uncovered and no ``fill`` was given.
        """
        self._finish(self.grid.padded_shape[0])
        return (self._mean, self._std) if self.return_std else self._mean

    def _grow(self, n_planes: int) -> None:
        missing = max(n_planes - self._sums.shape[1], 0)
        self._sums = np.pad(self._sums, ((0, 0), (0, missing), (0, 0), (0, 0)))

    def _finish(self, plane: int) -> None:
        """Write the planes before ``plane`` to the volume, without padding."""
        n_i, n_j, n_k = self.grid.shape
        n_planes = max(min(plane, n_i) - self._first, 0)
        weights, *sums = self._sums[:, :n_planes, :n_j, :n_k]  # only planes that patches reached
        covered = weights > 0
        n_uncovered = n_planes * n_j * n_k - np.count_nonzero(covered)
        if n_uncovered and not self._may_stay_uncovered:
            raise ValueError(
                f"PatchMerger: no patch covers {n_uncovered} voxels of planes {self._first} to "
                f"{self._first + n_planes - 1}. Add all patches, or pass fill."
            )
        planes = slice(self._first, self._first + len(covered))
        for total in sums:
            np.divide(total, weights, out=total, where=covered)
        np.copyto(self._mean[planes], sums[0], casting="same_kind", where=covered)
        if self._std is not None:
            variance = np.maximum(sums[1] - sums[0] ** 2, 0)
            np.copyto(self._std[planes], np.sqrt(variance), casting="same_kind", where=covered)
        self._sums = self._sums[:, plane - self._first :]
        self._first = plane


def _overwrite_fault(fill: np.ndarray | None, dtype: Any) -> str | None:
    """Return why a volume cannot be merged into the memory of ``fill``, or None if it can."""
    if fill is None:
        return "which is None"
    if not fill.flags.writeable:
        return "which is read-only"
    if fill.dtype.kind != "f":
        return f"which holds {fill.dtype}"
    if dtype is not None and fill.dtype != dtype:
        return f"which holds {fill.dtype} and not the dtype {np.dtype(dtype)}"
    return None


@njit(cache=True, nogil=True)
def _accumulate(sums, rows, std, positions, window):
    size_i, size_j, size_k = window.shape
    for n in range(len(rows)):
        i, j, k = positions[n]
        voxel = 0
        for a in range(size_i):
            for b in range(size_j):
                for c in range(size_k):
                    weight = window[a, b, c]
                    value = np.float64(rows[n, voxel])
                    sums[0, i + a, j + b, k + c] += weight
                    sums[1, i + a, j + b, k + c] += weight * value
                    if len(sums) > 2:
                        square = value * value
                        if len(std):
                            square += np.float64(std[n, voxel]) ** 2
                        sums[2, i + a, j + b, k + c] += weight * square
                    voxel += 1
