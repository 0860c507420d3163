"""Volumes of extreme intensities are refused, and never give infinite or empty results."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt import (
    ContrastMatchingIQT,
    CoupledDictionaryIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
)
from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.metrics import nrmse, psnr, ssim
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler, TissueScaler

PATCHES = PatchTransformer(3)
MODELS = {
    "interpolation": InterpolationIQT(),
    "curve": IntensityCurveIQT(),
    "contrast": ContrastMatchingIQT(),
    "srep": CoupledDictionaryIQT(6, patcher=PATCHES, max_iter=1, random_state=0),
    "ridge": PatchwiseRegressor(patcher=PATCHES, random_state=0),
}
SCALERS = [TissueScaler(), NyulScaler(), PercentileScaler()]


@pytest.fixture(scope="module")
def pairs():
    """Volumes of three tissues in air, at a quarter of the slices and at all of them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (2, 8, 8, 8)).repeat(2, 1).repeat(2, 2).repeat(2, 3)
    high = np.array([5.0, 40, 100, 150])[labels] + rng.uniform(0, 5, labels.shape)
    high[:, :5] = 0
    return high.reshape(2, 16, 16, 4, 4).mean(axis=-1), high


@pytest.mark.parametrize("gain", [1e200, 1e34, 1e12, 1e-16, 1e-200])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_of_extreme_volumes_are_refused(name, gain, pairs, fit_model):
    model = fit_model(name)
    with pytest.raises(ValueError, match="largest absolute intensity"):
        model.predict(pairs[0] * gain)
    with pytest.raises(ValueError, match="largest absolute intensity"):
        type(model)(**model.get_params(deep=False)).fit(pairs[0], pairs[1] * gain)


@pytest.fixture(scope="module")
def fit_model(pairs):
    fitted = {}

    def fit(name):
        if name not in fitted:
            fitted[name] = MODELS[name].fit(*pairs)
        return fitted[name]

    return fit


@pytest.mark.parametrize("largest", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_inside_the_range_follow_the_unit(name, largest, pairs, fit_model):
    low = pairs[0][:1]
    gain = largest / low.max() * (1 - 1e-12 if largest > 1 else 1 + 1e-12)
    expected = fit_model(name).predict(low) * gain
    np.testing.assert_allclose(
        fit_model(name).predict(low * gain), expected, rtol=2e-3, atol=2e-3 * expected.max()
    )


@pytest.mark.parametrize("gain", [1e200, 1e34, 1e-200])
def test_scalers_and_metrics_refuse_extreme_volumes(gain, pairs):
    for scaler in SCALERS:
        with pytest.raises(ValueError, match="largest absolute intensity"):
            scaler.fit(pairs[0]).transform(pairs[0] * gain)
    for metric in (nrmse, psnr, ssim):
        with pytest.raises(ValueError, match="largest absolute intensity"):
            metric(pairs[1] * gain, pairs[1] * gain)


@pytest.mark.parametrize("value", [1e13, -1e13, 1e-13, -1e-13])
def test_files_and_images_of_extreme_intensities_are_refused(value, tmp_path):
    voxels = np.zeros((4, 4, 4))
    voxels[1] = value
    path = save_volume(voxels, tmp_path / "scan.nii")
    with pytest.raises(VolumeReadError, match="largest absolute intensity"):
        load_volume(path)
    with pytest.raises(VolumeReadError, match="largest absolute intensity"):
        InterpolationIQT().fit([nibabel.load(path)]).predict([nibabel.load(path)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_whose_prediction_overflows_are_refused(dtype):
    rows = np.random.default_rng(0).random((20, 4)).astype(dtype)
    model = PatchwiseRegressor().fit(rows, rows)
    model.estimator_.coef_ = np.full_like(model.estimator_.coef_, np.finfo(dtype).max)
    with pytest.raises(FloatingPointError, match=r"PatchwiseRegressor.*infinite"):
        model.predict(rows)
