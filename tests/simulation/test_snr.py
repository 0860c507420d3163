"""SNR distributions agree with the published Gaussian, and rings are sampled exactly."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest

from sklearn_iqt.simulation import (
    SNR_PRESETS,
    GaussianSNR,
    RatioSNR,
    get_snr,
    mahalanobis_distance,
)

MEAN, COVARIANCE = (64.50, 54.14), ((78.47, 71.50), (71.50, 73.91))


def gaussian(**region):
    return GaussianSNR(MEAN, COVARIANCE, **region)


def test_training_gaussian_is_the_published_one():
    snr = get_snr("t1w_036t").sample(400_000, random_state=0)
    np.testing.assert_allclose(snr.mean(axis=0), MEAN, atol=0.06)
    np.testing.assert_allclose(snr.std(axis=0), [8.858, 8.597], atol=0.04)
    assert np.corrcoef(snr.T)[0, 1] == pytest.approx(0.9389, abs=1e-3)
    distance = mahalanobis_distance(snr)
    assert (distance < 1).mean() == pytest.approx(0.3935, abs=0.003)
    assert (distance > 3).mean() == pytest.approx(0.0111, abs=0.0006)
    ratio = snr[:, 0] / snr[:, 1]
    np.testing.assert_allclose(np.percentile(ratio, [1, 50, 99]), [1.057, 1.191, 1.398], atol=4e-3)


def test_the_line_of_equal_intensity_has_its_published_distance():
    # The nearest point of SNR_WM = SNR_GM, found without the class under test.
    grid = np.linspace(-100, 200, 300_001)
    distance = mahalanobis_distance(np.stack([grid, grid], axis=1))
    assert distance.min() == pytest.approx(3.383, abs=5e-4)


@pytest.mark.parametrize(
    ("mean", "low", "high", "constrained"),
    [
        (MEAN, 0, 1, False),
        (MEAN, 3, np.inf, True),  # a ring that the line cuts
        (MEAN, 3.3, 3.5, True),
        (MEAN, 3.5, 3.6, True),  # a ring beyond the nearest point of the line
        (MEAN, 0, np.inf, True),
        ((54.14, 54.14), 1, 2, True),  # the mean on the line
        ((50, 54.14), 0, np.inf, True),  # the mean on the wrong side of it
        ((50, 54.14), 1, 2, True),
    ],
)
def test_exact_sampling_agrees_with_brute_force_rejection(mean, low, high, constrained):
    ring = GaussianSNR(mean, COVARIANCE, low, high, constrained)
    proposals = np.random.RandomState(0).multivariate_normal(mean, COVARIANCE, size=1_000_000)
    deviation = proposals - mean
    distance = np.sqrt(np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(COVARIANCE), deviation))
    keep = (distance >= low) & (distance <= high)
    if constrained:
        keep &= proposals[:, 0] > proposals[:, 1]
    expected, drawn = proposals[keep], ring.sample(20_000, random_state=1)
    assert len(expected) > 500
    for projection in ([1, 0], [0, 1], [1, -1], [1, 1], [1, -2]):
        assert ks_2samp(expected @ projection, drawn @ projection).pvalue > 1e-3
    assert ks_2samp(distance[keep], ring.mahalanobis(drawn)).pvalue > 1e-3


def test_far_ring_has_the_radius_of_a_truncated_rayleigh():
    # With rejection, only one proposal in 10**14 would be accepted.
    ring = gaussian(min_distance=8)
    squared = ring.mahalanobis(ring.sample(20_000, random_state=0)) ** 2
    assert kstest((squared - 64) / 2, "expon").pvalue > 1e-3


@settings(max_examples=100)
@given(
    mean=st.tuples(st.floats(5, 80), st.floats(5, 80)),
    deviations=st.tuples(st.floats(0.5, 10), st.floats(0.5, 10)),
    correlation=st.floats(-0.95, 0.95),
    low=st.floats(0, 4),
    width=st.floats(0.05, 4),
    constrained=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_draw_is_in_its_region(mean, deviations, correlation, low, width, constrained, seed):
    off = correlation * deviations[0] * deviations[1]
    covariance = ((deviations[0] ** 2, off), (off, deviations[1] ** 2))
    try:
        ring = GaussianSNR(mean, covariance, low, low + width, constrained)
    except ValueError as error:
        # Only the wrong side of the line can be empty.
        assert constrained
        assert "there is no probability" in str(error)  # noqa: PT017
        return
    snr = ring.sample(200, random_state=seed)
    distance = ring.mahalanobis(snr)
    assert distance.min() >= low - 1e-6
    assert distance.max() <= low + width + 1e-6
    if constrained:
        assert (snr[:, 0] - snr[:, 1]).min() >= -1e-6


@pytest.mark.parametrize("name", sorted(SNR_PRESETS))
def test_a_longer_draw_starts_with_the_shorter_one(name):
    distribution = get_snr(name)
    np.testing.assert_array_equal(distribution.sample(7, 3)[:4], distribution.sample(4, 3))
    assert distribution.sample(0, 0).shape == (0, 2)
    assert pickle.loads(pickle.dumps(distribution)) == distribution


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("t1w_036t", 0.3, 2.4),
        ("flair_036t", 5.3, 7.1),
        ("ind1", 0.2, 1.0),
        ("ind2", 3.0, 3.8),
        ("ulf_measured", 3.9, 5.2),
        ("ulf_physics", 4.7, 6.4),
        ("low_contrast", 1.7, 3.5),
        ("noisy", 4.4, 5.5),
        ("inverted", 4.1, 8.8),
        ("low_contrast_noisy", 4.9, 5.5),
    ],
)
def test_presets_have_the_documented_distances(name, low, high):
    distance = mahalanobis_distance(get_snr(name).sample(50_000, random_state=0))
    np.testing.assert_allclose(np.percentile(distance, [5, 95]), [low, high], atol=0.07)
    assert name in get_snr.__doc__


def test_presets_have_the_properties_that_their_names_say():
    draws = {name: preset.sample(20_000, random_state=0) for name, preset in SNR_PRESETS.items()}
    ratio = {name: snr[:, 0] / snr[:, 1] for name, snr in draws.items()}
    assert mahalanobis_distance(draws["ulf_measured"]).mean() == pytest.approx(4.5, abs=0.1)
    assert np.median(ratio["noisy"]) == pytest.approx(np.median(ratio["t1w_036t"]), abs=0.003)
    np.testing.assert_allclose(draws["noisy"].mean(axis=0), np.array(MEAN) / 3, atol=0.1)
    assert ratio["inverted"].max() < 1
    assert 1 <= ratio["low_contrast"].min() < ratio["low_contrast"].max() <= 1.1
    assert draws["low_contrast"][:, 0].mean() == pytest.approx(MEAN[0], abs=0.1)
    np.testing.assert_allclose(
        np.percentile(draws["ind2"], [5, 50, 95], axis=0),
        [[35.7, 26.0], [65.7, 53.3], [93.1, 82.2]],
        atol=1.2,
    )
    np.testing.assert_allclose([ratio["ind1"].min(), ratio["ind1"].max()], [1.13, 1.26], atol=0.01)


def test_distances_of_published_pairs_are_reproduced():
    pairs = [(25, 16), (21, 13), (28, 17), (20, 17), (25, 22), (15, 10), (11.5, 9.6)]
    expected = [4.5, 4.9, 4.3, 5.2, 4.7, 5.6, 6.1]
    np.testing.assert_allclose(mahalanobis_distance(pairs), expected, atol=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 2, 3), COVARIANCE), "two finite numbers"),
        (((np.nan, 2), COVARIANCE), "two finite numbers"),
        ((MEAN, ((1, 2), (2, 1))), "positive definite"),
        ((MEAN, ((1, 0.5), (0.2, 1))), "symmetric"),
        ((MEAN, COVARIANCE, 3, 3), "min_distance < max_distance"),
        ((MEAN, COVARIANCE, -1, 3), "0 <= min_distance"),
        ((MEAN, COVARIANCE, 60), "there is no probability"),
        (((40, 54.14), COVARIANCE, 0, 1, True), "there is no probability"),
    ],
)
def test_impossible_gaussians_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianSNR(*arguments)


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (1, np.inf), (1, 2, 3)])
def test_impossible_ranges_are_refused(bounds):
    with pytest.raises(ValueError, match="ratio must be"):
        RatioSNR(bounds, (1, 2))
    with pytest.raises(ValueError, match="snr_wm must be"):
        RatioSNR((1, 2), bounds)


def test_get_snr_accepts_names_and_distributions():
    assert get_snr("ind1") == gaussian(max_distance=1)
    own = RatioSNR((1, 1.2), (20, 30))
    assert get_snr(own) is own
    with pytest.raises(ValueError, match=r"unknown SNR distribution 'ind3'\. Choose one of.*ind1"):
        get_snr("ind3")
    for wrong in (3.0, GaussianSNR):
        with pytest.raises(TypeError, match="sample"):
            get_snr(wrong)
    with pytest.raises(TypeError, match="GaussianSNR"):
        mahalanobis_distance([[1, 2]], reference="low_contrast")


@pytest.mark.parametrize("snr", [[64.5, 54.14], [[1, 2, 3]], [[np.nan, 1]]])
def test_malformed_pairs_are_refused(snr):
    with pytest.raises(ValueError, match="snr"):
        mahalanobis_distance(snr)
