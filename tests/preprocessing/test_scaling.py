"""The unit of intensity and the foreground do not depend on a few bright voxels."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_iqt import PatchwiseRegressor
from sklearn_iqt.preprocessing import foreground_mask, intensity_scale


def head(seed=0, shape=(40, 40, 20)):
    """Return a brain of fluid, grey and white matter in noisy air, and where it is."""
    rng = np.random.default_rng(seed)
    where = np.zeros(shape, bool)
    where[8:-8, 8:-8, 3:-3] = True
    tissue = rng.choice([30.0, 80.0, 100.0], size=shape, p=[0.2, 0.4, 0.4])
    return np.where(where, tissue, 0) + rng.gamma(2, 1, size=shape), where


def with_vessels(volume, where, share, factor=6):
    """Make a share of the brain, at its one end, as bright as vessels with contrast agent."""
    bright = volume.copy()
    voxels = np.flatnonzero(where)[: int(share * where.sum())]
    bright.flat[voxels] *= factor
    return bright


def test_one_wild_voxel_moves_neither_the_unit_nor_the_foreground():
    volume, _ = head()
    unit, inside = intensity_scale(volume), foreground_mask(volume, fill_holes=False)
    for wild in (1e9, -1e9):
        damaged = volume.copy()
        damaged[20, 20, 10] = wild
        assert intensity_scale(damaged) == pytest.approx(unit, rel=1e-3)
        different = foreground_mask(damaged, fill_holes=False) != inside
        different[20, 20, 10] = False
        assert different.mean() < 1e-3


@pytest.mark.parametrize(("share", "change"), [(0.005, 0.02), (0.02, 0.06)])
def test_vessels_hardly_move_the_unit_and_the_foreground(share, change):
    volume, where = head()
    bright = with_vessels(volume, where, share)
    assert intensity_scale(bright) == pytest.approx(intensity_scale(volume), rel=change)
    assert intensity_scale(bright, where) == pytest.approx(
        intensity_scale(volume, where), rel=change
    )
    same = foreground_mask(bright, fill_holes=False) == foreground_mask(volume, fill_holes=False)
    assert same[~where].all()
    assert same.mean() > 0.99


def test_the_unit_is_close_to_the_brightest_tissue():
    volume, where = head()
    assert intensity_scale(volume) == pytest.approx(np.percentile(volume[where], 99.5), rel=0.1)
    assert intensity_scale(volume, where) == pytest.approx(intensity_scale(volume), rel=0.02)


def test_a_gain_and_an_offset_do_not_change_the_foreground():
    volume, _ = head()
    inside = foreground_mask(volume)
    np.testing.assert_array_equal(foreground_mask(30 * volume), inside)
    np.testing.assert_array_equal(foreground_mask(volume - 500), inside)
    assert intensity_scale(30 * volume) == pytest.approx(30 * intensity_scale(volume))


def test_a_small_foreground_and_a_large_volume_are_found():
    small = np.zeros((20, 20, 20))
    small[10, 10, 10:12] = 5
    assert foreground_mask(small).sum() == 2
    assert foreground_mask(np.full((3, 3, 3), 0.1)).all()
    assert foreground_mask(np.arange(2.0).reshape(2, 1, 1)).sum() == 1
    volume, where = head(shape=(150, 150, 100))
    assert (foreground_mask(volume) == where).mean() > 0.98  # fluid at the edge is left out


def test_bright_voxels_do_not_change_a_prediction_elsewhere():
    truths = [head(seed, (24, 24, 64))[0] for seed in range(2)]
    scans = [truth.reshape(24, 24, 16, 4).mean(axis=-1) for truth in truths]
    model = PatchwiseRegressor(max_patches=500, random_state=0).fit(scans, truths)
    damaged = scans[0].copy()
    damaged[12, 12, 2] = 1e9
    before, after = model.predict([scans[0]])[0], model.predict([damaged])[0]
    far = np.s_[8:-8, 8:-8, 36:60]
    np.testing.assert_allclose(after[far], before[far], rtol=1e-3)
