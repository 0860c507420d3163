"""Properties of cutting and merging for random geometries, compared with plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.patches import PatchGrid, PatchMerger, chunks, cut_patches, patch_window

sizes = st.integers(1, 5)
triples = st.tuples(sizes, sizes, sizes)


@st.composite
def grids(draw, scaled=True):
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    patch_size = draw(triples)
    stride = tuple(draw(st.integers(1, size)) for size in patch_size)
    scale = draw(st.tuples(*[st.integers(1, 3)] * 3)) if scaled else 1
    return PatchGrid(shape, patch_size, stride, scale)


def naive_merge(rows, grid, window):
    total, weight = np.zeros(grid.padded_shape), np.zeros(grid.padded_shape)
    for row, position in zip(rows, grid.positions(), strict=True):
        where = tuple(slice(p, p + s) for p, s in zip(position, grid.patch_size, strict=True))
        total[where] += window * row.reshape(grid.patch_size)
        weight[where] += window
    inside = tuple(map(slice, grid.shape))
    return (total / weight)[inside]


@given(grids())
@settings(max_examples=200)
def test_every_voxel_is_covered(grid):
    assert grid.covered(np.arange(grid.n_patches)).all()
    assert len(grid.positions()) == grid.n_patches
    np.testing.assert_array_equal(grid.high.positions(), grid.positions() * grid.scale)


@given(grids(), st.sampled_from(["uniform", "hann", "gaussian"]), st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_cut_then_merge_returns_the_volume(grid, window, seed):
    rng = np.random.default_rng(seed)
    volume = rng.standard_normal(grid.high.shape)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
        merger = PatchMerger(grid, window, dtype=dtype, return_std=True)
        for index in chunks(np.arange(grid.n_patches), int(rng.integers(1, 20))):
            merger.add(cut_patches(volume.astype(dtype), grid.high, index), index)
        merged, spread = merger.finalize()
        assert np.abs(merged - volume).max() <= tolerance * np.abs(volume).max()
        assert spread.max() < 1e-6 * np.abs(volume).max() + 1e-7


@given(grids(scaled=False), st.sampled_from(["uniform", "hann", "gaussian"]), st.data())
@settings(max_examples=200)
def test_merging_agrees_with_a_loop_for_runs_of_any_length(grid, window, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = rng.standard_normal((grid.n_patches, grid.n_voxels))
    merger = PatchMerger(grid, window, dtype=np.float64)
    for index in chunks(np.arange(grid.n_patches), data.draw(st.integers(1, 30))):
        merger.add(rows[index], index)
    expected = naive_merge(rows, grid, patch_window(grid.patch_size, window))
    np.testing.assert_allclose(merger.finalize(), expected, rtol=1e-12, atol=1e-13)


@given(grids(scaled=False), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_fraction_is_the_share_of_the_voxels_in_a_mask(grid, density, seed):
    mask = np.random.default_rng(seed).random(grid.shape) < density
    np.testing.assert_allclose(grid.fraction(mask), cut_patches(mask, grid).mean(axis=1))


def test_343_overlapping_patches_are_averaged():
    grid = PatchGrid((16, 16, 16), 7, 1)
    merger = PatchMerger(grid, dtype=np.float64)
    merger.add(np.ones((grid.n_patches, 343)), np.arange(grid.n_patches))
    np.testing.assert_array_equal(merger.finalize(), 1)


def test_spread_is_the_weighted_standard_deviation(rng):
    grid = PatchGrid((6, 6, 6), 3, 1)
    rows = rng.standard_normal((grid.n_patches, 27))
    merger = PatchMerger(grid, dtype=np.float64, return_std=True)
    merger.add(rows, np.arange(grid.n_patches))
    mean, std = merger.finalize()
    over = [
        row.reshape(3, 3, 3)[tuple(np.array((2, 3, 2)) - position)]
        for row, position in zip(rows, grid.positions(), strict=True)
        if all(0 <= v - p < 3 for v, p in zip((2, 3, 2), position, strict=True))
    ]
    assert len(over) == 27
    assert mean[2, 3, 2] == pytest.approx(np.mean(over))
    assert std[2, 3, 2] == pytest.approx(np.std(over))


def test_fill_is_kept_where_no_patch_was_added(rng):
    grid = PatchGrid((20, 4, 4), 4, 4)
    fill = rng.standard_normal((20, 4, 4))
    merger = PatchMerger(grid, fill=fill, dtype=np.float64)
    merger.add(np.full((1, 64), 7.0), [3])
    merged = merger.finalize()
    np.testing.assert_array_equal(merged[12:16], 7)
    np.testing.assert_array_equal(
        np.delete(merged, np.s_[12:16], 0), np.delete(fill, np.s_[12:16], 0)
    )


def test_uncovered_voxels_and_late_or_wrong_patches_are_refused():
    grid = PatchGrid((8, 4, 4), 4, 4)
    merger = PatchMerger(grid)
    merger.add(np.ones((1, 64)), [0])
    with pytest.raises(ValueError, match=r"no patch covers 64 voxels"):
        merger.finalize()
    late = PatchMerger(grid, fill=np.zeros((8, 4, 4)))
    late.add(np.ones((1, 64)), [1])
    with pytest.raises(ValueError, match="order of the grid"):
        late.add(np.ones((1, 64)), [0])
    with pytest.raises(ValueError, match=r"need \(1, 64\)"):
        PatchMerger(grid).add(np.ones((1, 63)), [0])
    with pytest.raises(GeometryMismatchError, match="fill has shape"):
        PatchMerger(grid, fill=np.zeros((8, 4, 5)))
    with pytest.raises(ValueError, match="window must be one of"):
        PatchMerger(grid, "boxcar")


@pytest.mark.parametrize(
    ("fill", "dtype", "reason"),
    [
        (None, None, "which is None"),
        (np.broadcast_to(0.0, (4, 4, 4)), None, "which is read-only"),
        (np.zeros((4, 4, 4), int), None, "which holds int64"),
        (np.zeros((4, 4, 4)), np.float32, "float64 and not the dtype float32"),
    ],
)
def test_a_fill_that_cannot_be_overwritten_is_refused_at_once(fill, dtype, reason):
    grid = PatchGrid((4, 4, 4), 4, 4)
    with pytest.raises(ValueError, match=reason):
        PatchMerger(grid, fill=fill, overwrite_fill=True, dtype=dtype)


def test_merged_volumes_have_a_float_type():
    grid = PatchGrid((4, 4, 4), 4, 4)
    with pytest.raises(ValueError, match="dtype must be a float type, got int16"):
        PatchMerger(grid, dtype=np.int16)
    filled = np.zeros((4, 4, 4))
    assert PatchMerger(grid, fill=filled).finalize().dtype == np.float32
    assert PatchMerger(grid, fill=filled, overwrite_fill=True).finalize() is filled
    same = PatchMerger(grid, fill=filled, overwrite_fill=True, dtype="f8").finalize()
    assert same is filled


def test_accumulators_are_only_as_thick_as_a_run_of_patches(rng):
    grid = PatchGrid((200, 6, 6), 4, 2)
    merger = PatchMerger(grid, dtype=np.float64)
    for index in chunks(np.arange(grid.n_patches), 9):
        merger.add(rng.random((len(index), 64)), index)
        assert merger._sums.shape[1] <= 12
    assert merger.finalize().shape == (200, 6, 6)


def test_cutting_never_writes_and_accepts_any_memory_layout(rng):
    volume = rng.standard_normal((6, 7, 5))
    grid = PatchGrid(volume.shape, 3, 2)
    expected = cut_patches(volume, grid)
    layouts = np.asfortranarray(volume), volume[::-1][::-1]
    for variant in (*layouts, volume.astype(">f8"), volume.astype(object)):
        variant.flags.writeable = False
        np.testing.assert_array_equal(cut_patches(variant, grid), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4, 4), 3, 4), "leaves voxels between the patches uncovered"),
        (((4, 4, 4), 0, 1), "patch_size must be a positive integer"),
        (((4, 4, 4), (3, 3), 1), "patch_size must be a positive integer or three"),
        (((4, 4, 4), 2.5, 1), "patch_size must be a positive integer"),
        (((4, 0, 4), 3, 1), "shape must be"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchGrid(*arguments)


def test_grid_is_frozen():
    grid = PatchGrid((4, 4, 4), 2, 2)
    with pytest.raises(AttributeError):
        grid.stride = 1
    assert grid == PatchGrid((4, 4, 4), (2, 2, 2), (2, 2, 2), (1, 1, 1))


@pytest.mark.parametrize("scale", [1, (1, 1, 4)])
def test_merging_into_the_volume_that_is_cut_changes_nothing(rng, scale):
    grid = PatchGrid((30, 9, 8), 4, 2, scale)
    volume = rng.random(grid.shape)
    index = np.flatnonzero(rng.random(grid.n_patches) < 0.3)
    kept = cut_patches(volume, grid, index).repeat(grid.high.n_voxels // grid.n_voxels, axis=1)
    fill = volume if scale == 1 else rng.random(grid.high.shape)
    apart = PatchMerger(grid, fill=fill, dtype=np.float64)
    apart.add(kept**2, index)
    expected = apart.finalize()
    merger = PatchMerger(grid, fill=fill, overwrite_fill=True)
    for part in chunks(index, 7):
        rows = cut_patches(volume, grid, part)
        merger.add(rows.repeat(grid.high.n_voxels // grid.n_voxels, axis=1) ** 2, part)
    merged = merger.finalize()
    assert merged is fill
    np.testing.assert_allclose(merged, expected, rtol=1e-12)


def test_planes_without_patches_take_no_memory(rng):
    grid = PatchGrid((300, 6, 6), 4, 2)
    merger = PatchMerger(grid, fill=np.zeros(grid.shape))
    merger.add(rng.random((1, 64)), [grid.n_patches - 1])
    assert merger._sums.shape[1] == 4
    assert merger.finalize()[-4:, -4:, -4:].all()
