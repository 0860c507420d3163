"""Intensity scalers follow their definitions, have their invariances, and refuse bad input."""

from __future__ import annotations

import pickle

import nibabel
import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import scalers
from scipy.interpolate import interp1d
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import save_volume
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler, TissueScaler

SCALERS = [*scalers(), PercentileScaler(2, 98), NyulScaler(keep_units=True)]
PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)


def keeps_units(scaler):
    return isinstance(scaler, TissueScaler) or getattr(scaler, "keep_units", False)


def brain(seed=0, shape=(12, 11, 10), dtype="f8"):
    """Return three noisy classes in a dark background."""
    rng = np.random.default_rng(seed)
    volume = rng.choice([0.0, 30, 60, 100], size=shape, p=[0.4, 0.2, 0.2, 0.2])
    return (volume + rng.gamma(2, 2, size=shape)).astype(dtype)


class Identity(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return X


# ---------------------------------------------------------------- definitions


def test_percentile_scaler_maps_percentiles_of_the_foreground():
    volume = brain()
    foreground = volume[volume > volume.mean()]
    scaled = PercentileScaler(5, 95, output_range=(-1, 3)).fit_transform([volume])[0]
    low, high = np.percentile(foreground, [5, 95])
    np.testing.assert_allclose(scaled, (volume - low) / (high - low) * 4 - 1)
    plain = PercentileScaler().fit_transform([volume])[0]
    np.testing.assert_allclose(plain, volume / np.percentile(foreground, 99.5))
    clipped = PercentileScaler(5, 95, clip=True).fit_transform([volume])[0]
    assert (clipped.min(), clipped.max()) == (0, 1)


def test_nyul_agrees_with_a_piecewise_linear_interpolation():
    volumes = [brain(seed) * (1 + seed) for seed in range(3)]
    scaler = NyulScaler().fit(volumes)
    own = np.array([np.percentile(v[v > v.mean()], PERCENTILES) for v in volumes])
    standard = np.mean([np.interp(o, [o[0], o[-1]], [1, 100]) for o in own], axis=0)
    np.testing.assert_allclose(scaler.landmarks_, standard)
    other = brain(9) * 40
    landmarks = np.percentile(other[other > other.mean()], PERCENTILES)
    expected = interp1d(landmarks, standard, fill_value="extrapolate")(other)
    np.testing.assert_allclose(scaler.transform([other])[0], expected)
    assert expected.min() < 1  # there was extrapolation on both sides
    assert expected.max() > 100


def test_nyul_maps_each_landmark_to_the_standard_landmark():
    volumes = [brain(seed, (20, 20, 20)) ** (1 + 0.1 * seed) for seed in range(3)]
    scaler = NyulScaler(output_range=(0, 1)).fit(volumes)
    assert scaler.landmarks_[0] == pytest.approx(0)
    assert scaler.landmarks_[-1] == pytest.approx(1)
    for volume, scaled in zip(volumes, scaler.transform(volumes), strict=True):
        inside = scaled[volume > volume.mean()]
        np.testing.assert_allclose(np.percentile(inside, PERCENTILES), scaler.landmarks_, atol=1e-2)


def test_nyul_with_coinciding_landmarks_stays_finite_and_monotone():
    volume = np.zeros((10, 10, 10))
    volume[2:8] = 5
    volume[5:8] = 9
    volume[0, 0] = 20
    scaled = NyulScaler().fit([brain()]).transform([volume])[0]
    assert np.isfinite(scaled).all()
    order = np.argsort(volume, axis=None)
    assert (np.diff(scaled.ravel()[order]) >= 0).all()


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(1e-2, 1e3))
def test_a_gain_is_removed_or_kept(scaler, seed, gain):
    volume = brain(seed)
    fitted = clone(scaler).fit([brain(1)])
    one, other = fitted.transform([volume, gain * volume])
    kept = gain if keeps_units(scaler) else 1
    np.testing.assert_allclose(other, kept * one, rtol=1e-4, atol=1e-6)


def test_nyul_that_keeps_units_changes_only_intensities_between_the_ends():
    scaler = NyulScaler(keep_units=True).fit([brain(1)])
    volume = brain(2) ** 1.2
    scaled = scaler.transform([volume])[0]
    inside = volume > volume.mean()
    ends = np.percentile(volume[inside], [1, 99])
    np.testing.assert_allclose(np.percentile(scaled[inside], [1, 99]), ends, rtol=1e-2)
    standard = NyulScaler().fit([brain(1)]).transform([volume])[0]
    np.testing.assert_allclose(np.corrcoef(scaled[inside], standard[inside])[0, 1], 1, atol=1e-3)
    assert np.all(scaler.transform([np.where(inside, volume, 0)])[0][~inside] == 0)


