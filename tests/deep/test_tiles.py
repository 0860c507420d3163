"""The tiles in which a net predicts a volume."""

import numpy as np
import pytest
import torch

from sklearn_iqt.deep._tiles import choose_tile_size, plan_tiles, predict_tiles


def test_tiles_cover_every_voxel_once():
    for shape, size, margin, multiple in (
        ((17, 5, 9), (4, 4, 4), (3, 3, 3), (2, 1, 4)),
        ((8, 8, 8), (8, 8, 8), (9, 9, 9), (1, 1, 1)),
        ((30, 1, 2), (1, 1, 1), (0, 0, 0), (8, 8, 1)),
    ):
        count = np.zeros(shape, int)
        for read, kept in plan_tiles(shape, size, margin, multiple):
            count[kept] += 1
            for r, k, m in zip(read, kept, multiple, strict=True):
                assert r.start <= k.start
                assert r.stop >= k.stop
                assert r.start % m == 0
        np.testing.assert_array_equal(count, 1)


def test_a_tile_as_large_as_the_volume_is_the_only_one():
    assert len(plan_tiles((17, 33, 9), (17, 33, 9), (40, 40, 8), (16, 16, 4))) == 1


def test_chosen_tiles_bound_memory_and_never_explode():
    """Nets of the paper's size see nearly the whole volume from every voxel."""
    shape, multiple = (260, 311, 65), (16, 16, 4)
    for margin, gigavoxels in (
        ((139, 139, 37), 1e-2),
        ((139, 139, 37), 3e-3),
        ((71, 71, 54), 1.4e-3),
        ((4, 4, 4), 1e-3),
    ):
        size = choose_tile_size(shape, margin, multiple, gigavoxels * 1e9)
        reads = [
            np.prod([r.stop - r.start for r in read])
            for read, _ in plan_tiles(shape, size, margin, multiple)
        ]
        assert sum(reads) <= 4 * np.prod(shape)
        if gigavoxels * 1e9 >= np.prod(shape):
            assert size == shape
        if margin == (4, 4, 4):
            assert max(reads) <= gigavoxels * 1e9
            assert sum(reads) < 1.6 * np.prod(shape)


def test_out_of_memory_halves_the_tiles_and_says_so():
    sizes = []

    def predict(low, baseline):
        sizes.append(low.shape)
        if low.size > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return baseline + 1

    low = np.zeros((8, 8, 8), np.float32)
    arguments = {"scale": (1, 1, 1), "margin": (0, 0, 0), "multiple": (1, 1, 1)}
    with pytest.warns(RuntimeWarning, match="Memory ran out on tiles of"):
        out = predict_tiles(predict, low, low, tile_size=(8, 8, 8), **arguments)
    np.testing.assert_array_equal(out, 1)
    with pytest.raises(RuntimeError, match="other"):
        predict_tiles(
            lambda *_: (_ for _ in ()).throw(RuntimeError("some other failure")),
            low,
            low,
            tile_size=(8, 8, 8),
            **arguments,
        )
