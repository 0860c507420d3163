"""Baselines that denoise by non-local means."""

import numpy as np
import pytest

pytest.importorskip("skimage")

from benchmarks.paper.config import build_estimator
from benchmarks.paper.nonlocal_means import DenoisedInterpolation, NonLocalUpsampling
from sklearn_iqt import InterpolationIQT, load_model, save_model
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.simulation import degrade


def make_box(noise):
    truth = np.full((24, 24, 32), 50, np.float32)
    truth[6:18, 6:18, 10:22] = 100
    low = degrade(truth, thickness=4)
    return truth, low + np.random.default_rng(0).normal(0, noise, low.shape).astype(np.float32)


def test_denoising_removes_noise_before_interpolation():
    truth, low = make_box(noise=5)
    mask = [np.ones(low.shape)]
    plain, clean = (
        model.fit([low]).predict([low], mask=mask)[0]
        for model in (InterpolationIQT(), DenoisedInterpolation())
    )
    assert nrmse(truth, clean) < 0.9 * nrmse(truth, plain)


def test_upsampling_sharpens_and_keeps_the_mean_of_each_slice(tmp_path):
    truth, low = make_box(noise=0)
    model = NonLocalUpsampling().fit([low])
    (high,) = model.predict([low])
    interpolated = InterpolationIQT().fit([low]).predict([low])[0]
    assert nrmse(truth, high) < nrmse(truth, interpolated)
    np.testing.assert_allclose(high.reshape(24, 24, 8, 4).mean(axis=-1), low, atol=0.5)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    np.testing.assert_array_equal(loaded.predict([low])[0], high)


def test_profiles_may_name_these_baselines():
    assert isinstance(build_estimator({"estimator": "NonLocalUpsampling"}), NonLocalUpsampling)