def three_tissues(white, seed=0, shape=(24, 24, 24)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, size=shape)
    labels[: shape[0] // 2] = 0
    volume = np.array([0.0, 60, 100, white])[labels]
    return volume + rng.normal(scale=2, size=shape), labels


def test_tissue_scaler_restores_the_contrast_of_the_training_volumes():
    scaler = TissueScaler().fit([three_tissues(w, w)[0] for w in (118, 122)])
    np.testing.assert_allclose(scaler.ratios_, [0.6, 1, 1.2], atol=0.02)
    volume, labels = three_tissues(160)
    scaled = scaler.transform([3 * volume])[0]
    means = [scaled[labels == tissue].mean() / 3 for tissue in (1, 2, 3)]
    np.testing.assert_allclose(means, [60, 100, 120], rtol=0.02)


def test_tissue_means_are_in_the_unit_of_the_volume(tmp_path):
    volume, labels = three_tissues(120)
    expected = [3 * volume[labels == tissue].mean() for tissue in (1, 2, 3)]
    image = nibabel.Nifti1Image((3 * volume).astype(np.float32), np.eye(4))
    for form in (3 * volume, image, save_volume(image, tmp_path / "scan.nii.gz")):
        np.testing.assert_allclose(TissueScaler().tissue_means(form), expected, rtol=0.02)
    outside = np.where(labels > 0, volume, 1000)
    means = TissueScaler().tissue_means(outside, labels > 0)
    np.testing.assert_allclose(means, np.divide(expected, 3), rtol=0.02)
    with pytest.raises(ValueError, match="cannot be distinguished"):
        TissueScaler().tissue_means(outside, labels == 0)
    with pytest.raises(ValueError, match="'max_samples' parameter"):
        TissueScaler(max_samples=1).tissue_means(volume)


def test_tissue_scaler_refuses_volumes_without_three_tissues():
    two_values = np.zeros((10, 10, 10))
    two_values[5:] = 7
    with pytest.raises(ValueError, match="cannot be distinguished"):
        TissueScaler().fit([two_values])


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.1, 10))
def test_nyul_removes_linear_changes_and_keeps_the_order(seed, offset, gain):
    volume = brain(seed)
    one, other = NyulScaler().fit([brain(1)]).transform([volume, gain * volume + offset])
    np.testing.assert_allclose(one, other, atol=1e-6)
    order = np.argsort(volume, axis=None)
    assert (np.diff(one.ravel()[order]) >= -1e-9).all()


# ---------------------------------------------------------------- containers and masks


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_results_have_the_same_container_as_the_input(scaler, tmp_path):
    volumes = [brain(seed, dtype="f4") for seed in range(2)]
    for volume in volumes:
        volume.setflags(write=False)
    stack = clone(scaler).fit_transform(np.stack(volumes))
    assert isinstance(stack, np.ndarray)
    assert stack.shape == (2, 12, 11, 10)
    assert stack.dtype == np.float32
    ragged = clone(scaler).fit_transform([volumes[0], volumes[1][:-1]])
    assert ragged.dtype == object
    assert [v.shape for v in ragged] == [(12, 11, 10), (11, 11, 10)]
    affine = np.diag([1, 1, 4, 1.0])
    images = [nibabel.Nifti1Image(volume, affine) for volume in volumes]
    paths = [save_volume(image, tmp_path / f"{n}.nii") for n, image in enumerate(images)]
    for collection in (images, paths):
        result = clone(scaler).fit_transform(collection)
        assert all(isinstance(image, nibabel.Nifti1Image) for image in result)
        np.testing.assert_array_equal(result[1].affine, affine)
        np.testing.assert_allclose(result[1].get_fdata(), stack[1], rtol=1e-5)
    assert clone(scaler).fit_transform(np.stack(volumes).astype("f8")).dtype == np.float64
    assert clone(scaler).fit_transform(np.stack(volumes).astype(">i2")).dtype == np.float32


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_transform_uses_each_volume_alone_and_stores_nothing(scaler):
    volumes = [brain(seed) for seed in range(3)]
    fitted = clone(scaler).fit(volumes)
    state = pickle.dumps(fitted)
    together = fitted.transform(volumes)
    for volume, scaled in zip(volumes, together, strict=True):
        np.testing.assert_array_equal(fitted.transform([volume])[0], scaled)
    assert pickle.dumps(fitted) == state
    again = pickle.loads(state).transform(volumes)
    np.testing.assert_array_equal(again[2], together[2])
    np.testing.assert_array_equal(clone(scaler).fit_transform(volumes)[2], together[2])


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_a_mask_sets_the_scale_and_is_routed(scaler):
    volumes = [brain(seed) for seed in range(4)]
    masks = [np.random.default_rng(seed).random(v.shape) > 0.5 for seed, v in enumerate(volumes)]
    fitted = clone(scaler).fit(volumes, mask=masks)
    masked = fitted.transform(volumes, mask=masks)
    louder = [np.where(m, v, 1000 * v) for v, m in zip(volumes, masks, strict=True)]
    same = clone(scaler).fit(louder, mask=masks).transform(louder, mask=masks)
    np.testing.assert_allclose(same[0][masks[0]], masked[0][masks[0]])
    assert not np.allclose(masked[0], clone(scaler).fit_transform(volumes)[0])
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(scaler).set_fit_request(mask=True).set_transform_request(mask=True)
        pipeline = make_pipeline(asking, Identity())
        result = pipeline.fit(volumes, volumes, mask=masks).predict(volumes, mask=masks)
    np.testing.assert_allclose(result[3], masked[3])


