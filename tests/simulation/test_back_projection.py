"""Enhancements agree with their scans after back-projection, and data_consistency measures it."""

import nibabel
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from sklearn_iqt import AnyGridIQT, PatchwiseRegressor, load_model, save_model
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import data_consistency
from sklearn_iqt.simulation import back_project, degrade

GRID = np.indices((40, 40, 64)) - np.reshape([19.5, 19.5, 31.5], (3, 1, 1, 1))


def make_truth(lesion=True):
    radius = np.sqrt(GRID[0] ** 2 + GRID[1] ** 2 + (0.8 * GRID[2]) ** 2)
    truth = np.select([radius < 11, radius < 15, radius < 17], [120.0, 85.0, 40.0])
    spot = np.linalg.norm(GRID - np.reshape([3, -2, 4], (3, 1, 1, 1)), axis=0) < 4
    return np.where(spot & lesion, 60.0, truth).astype(np.float32), spot


def add_noise(low, deviation, seed=0):
    noise = np.random.default_rng(seed).normal(0, deviation, low.shape)
    return (low + noise * (low > 1)).astype(np.float32)


@pytest.mark.parametrize("scale", [(1, 1, 4), (1, 1, 3), (2, 2, 4), 1])
@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_a_lesion_that_was_erased_comes_back(scale, alignment):
    options = {"scale": scale, "thickness": 2.5, "alignment": alignment}
    truth, spot = make_truth()
    erased, _ = make_truth(lesion=False)
    steps = np.broadcast_to(scale, 3)
    erased = erased[tuple(slice(n // s * s) for n, s in zip(erased.shape, steps, strict=True))]
    low = add_noise(degrade(truth, **options), 1.0)
    spot = spot[tuple(map(slice, erased.shape))]
    corrected = back_project(low, erased, **options)
    assert corrected.dtype == np.float32
    assert erased[spot].mean() > 115
    assert corrected[spot].mean() < 90
    before, after = (data_consistency(low, v, **options) for v in (erased, corrected))
    assert before.ratio > 2
    assert after.ratio < 0.6 * before.ratio
    assert np.abs(before.difference).max() > 40
    assert not corrected[erased == 0].any()


def test_noise_is_not_put_into_an_enhancement():
    truth, _ = make_truth()
    low = add_noise(degrade(truth), 5.0)
    corrected = back_project(low, truth)
    brain = truth > 0
    assert np.sqrt(np.mean((corrected - truth)[brain] ** 2)) < 1.5
    assert 0.8 < data_consistency(low, truth).ratio < 1.2


def test_a_contrast_that_was_changed_on_purpose_stays_changed():
    truth, _ = make_truth()
    low = add_noise(degrade(truth), 1.0)
    other = np.interp(truth, [0, 40, 60, 85, 120], [0, 5, 30, 100, 250]).astype(np.float32)
    assert data_consistency(low, other).nrmse > 0.3
    corrected = back_project(low, other)
    for tissue in (40, 85, 120):
        inside = truth == tissue
        assert abs(np.median(corrected[inside]) - np.median(other[inside])) < 12
    assert np.corrcoef(corrected[truth > 0], other[truth > 0])[0, 1] > 0.99


@pytest.mark.parametrize("gain", [2.0**-13, 2.0**17])
def test_units_do_not_matter(gain):
    truth, _ = make_truth()
    erased, _ = make_truth(lesion=False)
    low = add_noise(degrade(truth), 1.0)
    expected = data_consistency(low, erased).ratio
    assert data_consistency(low * gain, erased / gain).ratio == pytest.approx(expected, rel=1e-2)
    corrected = back_project(low * gain, erased / gain) * gain
    np.testing.assert_allclose(corrected, back_project(low, erased), atol=0.5)


def test_wrong_arguments_are_refused():
    truth, _ = make_truth()
    low = degrade(truth)
    with pytest.raises(ValueError, match=r"back_project: enhanced has shape \(40, 40, 64\)"):
        back_project(low[..., :-1], truth)
    with pytest.raises(ValueError, match="back_project: thickness must be"):
        back_project(low, truth, thickness=0.5)
    with pytest.raises(GeometryMismatchError, match="data_consistency: enhanced has shape"):
        data_consistency(low[..., :-1], truth)


def test_inputs_are_not_modified_and_images_are_accepted():
    truth, _ = make_truth()
    low = add_noise(degrade(truth), 1.0)
    copies = low.copy(), truth.copy()
    found = data_consistency(low, truth, mask=low > 20)
    back_project(low, truth)
    np.testing.assert_array_equal(low, copies[0])
    np.testing.assert_array_equal(truth, copies[1])
    images = [nibabel.Nifti1Image(v, np.eye(4)) for v in (low, truth, (low > 20).astype(np.uint8))]
    again = data_consistency(*images[:2], mask=images[2])
    assert again.ratio == pytest.approx(found.ratio)
    assert not found.difference[low <= 20].any()


class Forgetful(PatchwiseRegressor):
    """Enhance scans, and erase everything that is darker than grey matter."""

    def _predict_volume(self, volume, mask, return_std, report_progress):
        (fine,) = super()._predict_volume(volume, mask, False, report_progress)
        smooth = np.select([fine > 100, fine > 30], [120.0, 85.0]).astype(np.float32)
        return (smooth, smooth * 0.1) if return_std else (smooth,)


@pytest.fixture(scope="module")
def pair():
    truth, _ = make_truth()
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    low = nibabel.Nifti1Image(add_noise(degrade(truth), 1.0), affine)
    return low, nibabel.Nifti1Image(truth, np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize("as_arrays", [False, True])
def test_any_estimator_can_be_made_consistent(pair, as_arrays):
    low, high = (image.get_fdata() if as_arrays else image for image in pair)
    high = high if as_arrays else nibabel.Nifti1Image(high.get_fdata(), _fine(low.affine))
    model = FrozenEstimator(Forgetful(max_patches=500, random_state=0).fit([low], [high]))
    scan = pair[0].get_fdata()
    plain, consistent, thick = (
        np.asarray(getattr(result, "dataobj", result))
        for options in ({}, {"consistency": True}, {"consistency": 4.0})
        for result in AnyGridIQT(model, **options).predict([low])
    )
    before, after = data_consistency(scan, plain).ratio, data_consistency(scan, consistent).ratio
    assert after < 0.5 * before
    assert not np.array_equal(consistent, thick)
    results = AnyGridIQT(model, consistency=True).predict([low], return_std=True)
    enhanced, std = (np.asarray(getattr(r[0], "dataobj", r[0])) for r in results)
    np.testing.assert_array_equal(enhanced, consistent)
    (_, expected) = AnyGridIQT(model).predict([low], return_std=True)
    np.testing.assert_array_equal(std, np.asarray(getattr(expected[0], "dataobj", expected[0])))


def _fine(affine):
    from sklearn_iqt.io import scaled_affine

    return scaled_affine(affine, (1, 1, 4))


def test_a_model_that_interpolates_slices_can_be_made_consistent(pair):
    low = pair[0]
    high = nibabel.Nifti1Image(pair[1].get_fdata(), _fine(low.affine))
    inner = Forgetful(scale=1, max_patches=500, random_state=0)
    model = AnyGridIQT(inner, slices="interpolate").fit([low], [high])
    (plain,) = model.predict([low])
    (consistent,) = model.set_params(consistency=True).predict([low])
    assert plain.shape == consistent.shape
    scan = low.get_fdata()
    before, after = (data_consistency(scan, v.get_fdata()).ratio for v in (plain, consistent))
    assert after < 0.6 * before


def test_consistency_is_stored_and_checked(pair, tmp_path):
    low, high = pair[0], nibabel.Nifti1Image(pair[1].get_fdata(), _fine(pair[0].affine))
    model = AnyGridIQT(PatchwiseRegressor(max_patches=500), consistency=3.5).fit([low], [high])
    assert load_model(save_model(model, tmp_path / "model.iqt")).consistency == 3.5
    with pytest.raises(ValueError, match="consistency"):
        AnyGridIQT(BaseEstimatorWithFit(), consistency=0.5).fit([low], [high])


class BaseEstimatorWithFit(BaseEstimator):
    """The least that AnyGridIQT accepts."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X
