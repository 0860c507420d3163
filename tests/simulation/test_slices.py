"""Distributions of the voxels of a scan."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_iqt.preprocessing import resample_to
from sklearn_iqt.simulation import LowFieldSimulator, SliceGeometry, degrade, get_simulator

EXACT = {"noise": None, "snr": "ind1", "mask_target": False}


def fixed(thickness=3.0, gap=1.0, in_plane=1.0, axis=2, profile="gaussian", **options):
    """Return a geometry without randomness."""
    ranges = [(value, value) for value in (thickness, gap, in_plane)]
    return SliceGeometry(*ranges, axes=(axis,), profiles=(profile,), phase=False, **options)


def brain(shape=(20, 18, 32), seed=0):
    """Return a volume with texture, and soft maps of slabs."""
    labels = np.ones(shape, np.uint8)
    labels[4:], labels[12:] = 2, 3
    volume = np.array([0, 50, 100, 150])[labels]
    volume = volume * np.random.default_rng(seed).uniform(0.9, 1.1, shape)
    return volume, np.stack([labels == n for n in (1, 2, 3)]).astype(np.float64)


def test_slices_of_whole_voxels_equal_degrade():
    volume, _ = brain()
    slices = fixed().sample((1, 1, 1))
    low = slices.sample(volume)
    inner = slice(2, -2)  # beyond the edges, one repeats the volume and the other mirrors it
    np.testing.assert_allclose(low[..., inner], degrade(volume)[..., inner], rtol=1e-4)


def test_a_box_profile_takes_means_of_slabs():
    volume, _ = brain()
    low = fixed(4, 0, profile="box").sample((1, 1, 1)).sample(volume)
    np.testing.assert_allclose(low, volume.reshape(20, 18, 8, 4).mean(axis=-1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["gaussian", "box"]))
def test_a_linear_ramp_is_sampled_at_the_centres_that_the_affine_says(seed, profile):
    geometry = SliceGeometry(thickness=(1, 6), profiles=(profile,))
    slices = geometry.sample((1.0, 1.1, 0.9), seed)
    grid = np.indices((30, 32, 34)).astype(np.float64)
    low = slices.sample(slices.turned(grid))
    turned = low[slices.order]
    place = nib.affines.apply_affine(
        slices.to_high(), np.moveaxis(np.indices(turned.shape[1:]), 0, -1)
    )
    # The edges of the volume are repeated, which bends the ramp there.
    inside = (place > 9) & (place < np.array(slices.turned(grid[0]).shape) - 10)
    inside = inside.all(axis=-1)
    assert inside.any()
    # A box ends within voxels, each of which counts as constant.
    atol = 1e-3 if profile == "gaussian" else 0.13
    np.testing.assert_allclose(np.moveaxis(turned, 0, -1)[inside], place[inside], atol=atol)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_draws_stay_in_their_ranges_and_cover_the_high_volume(seed):
    geometry = SliceGeometry(thickness=(2, 6), gap=(0, 1), in_plane=(0.8, 1.8), axes=(0, 2))
    size = np.array([0.9, 1.2, 0.7])
    slices = geometry.sample(size, seed)
    assert slices.axis in (0, 2)
    in_mm = size[slices.order]
    assert 2 <= slices.widths[2] * in_mm[2] <= 6
    assert slices.widths[2] <= slices.steps[2] <= slices.widths[2] + 1 / in_mm[2]
    np.testing.assert_allclose((slices.steps * in_mm)[0], (slices.steps * in_mm)[1])
    shape = np.array([31, 33, 35])
    low = slices.sample(np.zeros(shape[slices.order]))
    first, last = (
        nib.affines.apply_affine(slices.to_high(), place)
        for place in (np.full(3, -0.5), np.array(low.shape) - 0.5)
    )
    assert (first <= -0.5 + 1e-6).all()
    assert (last >= shape[slices.order] - 0.5 - 1e-6).all()
    assert (last < shape[slices.order] - 0.5 + slices.steps).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scans_on_the_high_grid_are_resampled_like_scans_in_prediction(axis):
    volume, maps = brain()
    affine = np.diag([1.1, 0.9, 1.0, 1])
    image = nib.Nifti1Image(volume, affine)
    geometry = {"thickness": 3.3, "gap": 0.4, "in_plane": 1.3, "axis": axis}
    own, ready = (
        LowFieldSimulator(
            geometry=fixed(**geometry, to_high_grid=to_high_grid), random_state=0, **EXACT
        ).simulate([image], [maps])
        for to_high_grid in (False, True)
    )
    (scan,), (prepared,), (target,) = own.low, ready.low, ready.high
    assert prepared.shape == target.shape
    np.testing.assert_allclose(prepared.affine, target.affine)
    # The axis across the slices is the last one.
    order = [0, 1, 2]
    order[axis], order[2] = 2, axis
    np.testing.assert_allclose(target.get_fdata(), volume.transpose(order))
    expected = resample_to(scan, (target.shape, target.affine), order=3)
    np.testing.assert_allclose(prepared.get_fdata(), expected.get_fdata(), atol=0.02)
    np.testing.assert_allclose(own.high[0].get_fdata(), volume)
    assert np.argmax(scan.header.get_zooms()) == axis


def test_a_simulated_scan_lies_where_its_brain_lies():
    volume, maps = brain((24, 22, 34))
    maps = maps[[1, 0, 2]]  # CSF, which does not set the contrast, is in the middle
    spot = np.zeros_like(volume)
    spot[10, 9, 17] = 1000
    image = nib.Nifti1Image(volume + spot, np.diag([1.0, 1.0, 1.0, 1]))
    plain = nib.Nifti1Image(volume, image.affine)
    geometry = SliceGeometry(in_plane=(1, 1.4), to_high_grid=False)
    for seed in range(5):
        simulator = LowFieldSimulator(geometry=geometry, random_state=seed, **EXACT)
        (scan,), (other,) = (simulator.simulate([i], [maps]).low for i in (image, plain))
        difference = scan.get_fdata() - other.get_fdata()
        weights = np.maximum(difference, 0)
        center = [(np.indices(scan.shape)[a] * weights).sum() / weights.sum() for a in range(3)]
        found = nib.affines.apply_affine(scan.affine, center)
        # A point in one slice is seen at the centre of this slice.
        assert (np.abs(found - [10, 9, 17]) <= np.array(scan.header.get_zooms()) / 2 + 0.01).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"thickness": (5, 2)}, "thickness"),
        ({"thickness": 0}, "thickness"),
        ({"gap": -1}, "gap"),
        ({"in_plane": (np.nan, 1)}, "in_plane"),
        ({"axes": (3,)}, "axes"),
        ({"axes": ()}, "axes"),
        ({"profiles": "sinc"}, "profiles"),
    ],
)
def test_bad_geometries_are_refused(params, message):
    with pytest.raises(ValueError, match=f"SliceGeometry: {message}"):
        SliceGeometry(**params)


def test_presets_are_built_by_name():
    assert get_simulator("narrow").get_params() == LowFieldSimulator().get_params()
    assert get_simulator("wide", gamma=1.0).gamma == 1.0
    one = get_simulator("measured", snr=(25, 16)).snr
    np.testing.assert_allclose(np.sqrt(np.diag(one.covariance)) / one.mean, 0.15)
    pairs = np.array([[31.0, 24.5], [28.2, 23.0], [34.1, 26.9], [30.3, 25.2]])
    np.testing.assert_allclose(get_simulator("measured", snr=pairs).snr.covariance, np.cov(pairs.T))
    with pytest.raises(ValueError, match="unknown simulator 'wild'"):
        get_simulator("wild")
    with pytest.raises(ValueError, match="needs the SNR of your scanner"):
        get_simulator("measured")
    with pytest.raises(ValueError, match="must be above 0"):
        get_simulator("measured", snr=(25, -1))
