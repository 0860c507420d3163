"""The scorers inside scikit-learn's model selection, with volumes of different shapes."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate

from sklearn_iqt.metrics import (
    coherence,
    contrast_error,
    lesion_contrast,
    neg_nrmse_scorer,
    nrmse,
    psnr,
    psnr_scorer,
    regression_slope,
    ssim,
    ssim_scorer,
    tissue_error,
    volume_scorers,
)


class GainRegressor(RegressorMixin, BaseEstimator):
    """Multiply every volume by a gain, as the simplest model to fit, score and search over."""

    def __init__(self, gain=1.0):
        self.gain = gain

    def fit(self, X, y):
        self.n_volumes_ = len(X)
        return self

    def predict(self, X):
        predictions = np.empty(len(X), dtype=object)
        for index, volume in enumerate(X):
            predictions[index] = self.gain * volume
        return predictions


@pytest.fixture
def ragged():
    rng = np.random.default_rng(0)
    truths = [1 + rng.random((12, 13, 11 + n)) for n in range(6)]
    lows = [truth + 0.1 * rng.normal(size=truth.shape) for truth in truths]
    masks = [rng.random(truth.shape) > 0.3 for truth in truths]
    return lows, truths, masks


def test_scorers_agree_with_the_metrics_of_the_prediction(ragged):
    lows, truths, _ = ragged
    model = GainRegressor(gain=1.1).fit(lows, truths)
    predictions = model.predict(lows)
    assert neg_nrmse_scorer(model, lows, truths) == -nrmse(truths, predictions)
    assert psnr_scorer(model, lows, truths) == psnr(truths, predictions)
    assert ssim_scorer(model, lows, truths) == ssim(truths, predictions)
    mean = volume_scorers(normalization="mean")["neg_nrmse"]
    assert mean(model, lows, truths) == -nrmse(truths, predictions, normalization="mean")


def test_scorers_match_the_units_if_asked(ragged):
    lows, truths, _ = ragged
    plain, matched = (volume_scorers(match=match) for match in ("none", "gain"))
    models = [GainRegressor(gain).fit(lows, truths) for gain in (1.0, 50.0)]
    for name, scorer in matched.items():
        one, fifty = (scorer(model, lows, truths) for model in models)
        assert one == pytest.approx(fifty)
        assert plain[name](models[1], lows, truths) < fifty


def test_higher_is_better_for_every_scorer(ragged):
    lows, truths, _ = ragged
    for scorer in volume_scorers().values():
        search = GridSearchCV(GainRegressor(), {"gain": [0.5, 1.0, 2.0]}, scoring=scorer, cv=3)
        assert search.fit(lows, truths).best_params_ == {"gain": 1.0}


def test_multi_metric_cross_validation_by_subject(ragged):
    lows, truths, _ = ragged
    scores = cross_validate(
        GainRegressor(),
        lows,
        truths,
        groups=[0, 0, 1, 1, 2, 2],
        cv=GroupKFold(3),
        scoring=volume_scorers(),
    )
    for name, metric, sign in (("neg_nrmse", nrmse, -1), ("psnr", psnr, 1), ("ssim", ssim, 1)):
        everything = metric(truths, lows, per_volume=True)
        assert np.mean(scores[f"test_{name}"]) == pytest.approx(sign * everything.mean())


@pytest.mark.parametrize("key", [True, "brain"])
def test_masks_are_routed_to_the_scorers(ragged, key):
    lows, truths, masks = ragged
    name = "mask" if key is True else key
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            GainRegressor(),
            lows,
            truths,
            cv=3,
            scoring=volume_scorers(mask=key),
            params={name: masks},
        )
        alone = cross_val_score(
            GainRegressor(),
            lows,
            truths,
            cv=3,
            scoring=volume_scorers(mask=key)["ssim"],
            params={name: masks},
        )
    expected = ssim(truths, lows, mask=masks, per_volume=True).reshape(3, 2).mean(axis=1)
    assert scores["test_ssim"] == pytest.approx(expected)
    assert alone == pytest.approx(expected)
    expected = nrmse(truths, lows, mask=masks, per_volume=True).reshape(3, 2).mean(axis=1)
    assert -scores["test_neg_nrmse"] == pytest.approx(expected)
    assert -scores["test_neg_nrmse"] != pytest.approx(nrmse(truths, lows))


def test_requesting_a_mask_does_not_change_the_shared_scorers(ragged):
    lows, truths, _ = ragged
    with sklearn.config_context(enable_metadata_routing=True):
        volume_scorers(mask=True)
        # scikit-learn 1.6.0 does not take its own default of params.
        options = {"cv": 3, "scoring": ssim_scorer, "params": {}}
        scores = cross_val_score(GainRegressor(), lows, truths, **options)
    assert np.isfinite(scores).all()


def test_scorers_of_tissues_lesions_and_detail_request_their_maps(ragged):
    lows, truths, masks = ragged
    masks = [np.ones_like(mask) for mask in masks]
    for mask in masks:
        mask[:3] = False
    labels = [np.digitize(truth, [1.2, 1.5, 1.8]) for truth in truths]
    lesions = [np.zeros(truth.shape) for truth in truths]
    for lesion, truth in zip(lesions, truths, strict=True):
        lesion[5:7, 5:7, 5:7] = 1
        truth[lesion > 0] = 3
    options = {"mask": "brain", "labels": "tissues", "lesions": True, "scale": 2}
    with sklearn.config_context(enable_metadata_routing=True):
        scorers = volume_scorers(**options, match="gain", voxel_size_mm=1)
        scores = cross_validate(
            GainRegressor(gain=3.0),
            lows,
            truths,
            cv=3,
            scoring=scorers,
            params={"brain": masks, "tissues": labels, "lesions": lesions},
        )
    given = {"mask": masks, "match": "gain", "per_volume": True}
    estimates = [3 * low for low in lows]
    on_labels = {"labels": labels, **given}
    expected = {
        "coherence": coherence(truths, estimates, scale=2, **given),
        "neg_tissue_error": -np.abs(tissue_error(truths, estimates, **on_labels)),
        "neg_contrast_error": -np.abs(contrast_error(truths, estimates, **on_labels)),
        "neg_slope_error": -np.abs(regression_slope(truths, estimates, **on_labels) - 1),
        "neg_lesion_contrast_error": -np.abs(
            lesion_contrast(truths, estimates, lesions=lesions, voxel_size_mm=1, **given) - 1
        ),
    }
    for name, values in expected.items():
        folds = values.reshape(3, 2).mean(axis=1)
        assert scores[f"test_{name}"] == pytest.approx(folds), name
