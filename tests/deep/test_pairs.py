"""The patches that a net trains on: read when needed, augmented, in a random order."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sklearn_iqt import PatchTransformer
from sklearn_iqt.deep._pairs import RowPairs, VolumePairs
from sklearn_iqt.deep._sampler import EpochSampler, PrefetchLoader
from sklearn_iqt.patches import TrainingPair, cut_patches
from sklearn_iqt.preprocessing import upsample


def test_patches_are_read_when_they_are_needed():
    low = np.random.default_rng(0).random((3, 20, 18, 6), np.float32)
    high = upsample(low, (1, 1, 4))
    patcher = PatchTransformer((8, 8, 4), 4).fit_geometry((1, 1, 4))
    grid = patcher.grid(low.shape[1:])
    index = np.arange(grid.n_patches)
    drawn = [TrainingPair(v, h, index) for v, h in zip(low, high, strict=True)]
    pairs = VolumePairs(drawn, patcher, with_skip=True, alignment="center")
    assert len(pairs) == 3 * grid.n_patches
    item = grid.n_patches + 5
    inputs, target = pairs[item]
    np.testing.assert_array_equal(inputs["x"].numpy().ravel(), cut_patches(low[1], grid, [5])[0])
    np.testing.assert_array_equal(target.numpy().ravel(), cut_patches(high[1], grid.high, [5])[0])
    whole = cut_patches(upsample(low[1], (1, 1, 4)), grid.high, [5])[0]
    np.testing.assert_allclose(inputs["skip"].numpy().ravel(), whole, rtol=1e-3)
    assert target.numpy().base is not None or np.shares_memory(target.numpy(), high)


@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_augmentation_keeps_low_and_high_on_each_other(alignment):
    """A patch and its interpolation still fit each other after a flip or a turn."""
    low = np.random.default_rng(0).random((16, 16, 6), np.float32)
    high = upsample(low, (1, 1, 4), alignment=alignment)
    patcher = PatchTransformer((16, 16, 6), 4).fit_geometry((1, 1, 4))
    pair = TrainingPair(low, high, np.arange(1))
    pairs = VolumePairs([pair], patcher, with_skip=True, alignment=alignment, augment=True)
    seen = set()
    for view in range(pairs.n_views):
        inputs, target = pairs[0, view]
        again = upsample(inputs["x"].numpy()[0], (1, 1, 4), alignment=alignment)
        np.testing.assert_allclose(target.numpy().reshape(again.shape), again, atol=1e-5)
        np.testing.assert_allclose(inputs["skip"].numpy()[0], again, atol=1e-5)
        seen.add(target.numpy().tobytes())
    assert len(seen) == (16 if alignment == "center" else 8)


def test_epochs_walk_through_all_patches_in_changing_order():
    sampler = EpochSampler(10, 4, 22, seed=0)
    epochs = []
    while len(sampler):
        epochs.append(list(sampler))
    assert [len(epoch) for epoch in epochs] == [4, 4, 4, 4, 4, 2]
    flat = [item for epoch in epochs for item in epoch]
    assert sorted(flat[:10]) == sorted(flat[10:20]) == list(range(10))
    assert flat[:10] != flat[10:20]
    late = EpochSampler(10, 4, 22, seed=0)
    late.n_drawn = 12
    assert list(late) == epochs[3]
    views = [view for _, view in EpochSampler(100, 100, 100, seed=0, n_views=16)]
    assert set(views) == set(range(16))


def test_batches_read_ahead_are_the_same_batches(rng):
    rows = RowPairs(rng.random((7, 8)), rng.random((7, 8)), (2, 2, 2))
    plain, ahead = (
        list(loader(rows, 3, sampler=EpochSampler(7, 7, 7, seed=0)))
        for loader in (DataLoader, PrefetchLoader)
    )
    torch.testing.assert_close(ahead, plain, rtol=0, atol=0)
    assert len(ahead) == 3
