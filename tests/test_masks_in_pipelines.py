"""One mask reaches all steps of a pipeline, and a mask that does not is reported."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from sklearn_iqt import IntensityCurveIQT, PatchwiseRegressor, TissueScaler, load_model, save_model
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler

SCALE = (1, 1, 2)


def cohort(n=4, size=32):
    """Return scans with bright fat around brains of different contrast, truths and masks."""
    rng = np.random.default_rng(0)
    radius = np.linalg.norm(np.indices((size,) * 3) - (size - 1) / 2, axis=0)
    labels = np.select([radius < 8, radius < 11, radius < 12.5, radius < 15], [3, 2, 1, 4])
    truth = np.array([0.0, 40, 100, 150, 0])[labels]
    lows, highs = [], []
    for number in range(n):
        scan = np.array([0.0, 40, 100, 115 + 12 * number, 100 + 150 * number])[labels]
        scan = scan.reshape(size, size, size // 2, 2).mean(axis=-1)
        lows.append(scan + rng.normal(0, 2, scan.shape))
        highs.append(truth + rng.normal(0, 2, truth.shape))
    brain = (labels > 0) & (labels < 4)
    masks = [brain.reshape(size, size, size // 2, 2).all(axis=-1)] * n
    return lows, highs, masks, [brain] * n


@pytest.fixture
def pipeline():
    return make_pipeline(TissueScaler(), IntensityCurveIQT(scale=SCALE, random_state=0))


def test_one_mask_reaches_all_steps(pipeline):
    low, high, masks, brains = cohort()
    train, test = slice(0, 3), slice(3, 4)
    scaler, model = TissueScaler(), IntensityCurveIQT(scale=SCALE, random_state=0)
    scaled = scaler.fit_transform(low[train], mask=masks[train])
    model.fit(scaled, high[train], mask=masks[train])
    expected = model.predict(scaler.transform(low[test], mask=masks[test]), mask=masks[test])
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.fit(low[train], high[train], mask=masks[train])
        found = pipeline.predict(low[test], mask=masks[test])
        assert pipeline.score(low[test], high[test], mask=masks[test]) < 1
    np.testing.assert_array_equal(found[0], expected[0])
    with pytest.warns(UserWarning, match="mask of predict reaches only the last step"):
        lost = pipeline.predict(low[test], mask=masks[test])
    errors = [nrmse(high[test], p, mask=brains[test]) for p in (found, lost)]
    assert errors[0] < 0.8 * errors[1]


def test_masks_are_routed_in_cross_validation(pipeline):
    low, high, masks, _ = cohort()
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        scores = cross_validate(pipeline, low, high, cv=2, params={"mask": masks})
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize("scaler", [TissueScaler(), NyulScaler(), PercentileScaler()])
def test_a_scaler_warns_if_only_one_of_fit_and_transform_gets_masks(scaler, tmp_path):
    low, high, masks, _ = cohort(2)
    with pytest.warns(UserWarning, match="fitted without masks and transforms volumes with masks"):
        scaler.fit(low).transform(low, mask=masks)
    with pytest.warns(UserWarning, match="fitted with masks and transforms volumes without"):
        scaler.fit(low, mask=masks).transform(low)
    model = PatchwiseRegressor(scale=SCALE, max_patches=50, random_state=0)
    pipeline = make_pipeline(scaler, model.fit(low, high))
    loaded = load_model(save_model(pipeline, tmp_path / "model.iqt"))
    with pytest.warns(UserWarning, match="fitted with masks and transforms volumes without"):
        loaded.predict(low, mask=masks)
