"""The order of the patches, and batches that are read ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from torch.utils.data import DataLoader, Sampler

__all__ = ["EpochSampler", "PrefetchLoader"]


class EpochSampler(Sampler):
    """Walk through the patches in one random order after another, an epoch at a time.

    Orders and views depend on the seed and on the number of patches drawn so far, on nothing else.
    So a training can continue where it stopped, and patches can be read while the net draws other
    random numbers.

    Parameters
    ----------
    n_patches : int
        Patches in the data set.
    epoch_size : int
        Patches of an epoch. It may be less than one walk through all patches, or more.
    n_patches_total : int
        Patches of the whole training, at which the last epoch ends.
    seed : int
        Determines the orders and views.
    n_views : int
        Views of a patch to draw from, if there is more than one; see :class:`VolumePairs`.
    groups : ndarray of int, shape (n_patches,), default=None
        Volume of each patch. The patches of an epoch are then sorted into groups of volumes.
    group_size : int, default=1
        Volumes of a group.
    first_epoch : int, default=None
        Number of the first epoch. If it is given, the number of the epoch is yielded as well.

    Attributes
    ----------
    n_drawn : int
        Patches of the epochs that have started. Set it to continue a training.
    """

    def __init__(
        self,
        n_patches: int,
        epoch_size: int,
        n_patches_total: int,
        seed: int,
        n_views: int = 1,
        *,
        groups: np.ndarray | None = None,
        group_size: int = 1,
        first_epoch: int | None = None,
    ) -> None:
        self.n_patches = n_patches
        self.epoch_size = epoch_size
        self.n_patches_total = n_patches_total
        self.seed = seed
        self.n_views = n_views
        self.groups = groups
        self.group_size = group_size
        self.first_epoch = first_epoch
        self.n_drawn = 0

    def __len__(self) -> int:
        return max(min(self.epoch_size, self.n_patches_total - self.n_drawn), 0)

    def __iter__(self) -> Iterator[int | tuple[int, ...]]:
        epoch = self.n_drawn // self.epoch_size
        places = np.arange(self.n_drawn, self.n_drawn + len(self))
        self.n_drawn += len(self)
        items, views = np.empty_like(places), np.zeros_like(places)
        walks = places // self.n_patches
        for walk in np.unique(walks):
            random_state = np.random.RandomState([self.seed, int(walk)])
            within = places[walks == walk] % self.n_patches
            items[walks == walk] = random_state.permutation(self.n_patches)[within]
            if self.n_views > 1:
                views[walks == walk] = random_state.randint(self.n_views, size=self.n_patches)[
                    within
                ]
        if self.groups is not None:
            ranks = np.random.RandomState([self.seed, epoch, 1]).permutation(self.groups.max() + 1)
            order = np.argsort(ranks[self.groups[items]] // self.group_size, kind="stable")
            items, views = items[order], views[order]
        columns = [items.tolist()]
        if self.n_views > 1 or self.first_epoch is not None:
            columns.append(views.tolist())
        if self.first_epoch is not None:
            columns.append([self.first_epoch + epoch] * len(items))
        yield from zip(*columns, strict=True) if len(columns) > 1 else columns[0]


class PrefetchLoader(DataLoader):
    """Read the next batches in a separate thread while the net trains on this one.

    This helps where training leaves the processor idle, which is on a GPU.
    """

    def __iter__(self) -> Iterator:  # type: ignore[override]
        batches = super().__iter__()
        with ThreadPoolExecutor(1) as reader:
            read = partial(reader.submit, next, batches, None)
            ahead = deque([read(), read()])
            while (batch := ahead.popleft().result()) is not None:
                ahead.append(read())
                yield batch
