"""The baselines for contrast change only the contrast."""

import warnings

import numpy as np
import pytest

from sklearn_iqt import (
    ContrastMatchingIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    NyulScaler,
    PercentileScaler,
    load_model,
    save_model,
)
from sklearn_iqt.exceptions import UntrustedModelError


def make_brains(white, n=2, seed=0):
    """Return labels, and smooth brains of fluid, grey and white matter on a background of zero."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 24, 24), int)
    labels[3:21, 3:21, 4:20], labels[5:19, 5:19, 4:20], labels[8:16, 8:16, 8:16] = 1, 2, 3
    intensities = np.array([0, 40, 100, white])
    return labels, [
        np.where(labels > 0, intensities[labels] + rng.normal(0, 2, labels.shape), 0)
        for _ in range(n)
    ]


def test_the_curve_agrees_with_the_true_one():
    rng = np.random.default_rng(0)
    low = rng.uniform(1, 2, (3, 8, 8, 8))
    high, masks = 50 * low**2, np.ones(low.shape)
    model = IntensityCurveIQT(scale=1, random_state=0).fit(low[:2], high[:2], mask=masks[:2])
    enhanced = model.predict(low[2:], mask=masks[2:])
    np.testing.assert_allclose(enhanced[0], high[2], rtol=0.02)
    assert (np.diff(model.targets_) >= 0).all()


def test_few_voxels_are_enough_for_a_curve():
    rng = np.random.default_rng(0)
    low = rng.uniform(1, 2, (2, 8, 8, 8))
    model = IntensityCurveIQT(scale=1, max_voxels=100, random_state=0)
    model.fit(low, 3 * low, mask=np.ones(low.shape))
    assert len(model.intensities_) <= 100
    np.testing.assert_allclose(model.predict(low, mask=np.ones(low.shape)), 3 * low, rtol=0.05)


def test_tissues_get_the_ratios_of_the_high_volumes():
    labels, low = make_brains(white=110)
    _, high = make_brains(white=150, seed=1)
    model = ContrastMatchingIQT(scale=1).fit(low, high)
    (matched,) = model.predict([7 * low[0]])
    white, grey = (np.median(matched[labels == tissue]) for tissue in (3, 2))
    assert white / grey == pytest.approx(1.5, rel=0.02)
    assert grey == pytest.approx(700, rel=0.02)  # a scan keeps its unit
    same = InterpolationIQT(scale=1).fit(low, high).predict([7 * low[0]])[0]
    assert np.median(same[labels == 3]) == pytest.approx(770, rel=0.02)


def test_contrast_matching_accepts_masks_and_refuses_volumes_after_rows():
    labels, low = make_brains(white=110)
    _, high = make_brains(white=150, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ContrastMatchingIQT(scale=1).fit(low, high, mask=[labels > 0] * 2)
        model.predict(low[:1], mask=[labels > 0])
    rows = np.random.default_rng(0).random((4, 343))
    with pytest.raises(ValueError, match="Fit it on volumes"):
        ContrastMatchingIQT(scale=1).fit(rows, rows).predict(low[:1])


def test_masks_of_low_scans_exclude_a_scalp_of_the_high_volumes():
    labels, (high,) = make_brains(white=150, n=1)
    low = high.reshape(24, 24, 12, 2).mean(axis=-1)
    mask = labels.reshape(24, 24, 12, 2).min(axis=-1) > 0
    expected = ContrastMatchingIQT(scale=(1, 1, 2)).fit([low], [high], mask=[mask])
    bright = high.copy()
    bright[:2] = bright[-2:] = 400.0
    found = ContrastMatchingIQT(scale=(1, 1, 2)).fit([low], [bright], mask=[mask])
    np.testing.assert_array_equal(found.scaler_.ratios_, expected.scaler_.ratios_)


def test_scans_get_the_histogram_of_the_high_volumes():
    labels, low = make_brains(white=110)
    _, high = make_brains(white=150, seed=1)
    model = ContrastMatchingIQT(NyulScaler(keep_units=True), scale=1)
    (matched,) = model.fit(low, [3 * volume for volume in high]).predict([7 * low[0]])
    expected = [np.percentile(high[0][labels > 1], part) for part in (10, 50, 99)]
    found = [np.percentile(matched[labels > 1], part) for part in (10, 50, 99)]
    np.testing.assert_allclose(np.divide(found, found[-1]), np.divide(expected, expected[-1]), 0.05)
    bright = 7 * np.percentile(low[0][labels > 1], 99)
    assert found[-1] == pytest.approx(bright, rel=0.05)  # a scan keeps its unit


@pytest.mark.parametrize("scaler", [NyulScaler(), PercentileScaler()])
def test_scalers_that_change_the_unit_of_scans_are_refused(scaler):
    _, high = make_brains(white=150)
    with pytest.raises(ValueError, match="changes the unit of a scan"):
        ContrastMatchingIQT(scaler, scale=1).fit(high, high)


BASELINES = [
    IntensityCurveIQT(scale=1),
    ContrastMatchingIQT(scale=1),
    ContrastMatchingIQT(NyulScaler(keep_units=True), scale=1),
]


@pytest.mark.parametrize("model", BASELINES)
def test_baselines_are_saved_in_model_files(model, tmp_path):
    _, low = make_brains(white=110)
    _, high = make_brains(white=150, seed=1)
    loaded = load_model(save_model(model.fit(low, high), tmp_path / "model.iqt"))
    np.testing.assert_array_equal(loaded.predict(low)[0], model.predict(low)[0])


def test_a_file_with_impossible_ratios_is_refused(tmp_path):
    _, high = make_brains(white=150)
    model = ContrastMatchingIQT(scale=1).fit(high, high)
    model.scaler_.ratios_ = model.scaler_.ratios_[::-1].copy()
    with pytest.raises(UntrustedModelError, match="cannot be ratios"):
        load_model(save_model(model, tmp_path / "model.iqt"))
