"""Simulated sets are deterministic, keep their input, and change what their names say."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.paper.shifts import FAMILIES, SETS, SimulatedSet, seed_of, simulate_set
from sklearn_iqt.simulation import degrade, tissue_maps_from_labels

SHAPE = (40, 44, 48)
INTENSITY = np.array([0, 40, 100, 150], dtype=np.float32)


@pytest.fixture(scope="module")
def brain():
    """Return a folded brain of three tissues and its label map."""
    rng = np.random.default_rng(0)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    folds = gaussian_filter(rng.normal(size=SHAPE), 2.5)
    radius = np.sqrt(sum(g**2 for g in grid)) + folds / folds.std() * 0.05
    labels = np.select([radius < 0.62, radius < 0.82, radius < 0.95], [3, 2, 1], 0).astype(np.uint8)
    volume = np.tensordot(INTENSITY[1:], tissue_maps_from_labels(labels), axes=1)
    labels.setflags(write=False)
    volume.setflags(write=False)
    return nibabel.Nifti1Image(volume, np.diag([1, 1.1, 1.2, 1])), labels


def simulate(brain, name, **options):
    return simulate_set(name, *brain, **{"cohort": "made", "subject": "sub-01", **options})


def voxels(image):
    return np.asarray(image.dataobj)


def tissue_means(low, labels):
    """Return the means of the three tissues over pure low voxels."""
    maps = degrade(tissue_maps_from_labels(labels))
    return np.array([voxels(low)[tissue > 0.95].mean() for tissue in maps])


def test_seeds_differ_between_cohorts_subjects_sets_and_draws():
    names = [
        ("a", "sub-01", "ind1", 0),
        ("b", "sub-01", "ind1", 0),
        ("a", "sub-02", "ind1", 0),
        ("a", "sub-01", "ind2", 0),
        ("a", "sub-01", "ind1", 1),
        ("asub-01", "", "ind1", 0),
    ]
    seeds = [seed_of(0, *name) for name in names]
    assert len({*seeds, seed_of(1, *names[0])}) == len(names) + 1
    assert seeds == [seed_of(0, *name) for name in names]


@pytest.mark.parametrize(
    "change", [{"cohort": "other"}, {"subject": "sub-02"}, {"draw": 1}, {"seed": 1}]
)
@pytest.mark.parametrize("name", ["ind1", "tissue_gains_mild"])
def test_a_pair_depends_on_cohort_subject_draw_and_seed_alone(brain, name, change):
    first, again, other = (simulate(brain, name, **o) for o in ({}, {}, change))
    np.testing.assert_array_equal(voxels(first.low), voxels(again.low))
    assert first.drawn == again.drawn
    assert all(first.drawn[key] != other.drawn[key] for key in first.drawn)


@pytest.mark.parametrize("name", [name for names in FAMILIES.values() for name in names])
def test_every_shift_keeps_its_input_and_differs_from_the_set_that_it_is_paired_with(brain, name):
    image, labels = brain
    before = voxels(image).copy(), labels.copy()
    pair = simulate(brain, name)
    np.testing.assert_array_equal(voxels(image), before[0])
    np.testing.assert_array_equal(labels, before[1])
    low, high = voxels(pair.low), voxels(pair.high)
    assert np.isfinite(low).all()
    assert tuple(n * s for n, s in zip(low.shape, (1, 1, 4), strict=True)) == high.shape
    reference = simulate(brain, SETS[name].paired_with)
    ratio = np.divide(*pair.drawn["snr_wm_gm"]) / np.divide(*reference.drawn["snr_wm_gm"])
    assert ratio == pytest.approx(1, abs=1e-3)
    if low.shape == voxels(reference.low).shape:
        np.testing.assert_array_equal(high, voxels(reference.high))
        assert np.abs(low - voxels(reference.low)).max() > 1


def test_gamma_raises_intensities_to_a_power(brain):
    for name, smallest, largest in (("mild", 1.15, 1.3), ("strong", 1.5, 1.8)):
        pair, reference = simulate(brain, f"gamma_{name}"), simulate(brain, "ind1")
        gamma = pair.drawn["gamma"]
        assert smallest <= max(gamma, 1 / gamma) <= largest
        found, before = (np.log(tissue_means(p.low, brain[1])) for p in (pair, reference))
        np.testing.assert_allclose(np.diff(found), gamma * np.diff(before), rtol=0.15)


def test_bias_fields_are_smooth_and_as_strong_as_they_say(brain):
    reference = voxels(simulate(brain, "ind1").low)
    inside = degrade(tissue_maps_from_labels(brain[1])).sum(axis=0) > 0.99
    for name, deviation in (("mild", 0.1), ("strong", 0.3)):
        low = voxels(simulate(brain, f"bias_field_{name}").low)
        field = np.log(np.maximum(low, 1) / np.maximum(reference, 1))
        assert field[inside].std() == pytest.approx(deviation, rel=0.1)
        steps = np.diff(field, axis=0)[inside[1:] & inside[:-1]]
        assert np.abs(steps).mean() < deviation / 3


def test_gains_change_the_unit_alone(brain):
    reference = voxels(simulate(brain, "ind1").low)
    for name, smallest, largest in (("mild", 1.5, 3), ("strong", 100, 10_000)):
        pair = simulate(brain, f"gain_{name}")
        gain = pair.drawn["gain"]
        assert smallest <= max(gain, 1 / gain) <= largest
        np.testing.assert_allclose(voxels(pair.low), reference * gain, rtol=1e-5)


def test_tissue_gains_change_each_tissue_by_its_factor(brain):
    before = tissue_means(simulate(brain, "ind1").low, brain[1])
    for name, largest in (("mild", 1.15), ("strong", 1.5)):
        pair = simulate(brain, f"tissue_gains_{name}")
        gains = np.array(pair.drawn["gains_csf_gm_wm"])
        assert ((1 / largest <= gains) & (gains <= largest)).all()
        np.testing.assert_allclose(tissue_means(pair.low, brain[1]) / before, gains, rtol=0.02)


def test_slice_profiles_have_the_widths_that_they_say():
    np.testing.assert_allclose(SETS["slice_profile_mild"].profile, [1 / 3] * 3)
    for name, width in (("slice_thickness_mild", 4), ("slice_thickness_strong", 6)):
        weights = SETS[name].profile
        assert weights.sum() == pytest.approx(1)
        fine = np.linspace(-12, 12, 2401)
        profile = np.interp(fine, np.arange(-12, 13), weights)
        found = 0.01 * np.count_nonzero(profile > profile.max() / 2)
        assert found == pytest.approx(width, abs=0.15)
    ringing = SETS["slice_profile_strong"].profile
    assert ringing.sum() == pytest.approx(1)
    assert ringing.min() < -0.1 * ringing.max()


def test_a_slice_is_the_sum_of_the_voxels_under_its_profile(brain):
    """Without noise and change of contrast, at a slice in the middle of the brain."""
    image, labels = brain
    weights = SETS["slice_thickness_mild"].profile
    plain = SimulatedSet("plain", snr=Fixed(), profile=weights)
    low = voxels(simulate(brain, plain).low)
    volume = voxels(image)
    # The centre of slice 6 is half way between high slices 25 and 26.
    spread = [
        sum(weight * volume[..., middle + n - 12] for n, weight in enumerate(weights))
        for middle in (25, 26)
    ]
    inside = (labels[..., 22:30] == 3).all(axis=-1)
    np.testing.assert_allclose(low[..., 6][inside], np.mean(spread, axis=0)[inside], rtol=0.02)


class Fixed:
    """The contrast of the brain itself, almost without noise."""

    def sample(self, n, random_state=None):
        return np.tile([1.5e6, 1e6], (n, 1))


def test_rician_noise_is_a_magnitude_whose_background_is_positive(brain):
    outside = np.asarray(brain[1]).reshape(*SHAPE[:2], 12, 4).max(axis=3) == 0
    for name, divisor in (("mild", 3), ("strong", 10)):
        pair = simulate(brain, f"rician_{name}")
        assert voxels(pair.low).min() >= 0
        _, grey = pair.drawn["snr_wm_gm"]
        assert grey == pytest.approx(54.14 / divisor, rel=0.6)
        sigma = tissue_means(pair.low, brain[1])[1] / grey
        assert np.median(voxels(pair.low)[outside]) == pytest.approx(1.18 * sigma, rel=0.15)


def test_thick_slices_are_along_the_axis_in_the_name(brain):
    image, _ = brain
    sizes = nibabel.affines.voxel_sizes
    for axis, order in (("i", (1, 2, 0)), ("j", (0, 2, 1))):
        pair = simulate(brain, f"thick_axis_{axis}")
        expected = np.array(sizes(image.affine))[list(order)] * (1, 1, 4)
        np.testing.assert_allclose(sizes(pair.low.affine), expected, rtol=1e-5)
        turned = np.transpose(voxels(image), order)[tuple(map(slice, pair.high.shape))]
        inside = voxels(pair.high) > 0
        np.testing.assert_allclose(voxels(pair.high)[inside], turned[inside], rtol=1e-3)


def test_hard_labels_are_an_option(brain):
    soft, hard = (voxels(simulate(brain, "ind1", border_width=w).low) for w in (1.5, 0))
    assert np.abs(soft - hard).max() > 1
