"""Paired patches for training nets, read from the volumes only when a batch needs them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_iqt.base import check_foreground
from sklearn_iqt.deep._sampler import EpochSampler
from sklearn_iqt.deep.modules import Upsample
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchGrid, PatchSource, PatchTransformer, TrainingPair

__all__ = ["DrawnPairs", "Pairs", "RowPairs", "VolumePairs"]

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
        self.patcher = patcher
        self.grids = [patcher.grid(pair.inputs.shape) for pair in pairs]
        self.alignment = alignment
        self.n_views = N_VIEWS if augment else 1
        # Torch's threads are those that train; another library's would fight them for the cores.
        self.upsample = Upsample(patcher.scale_, alignment=alignment) if with_skip else None
        self._stops = np.cumsum([len(pair.drawn) for pair in pairs])

    def __len__(self) -> int:
        return int(self._stops[-1])

    def __getitem__(
        self, item: int | tuple[int, ...]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        item, view, draw = (*(item if isinstance(item, tuple) else (item,)), 0, 0)[:3]
        number = int(np.searchsorted(self._stops, item, side="right"))
        pair, grid = self._open(number, draw)
        offset = item - (self._stops[number] - len(pair.drawn))
        (start,) = grid.positions([pair.drawn[offset]])
        arrays = [_read(pair.inputs, start, grid.patch_size)]
        if self.upsample is not None:
            arrays.append(_interpolated(pair.inputs, start, grid, self.upsample))
        arrays.append(_read(pair.target, start * np.asarray(grid.scale), grid.high.patch_size))
        arrays = _viewed(arrays, view, grid, self.alignment)
        # A copy, because axes of one voxel that were flipped count as contiguous.
        *inputs, target = (torch.from_numpy(np.array(a, order="C"))[None] for a in arrays)
        return dict(zip(("x", "skip"), inputs, strict=False)), target.flatten()

    def _open(self, number: int, draw: int) -> tuple[TrainingPair, PatchGrid]:
        """Return a pair and its grid of patches."""
        return self.pairs[number], self.grids[number]

    def arrays(self) -> list[np.ndarray]:
        """Return the arrays that decide what the patches are."""
        return [a for pair in self.pairs for a in (pair.inputs, pair.target, pair.drawn)]

    def sampler(self, epoch_size: int, n_total: int, seed: int, epoch: int = 0) -> EpochSampler:
        """Return the order in which patches are visited.

        Parameters
        ----------
        epoch_size : int
            Patches of an epoch.
        n_total : int
            Patches of all epochs.
        seed : int
            Determines the order.
        epoch : int, default=0
            Number of the first epoch, for pairs that are drawn again.

        Returns
        -------
        EpochSampler
            The order.
        """
        return EpochSampler(len(self), epoch_size, n_total, seed, self.n_views)


class DrawnPairs(VolumePairs):
    """Patches of pairs of volumes that are drawn again in each epoch.

    ``pairs[n, view, epoch]`` is a patch of the draw of this epoch. A volume has the same number of
    patches in each draw. If a draw has fewer, some are repeated.

    Parameters
    ----------
    source : PatchSource
        Scales volumes and draws patches.
    cohort : Cohort
        Volumes that are drawn again.
    numbers : sequence of int
        Positions in the cohort of the volumes to train on.
    counts : sequence of int
        Patches of each of these volumes.
    seed : int
        Determines which patches are drawn.
    **options : dict
        As for :class:`VolumePairs`.
    """

    def __init__(
        self,
        source: PatchSource,
        cohort: Cohort,
        numbers: Sequence[int],
        counts: Sequence[int],
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__([], source.patcher, **options)
        self.source = source
        self.cohort = cohort
        self.numbers = list(numbers)
        self.counts = list(counts)
        self.seed = seed
        self._stops = np.cumsum(self.counts)
        self._opened: OrderedDict[int, tuple[int, TrainingPair, PatchGrid]] = OrderedDict()

    @property
    def most_opened(self) -> int:
        """Volumes that may be in memory at a time."""
        return self.cohort.low.most_in_memory or len(self.numbers)

    def _open(self, number: int, draw: int) -> tuple[TrainingPair, PatchGrid]:
        known = self._opened.get(number)
        if known is None or known[0] != draw:
            self._opened.pop(number, None)
            while len(self._opened) >= self.most_opened:
                self._opened.popitem(last=False)
            known = (draw, *self._draw(number, draw))
            self._opened[number] = known
        self._opened.move_to_end(number)
        return known[1:]

    def _draw(self, number: int, draw: int) -> tuple[TrainingPair, PatchGrid]:
        n, count = self.numbers[number], self.counts[number]
        random_state = np.random.RandomState((self.seed, n, draw))
        drawn = self.cohort.drawn(self.cohort.low.draw + draw)
        pair = self.source.training_pair(drawn, n, count, random_state)
        if len(pair.drawn) < count:
            check_foreground(len(pair.drawn), self.patcher.background, self.cohort.caller)
            more = random_state.choice(pair.drawn, count - len(pair.drawn))
            pair = pair._replace(drawn=np.concatenate([pair.drawn, more]))
        return pair, self.patcher.grid(pair.inputs.shape)

    def arrays(self) -> list[np.ndarray]:
        """Return the arrays that decide what the patches are."""
        facts = (self.cohort.fingerprint(), self.numbers, self.counts, self.seed, self.most_opened)
        return [np.frombuffer(repr(facts).encode(), np.uint8)]

    def sampler(self, epoch_size: int, n_total: int, seed: int, epoch: int = 0) -> EpochSampler:
        """Return the order in which patches are visited, see :class:`VolumePairs`."""
        groups = None
        if len(self.numbers) > self.most_opened:
            groups = np.repeat(np.arange(len(self.counts)), self.counts)
        return EpochSampler(
            len(self),
            epoch_size,
            n_total,
            seed,
            self.n_views,
            groups=groups,
            group_size=self.most_opened,
            first_epoch=epoch,
        )


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

    def sampler(self, epoch_size: int, n_total: int, seed: int, epoch: int = 0) -> EpochSampler:
        """Return the order in which rows are visited, see :class:`VolumePairs`."""
        return EpochSampler(len(self), epoch_size, n_total, seed)


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
