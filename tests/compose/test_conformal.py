"""Intervals of ConformalIQT: what they promise, and what is refused."""

import copy

import nibabel as nib
import numpy as np
import pytest
from instances import make_pairs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from sklearn_iqt import (
    AnyGridIQT,
    ConformalIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
    PercentileScaler,
    TissueScaler,
    load_model,
    save_model,
)
from sklearn_iqt.exceptions import GeometryMismatchError, IntervalRefusedError
from sklearn_iqt.io import scaled_affine

SHAPES = [(12, 13, 4)] * 9
LEVELS = (0.5, 0.8, 0.9, 0.95)


def ridge():
    return PatchwiseRegressor(patcher=PatchTransformer(5), max_patches=300, random_state=0)


@pytest.fixture(scope="module")
def pairs():
    low, high = make_pairs(SHAPES)
    return np.stack(low), np.stack(high)


@pytest.fixture(scope="module")
def calibrated(pairs):
    low, high = pairs
    model = ConformalIQT(ridge()).fit(low[:3], high[:3])
    return model.conformalize(low[3:8], high[3:8])


def coverage(model, low, high):
    """Return the fraction of the foreground of each subject that the intervals contain."""
    _, lower, upper = model.predict_interval(low)
    inside = np.array([v >= v.mean() for v in low]).repeat(high.shape[-1] // low.shape[-1], axis=-1)
    contained = (lower <= high) & (high <= upper)
    return np.array([c[m].mean() for c, m in zip(contained, inside, strict=True)])


@pytest.mark.filterwarnings("ignore")
def test_check_estimator():
    results = check_estimator(ConformalIQT(InterpolationIQT()), on_skip=None)
    assert not [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]


@pytest.mark.parametrize(("n", "subject_level"), [(4, 0.8), (9, 0.9), (3, 0.5)])
def test_the_promise_holds_for_exchangeable_subjects(n, subject_level):
    """Subjects differ in how large their errors are relative to what the model knows."""
    rng = np.random.default_rng(n)
    model = ConformalIQT(
        FrozenEstimator(InterpolationIQT(scale=1).fit(np.ones((1, 8, 8, 4)))),
        confidence_level=0.9,
        subject_level=subject_level,
    )
    held, trials = 0, 150
    for _ in range(trials):
        truth = 100 + 10 * rng.random((n + 1, 8, 8, 4))
        errors = rng.lognormal(0, 0.5, (n + 1, 1, 1, 1)) * rng.normal(size=truth.shape)
        low = truth + 3 * rng.normal(size=truth.shape)
        high = low + errors
        mask = np.ones(low.shape)
        model.conformalize(low[:n], high[:n], mask=mask[:n])
        _, lower, upper = model.predict_interval(low[n:], mask=mask[n:])
        held += np.mean((lower <= high[n:]) & (high[n:] <= upper)) >= 0.9
    deviation = np.sqrt(subject_level * (1 - subject_level) / trials)
    # Exact levels are not below the promise, and not far above it: at most 1 / (n + 1).
    assert held / trials > subject_level - 3 * deviation
    assert held / trials < subject_level + 1 / (n + 1) + 3 * deviation


def test_calibration_subjects_are_covered_as_they_must_be(pairs):
    low, high = pairs
    model = ConformalIQT(ridge(), subject_level=0.8).fit(low[:3], high[:3])
    for n, at_least in ((4, 4), (9, 8)):  # ceil((n + 1) * 0.8) subjects
        model.conformalize(low[:n], high[:n])
        assert np.sum(coverage(model, low[:n], high[:n]) >= 0.9 - 1e-6) >= at_least


def test_folds_are_not_more_than_subjects(pairs):
    low, high = pairs
    model = ConformalIQT(ridge()).fit_conformalize(low[:4], high[:4])
    assert len(model.factors_) == 4
    with pytest.raises(ValueError, match="needs at least 4 calibration subjects, got 3"):
        model.fit_conformalize(low[:3], high[:3])


def test_a_frozen_model_is_not_calibrated_on_what_it_learned(pairs):
    low, high = pairs
    frozen = FrozenEstimator(ridge().fit(low[:6], high[:6]))
    with pytest.raises(ValueError, match="FrozenEstimator cannot be fitted again"):
        ConformalIQT(frozen).fit_conformalize(low[:6], high[:6])


def test_intervals_grow_with_both_levels(calibrated, pairs):
    low, _ = pairs
    widths = []
    for level in LEVELS:
        model = copy.copy(calibrated).set_params(confidence_level=level)
        prediction, lower, upper = model.predict_interval(low[8:])
        np.testing.assert_array_equal(prediction, calibrated.predict(low[8:]))
        assert ((lower <= prediction) & (prediction <= upper)).all()
        widths.append((upper - lower).mean())
    assert np.all(np.diff(widths) > 0)
    factors = [model.set_params(subject_level=level).factor() for level in (0.2, 0.5, 0.8)]
    assert factors == sorted(factors)
    assert factors[0] < factors[-1]


@pytest.mark.parametrize("gain", [0.01, 1000])
def test_units_of_intensity_do_not_matter(gain, calibrated, pairs):
    low, high = pairs
    model = ConformalIQT(FrozenEstimator(calibrated.estimator_))
    model.conformalize(gain * low[3:8], gain * high[3:8])
    np.testing.assert_allclose(model.factors_, calibrated.factors_, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(
        model.predict_interval(gain * low[8:]), calibrated.predict_interval(low[8:]), strict=True
    ):
        np.testing.assert_allclose(ours / gain, theirs, rtol=1e-2, atol=1)


def test_a_subject_with_several_scans_counts_once(calibrated, pairs):
    low, high = pairs
    model = ConformalIQT(FrozenEstimator(calibrated.estimator_), subject_level=0.5)
    groups = ["a", "b", "c", "b", "a"]
    model.conformalize(low[3:8], high[3:8], groups=groups)
    assert model.factors_.shape == (3, 999)
    np.testing.assert_array_equal(model.factors_[0], calibrated.factors_[[0, 4]].max(axis=0))
    model.set_params(subject_level=0.8)
    with pytest.raises(ValueError, match="needs at least 4 calibration subjects, got 3"):
        model.conformalize(low[3:8], high[3:8], groups=groups)
    with pytest.raises(ValueError, match="one subject for each of the 5 volumes"):
        model.conformalize(low[3:8], high[3:8], groups=groups[:4])


def test_few_subjects_are_calibrated_by_cross_validation(pairs):
    low, high = pairs
    model = ConformalIQT(ridge(), cv=3).fit_conformalize(list(low[:6]), list(high[:6]))
    assert model.factors_.shape == (6, 999)
    np.testing.assert_array_equal(
        model.predict(low[8:]), ridge().fit(low[:6], high[:6]).predict(low[8:])
    )
    # The first fold is calibrated with a model of the second and the third one.
    first = ConformalIQT(ridge(), subject_level=0.5).fit(low[2:6], high[2:6])
    first.conformalize(low[:2], high[:2])
    np.testing.assert_array_equal(model.factors_[:2], first.factors_)
    grouped = ConformalIQT(ridge(), cv=2, subject_level=0.6)
    grouped.fit_conformalize(low[:6], high[:6], groups=[0, 0, 1, 1, 2, 2])
    assert grouped.factors_.shape == (3, 999)


def test_pipelines_masks_and_images(pairs):
    low, high = pairs
    images, truths = _images(low, high)
    masks = [np.ones(volume.shape) for volume in low]
    model = ConformalIQT(make_pipeline(PercentileScaler(), ridge())).fit(images[:3], truths[:3])
    model.conformalize(images[3:8], truths[3:8], mask=masks[3:8])
    prediction, lower, upper = model.predict_interval(images[8:], mask=masks[8:])
    assert prediction[0].affine[2, 2] == 1
    half = (np.asarray(upper[0].dataobj) - np.asarray(lower[0].dataobj)) / 2
    assert (half > 0).all()
    assert half.mean() < 3 * np.asarray(prediction[0].dataobj).std()
    anywhere = AnyGridIQT(FrozenEstimator(model))
    turned = images[8].as_reoriented([[2, 1], [0, -1], [1, 1]])
    placed = anywhere.predict_interval([turned], mask=[np.ones(turned.shape)])
    for volumes, ours in zip((prediction, lower, upper), placed, strict=True):
        assert np.asarray(ours[0].dataobj).sum() == pytest.approx(
            np.asarray(volumes[0].dataobj, dtype=np.float64).sum(), rel=1e-4
        )
    assert not hasattr(AnyGridIQT(ridge()), "predict_interval")


def test_it_is_searched_and_refitting_removes_the_calibration(pairs):
    low, high = pairs
    search = GridSearchCV(ConformalIQT(ridge()), {"estimator__estimator": [None]}, cv=2)
    best = search.fit(low[:4], high[:4]).best_estimator_
    best.conformalize(low[4:], high[4:])
    best.predict_interval(low[:1])
    with pytest.raises(NotFittedError, match=r"is not calibrated\. Call conformalize"):
        best.fit(low[:4], high[:4]).predict_interval(low[:1])
    with pytest.raises(NotFittedError):
        ConformalIQT(ridge()).conformalize(low, high)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_model_file_keeps_every_bit(wrapped, calibrated, pairs, tmp_path):
    low, _ = pairs
    model = AnyGridIQT(FrozenEstimator(calibrated)) if wrapped else calibrated
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    for ours, theirs in zip(
        loaded.predict_interval(low[8:]), model.predict_interval(low[8:]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert repr(loaded) == repr(model)


def test_impossible_requests_are_refused_in_words(calibrated, pairs):
    low, high = pairs
    model = ConformalIQT(FrozenEstimator(calibrated.estimator_))
    with pytest.raises(ValueError, match=r"got 2, which allow 0\.667 at most"):
        model.conformalize(low[:2], high[:2])
    with pytest.raises(ValueError, match=r"confidence_level must be at most 0\.999, got 0\.9999"):
        model.set_params(confidence_level=0.9999).conformalize(low[3:8], high[3:8])
    model.set_params(confidence_level=0.9)
    with pytest.raises(ValueError, match="intervals are for volumes"):
        model.conformalize(np.ones((20, 75)), np.ones((20, 300)))
    with pytest.raises(GeometryMismatchError, match=r"y\[0\] has shape"):
        model.conformalize(low[3:8], high[3:8, ..., :12])
    silent = ConformalIQT(InterpolationIQT(scale=1)).fit(low[:1])
    with pytest.raises(ValueError, match=r"X\[0\] is zero everywhere in the foreground"):
        silent.conformalize(np.ones((4, 8, 8, 4)), np.ones((4, 8, 8, 4)))
    grid = AnyGridIQT(FrozenEstimator(ridge().fit(*_images(low, high))), grid=2)
    with pytest.raises(GeometryMismatchError, match="Put ConformalIQT into AnyGridIQT"):
        ConformalIQT(FrozenEstimator(grid)).conformalize(*_images(low, high))


def _images(low, high):
    affine = np.diag([1, 1, 4, 1])
    fine = scaled_affine(affine, (1, 1, 4))
    return tuple(
        [nib.Nifti1Image(volume, place) for volume in volumes]
        for volumes, place in ((low, affine), (high, fine))
    )


def make_brain(rng, noise=2.0, white=130):
    """A ball of white matter in grey matter in fluid, with noise."""
    radius = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0) + rng.normal(0, 0.3)
    truth = np.select([radius < 11, radius < 15, radius < 17], [white, 100, 40], 0.0)
    return (truth + noise * rng.normal(size=truth.shape)) * (truth > 0), truth


@pytest.fixture(scope="module")
def of_brains():
    rng = np.random.default_rng(0)
    pairs = [make_brain(rng) for _ in range(5)]
    low, high = (np.array(volumes, dtype=np.float32) for volumes in zip(*pairs, strict=True))
    model = ConformalIQT(FrozenEstimator(InterpolationIQT(scale=1).fit(low)))
    return model.conformalize(low, high)


def test_scans_like_the_calibration_scans_get_the_factor_of_the_calibration(of_brains):
    low, _ = make_brain(np.random.default_rng(7))
    assert of_brains.scan_distance([low])[0] < 2
    _, (lower,), (upper,) = of_brains.predict_interval([low])
    (std,) = of_brains.predict([low], return_std=True)[1]
    half = (upper - lower)[low > 50] / 2
    np.testing.assert_allclose(half, of_brains.factor() * std[low > 50], rtol=1e-4)


def test_intervals_of_a_scan_that_differs_are_longer_or_refused(of_brains):
    rng = np.random.default_rng(7)
    odd, _ = make_brain(rng, noise=4.0)
    worse, _ = make_brain(rng, noise=20)
    mild, strong = of_brains.scan_distance([odd, worse])
    assert 2 < mild < 4 < strong
    _, (lower,), (upper,) = of_brains.predict_interval([odd])
    (std,) = of_brains.predict([odd], return_std=True)[1]
    half = (upper - lower)[odd > 50] / 2
    np.testing.assert_allclose(half, of_brains.factor() * mild / 2 * std[odd > 50], rtol=1e-4)
    with pytest.raises(
        IntervalRefusedError, match=r"no intervals for X\[1\], because the .*, but .* to .*"
    ):
        of_brains.predict_interval([odd, worse])
    always = copy.copy(of_brains).set_params(max_distance=None)
    _, _, (above,) = always.predict_interval([worse])
    assert np.isfinite(above).all()


def test_scalers_of_a_pipeline_correct_a_difference_of_contrast(of_brains):
    rng = np.random.default_rng(3)
    low, high = (np.array(v) for v in zip(*(make_brain(rng) for _ in range(4)), strict=True))
    odd, _ = make_brain(rng, white=160)
    model = make_pipeline(TissueScaler(), InterpolationIQT(scale=1)).fit(low, high)
    scaled = ConformalIQT(FrozenEstimator(model)).conformalize(low, high)
    assert of_brains.scan_distance([odd])[0] > 4
    assert scaled.scan_distance([odd])[0] < 4