def test_a_scaler_works_in_a_pipeline_under_cross_validation():
    volumes = [brain(seed, (9 + seed, 8, 7)) for seed in range(6)]
    pipeline = make_pipeline(NyulScaler(), Identity())
    predicted = cross_val_predict(pipeline, volumes, volumes, cv=3)
    expected = NyulScaler().fit(volumes[2:]).transform(volumes[:2])
    np.testing.assert_allclose(predicted[1], expected[1])


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_a_global_set_output_leaves_volumes_alone(scaler):
    with sklearn.config_context(transform_output="pandas"):
        scaled = clone(scaler).fit_transform(np.stack([brain(0), brain(1)]))
    assert isinstance(scaled, np.ndarray)
    assert not hasattr(scaler, "get_feature_names_out")
    assert scaler.set_output(transform="pandas") is scaler
    with pytest.raises(ValueError, match=r"transform must be .* got 'nonsense'"):
        scaler.set_output(transform="nonsense")


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_scalers_pickled_without_verbose_still_transform(scaler):
    fitted = clone(scaler).fit([brain()])
    expected = fitted.transform([brain(1)])[0]
    del fitted.verbose
    old = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(old.transform([brain(1)])[0], expected)


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_tags_and_representation(scaler):
    tags = get_tags(scaler)
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert type(scaler).__name__ in scaler._repr_html_()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_bad_volumes_are_named_in_the_error(scaler):
    name = type(scaler).__name__
    good = brain()
    constant = np.full(good.shape, 7.0)
    with pytest.raises(ValueError, match=rf"{name}: X\[1\] has no foreground"):
        clone(scaler).fit([good, constant])
    fitted = clone(scaler).fit([good])
    with pytest.raises(ValueError, match=rf"{name}: X\[0\] has no foreground"):
        fitted.transform([np.zeros(good.shape)])
    with pytest.raises(ValueError, match=rf"{name}: X\[1\].*NaN"):
        fitted.transform([good, np.where(good > 99, np.nan, good)])
    with pytest.raises(ValueError, match="Wrap it in a list"):
        fitted.transform(good)
    with pytest.raises(ValueError, match="1 volumes but mask holds 2"):
        fitted.transform([good], mask=[good, good])
    with pytest.raises(GeometryMismatchError, match=r"mask\[0\] has shape \(3, 3, 3\)"):
        fitted.transform([good], mask=[np.ones((3, 3, 3))])
    with pytest.raises(ValueError, match=r"mask\[0\] is empty"):
        fitted.transform([good], mask=[np.zeros(good.shape)])
    with pytest.raises(ValueError, match=r"range to scale by|landmarks all|grey and white"):
        clone(scaler).fit([-constant], mask=[np.ones(good.shape)])


def test_nyul_must_be_fitted():
    with pytest.raises(NotFittedError):
        NyulScaler().transform([brain()])


@pytest.mark.parametrize(
    ("scaler", "reason"),
    [
        (PercentileScaler(99, 1), "must be below"),
        (PercentileScaler(-1), "'lower' parameter"),
        (PercentileScaler(upper=101), "'upper' parameter"),
        (PercentileScaler(output_range=(1, 0)), "output_range must be 2 increasing"),
        (PercentileScaler(output_range=(0, np.inf)), "output_range must be 2 increasing"),
        (PercentileScaler(clip="yes"), "'clip' parameter"),
        (NyulScaler((50,)), "percentiles must be at least two increasing"),
        (NyulScaler((1, 50, 50)), "percentiles must be at least two increasing"),
        (NyulScaler((1, "half")), "percentiles must be at least two increasing"),
        (NyulScaler((-1, 50)), r"\[0, 100\]"),
        (NyulScaler(output_range=(1, 2, 3)), "output_range must be 2 increasing"),
    ],
)
def test_parameters_are_checked_in_fit(scaler, reason):
    with pytest.raises(ValueError, match=reason):
        scaler.fit([brain()])
