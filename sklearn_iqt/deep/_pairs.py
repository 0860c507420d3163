"""Paired patches for training nets, read from the volumes only when a batch needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_iqt.deep.modules import Upsample
from sklearn_iqt.patches import PatchGrid, PatchTransformer, TrainingPair

__all__ = ["Pairs", "RowPairs", "VolumePairs"]

# Low voxels read beyond a patch, so that its interpolation does not feel where it was cut.
HALO = 4
# Ways to see a patch: flipped or not along each axis, turned or not.
N_VIEWS = 16


class VolumePairs(Dataset):
    """Patches of pairs of volumes, as inputs and targets of a net.

    Holds the volumes and the numbers of the patches, never the patches. ``pairs[n]`` is a patch,
    ``pairs[n, view]`` the same patch flipped and turned. Axes are flipped unless that would
    shift the high grid against the low one, and the first two are exchanged if the patch has the
    same shape afterwards.

    Parameters
    ----------
    pairs : sequence of TrainingPair
        Scaled low volumes and high volumes, with their patch numbers.
    patcher : PatchTransformer
        Fitted; gives the grid of patches of each volume.
    with_skip : bool
        Whether inputs carry the interpolated patch as well.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    augment : bool
        Whether patches have more than one view to draw from.

    Attributes
    ----------
    n_views : int
        Number of views.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        patcher: PatchTransformer,
        *,
        with_skip: bool,
        alignment: str,
        augment: bool = False,
    ) -> None:
        self.pairs = pairs
        self.grids = [patcher.grid(pair.inputs.shape) for pair in pairs]
        self.alignment = alignment
        self.n_views = N_VIEWS if augment else 1
        # Torch's threads are those that train; another library's would fight them for the cores.
        self.upsample = Upsample(patcher.scale_, alignment=alignment) if with_skip else None
        self._stops = np.cumsum([len(pair.drawn) for pair in pairs])

    def __len__(self) -> int:
        return int(self._stops[-1])

    def __getitem__(
        self, item: int | tuple[int, int]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        item, view = item if isinstance(item, tuple) else (item, 0)
        number = int(np.searchsorted(self._stops, item, side="right"))
        pair, grid = self.pairs[number], self.grids[number]
        offset = item - (self._stops[number] - len(pair.drawn))
        (start,) = grid.positions([pair.drawn[offset]])
        arrays = [_read(pair.inputs, start, grid.patch_size)]
        if self.upsample is not None:
            arrays.append(_interpolated(pair.inputs, start, grid, self.upsample))
        arrays.append(_read(pair.target, start * np.asarray(grid.scale), grid.high.patch_size))
        arrays = _viewed(arrays, view, grid, self.alignment)
        *inputs, target = (torch.from_numpy(np.ascontiguousarray(a))[None] for a in arrays)
        return dict(zip(("x", "skip"), inputs, strict=False)), target.flatten()

    def arrays(self) -> list[np.ndarray]:
        """Return the arrays that decide what the patches are."""
        return [a for pair in self.pairs for a in (pair.inputs, pair.target, pair.drawn)]


class RowPairs(Dataset):
    """Rows of patches, as inputs and targets of a net.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_voxels)
        Rows of low patches.
    y : ndarray of shape (n_rows, n_high_voxels)
        Rows of high patches.
    low_shape : tuple of 3 ints
        Shape of the low patches.

    Attributes
    ----------
    n_views : int
        One: rows are not flipped.
    """

    n_views = 1

    def __init__(self, X: np.ndarray, y: np.ndarray, low_shape: tuple[int, ...]) -> None:
        self.X = torch.from_numpy(X.astype(np.float32)).reshape(-1, 1, *low_shape)
        self.y = torch.from_numpy(y.astype(np.float32))

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, item: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return {"x": self.X[item]}, self.y[item]

    def arrays(self) -> list[np.ndarray]:
        """Return the arrays that decide what the patches are."""
        return [self.X.numpy(), self.y.numpy()]


# The data sets that nets train on: unlike torch's Dataset, these have a length.
Pairs: TypeAlias = VolumePairs | RowPairs


def _interpolated(
    volume: np.ndarray, start: np.ndarray, grid: PatchGrid, upsample: Upsample
) -> np.ndarray:
    """Return a patch of the interpolated volume, from no more voxels than matter to it."""
    scale = np.asarray(grid.scale)
    halo = np.where(scale > 1, HALO, 0)
    near = np.minimum(start, halo)
    wide = np.asarray(grid.patch_size) + near + halo
    block = _read(volume, start - near, np.minimum(wide, volume.shape - (start - near)))
    fine = upsample(torch.from_numpy(block)).numpy()
    return _read(fine, near * scale, grid.high.patch_size)


def _read(volume: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return a box of a volume, repeating far edges where the volume is smaller."""
    box = volume[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
    missing = [(0, n - have) for n, have in zip(shape, box.shape, strict=True)]
    return np.pad(box, missing, mode="edge") if np.any(missing) else box


def _viewed(
    arrays: list[np.ndarray], view: int, grid: PatchGrid, alignment: str
) -> list[np.ndarray]:
    """Flip the axes whose bits are set in ``view``, and exchange the first two for the last bit."""
    axes = tuple(
        axis
        for axis in range(3)
        if view >> axis & 1 and (alignment == "center" or grid.scale[axis] == 1)
    )
    arrays = [np.flip(array, axes) for array in arrays]
    if view >> 3 and grid.patch_size[0] == grid.patch_size[1] and grid.scale[0] == grid.scale[1]:
        arrays = [array.swapaxes(0, 1) for array in arrays]
    return arrays
