"""A gain that differs between high volumes is not learned, and predictions have the typical one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from instances import make_pairs, name, regressors
from sklearn.base import clone
from sklearn.linear_model import Ridge

from sklearn_iqt import (
    CoupledDictionaryIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
    SelfSupervisedIQT,
    load_model,
    save_model,
)
from sklearn_iqt.exceptions import GeometryMismatchError

LEARNING = [
    model for model in regressors() if not isinstance(model, (InterpolationIQT, SelfSupervisedIQT))
]
RIDGE = PatchwiseRegressor(Ridge(), max_patches=400, random_state=0)
GAINS = np.float32([0.5, 3, 1, 2])


def with_gains(volumes, gains=GAINS):
    return [gain * volume for gain, volume in zip(gains, volumes, strict=True)]


def fit_quietly(model, *pairs, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return clone(model).fit(*pairs, **options)


@pytest.mark.parametrize("model", LEARNING, ids=name)
def test_gains_of_high_volumes_are_not_learned(model):
    low, high = make_pairs()
    plain, foreign = (fit_quietly(model, low, volumes) for volumes in (high, with_gains(high)))
    typical = foreign.target_gain_ / plain.target_gain_
    np.testing.assert_allclose(foreign.target_gains_, GAINS * plain.target_gains_, rtol=1e-5)
    assert foreign.target_gain_ == pytest.approx(np.median(foreign.target_gains_))
    for ours, theirs in zip(foreign.predict(low), plain.predict(low), strict=True):
        np.testing.assert_allclose(ours, typical * theirs, rtol=2e-3, atol=0.5)


def test_gains_are_learned_if_asked():
    low, high = make_pairs()
    own, learned = (
        fit_quietly(clone(RIDGE).set_params(target_unit=unit), low, with_gains(high))
        for unit in ("own", "low")
    )
    assert learned.target_gain_ == 1
    assert len(learned.target_gains_) == 0
    plain = clone(RIDGE).fit(low, high)
    np.testing.assert_allclose(own.estimator_.coef_, plain.estimator_.coef_, rtol=1e-3, atol=1e-4)
    assert not np.allclose(learned.estimator_.coef_, plain.estimator_.coef_, atol=1e-2)
    with pytest.raises(ValueError, match="'target_unit' parameter"):
        clone(RIDGE).set_params(target_unit="high").fit(low, high)


@pytest.mark.parametrize(("unit", "outcome"), [("own", "not learned"), ("low", "is learned")])
def test_the_warning_explains_how_gains_were_treated(unit, outcome, tmp_path):
    low, high = make_pairs()
    model = CoupledDictionaryIQT(
        8,
        patcher=PatchTransformer(5, stride=3),
        max_patches=200,
        random_state=0,
        target_unit=unit,
        memory=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(model).fit(low, high)
    predictions = []
    for _ in range(2):  # the second time, patches come from the cache
        with pytest.warns(UserWarning, match=rf"y\[1\] is 6 times as bright as y\[0\].* {outcome}"):
            fitted = clone(model).fit(low, with_gains(high))
        predictions.append(fitted.predict(low[:1])[0])
    np.testing.assert_array_equal(*predictions)


def test_results_have_the_typical_gain_with_masks_spread_and_after_loading(tmp_path):
    low, high = make_pairs()
    masks = [volume > 0 for volume in low]
    plain = clone(RIDGE).fit(low, high, mask=masks)
    model = fit_quietly(RIDGE, low, with_gains(high, [10] * 4), mask=masks)
    assert model.target_gain_ == pytest.approx(10 * plain.target_gain_)
    before = plain.predict(low, mask=masks, return_std=True)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    for fitted in (model, loaded):
        after = fitted.predict(low, mask=masks, return_std=True)
        for ours, theirs in zip(after, before, strict=True):
            np.testing.assert_allclose(ours[0], 10 * theirs[0], rtol=1e-3, atol=1e-2)
    # Outside of the patches with foreground, the interpolation has the same gain.
    corner = model.predict(low, mask=masks)[0][0, 0, 0]
    assert corner == pytest.approx(10 * plain.predict(low, mask=masks)[0][0, 0, 0], abs=1e-3)


def test_a_gain_that_is_not_defined_is_refused_unless_it_is_not_needed():
    low, high = make_pairs()
    low[2] = low[2] - np.percentile(low[2], 90)
    with pytest.raises(ValueError, match=r"target of X\[2\] is not defined.*target_unit='low'"):
        clone(RIDGE).fit(low, high)
    assert clone(RIDGE).set_params(target_unit="low").fit(low, high).target_gain_ == 1


def test_a_mask_may_include_air():
    low, high = make_pairs()
    everything = [np.ones(volume.shape) for volume in low]
    gains = [clone(RIDGE).fit(low, high, mask=m).target_gains_ for m in (None, everything)]
    np.testing.assert_allclose(*gains)


def test_bright_background_does_not_change_the_unit_of_a_masked_target():
    low, high = make_pairs()
    masks = [volume > 60 for volume in low]
    inside = [np.repeat(mask, 4, axis=-1) for mask in masks]
    louder = [np.where(m, h, 1e4) for m, h in zip(inside, high, strict=True)]
    gains = [RIDGE.fit(low, volumes, mask=masks).target_gains_ for volumes in (high, louder)]
    np.testing.assert_allclose(*gains)


def test_rows_keep_the_gain_of_the_volumes_that_were_learned_from():
    low, high = make_pairs()
    model = fit_quietly(RIDGE, low, with_gains(high, [10] * 4))
    rows = np.random.default_rng(0).random((5, model.n_features_in_)).astype(np.float32)
    plain = clone(RIDGE).fit(low, high)
    np.testing.assert_allclose(model.predict(rows), 10 * plain.predict(rows), rtol=1e-3, atol=1e-3)
    on_rows = clone(RIDGE).fit(rows, np.repeat(rows, 4, axis=1))
    assert on_rows.target_gain_ == 1


def test_a_curve_is_learned_without_gains():
    low, high = make_pairs()
    model = IntensityCurveIQT(random_state=0)
    plain, foreign = (fit_quietly(model, low, volumes) for volumes in (high, with_gains(high)))
    np.testing.assert_allclose(foreign.targets_, plain.targets_, rtol=1e-3, atol=1e-5)


def test_a_continued_training_remembers_all_gains_and_a_new_fit_only_its_own():
    pytest.importorskip("torch")
    from sklearn_iqt import AnisoUNetRegressor

    low, high = make_pairs()
    net = AnisoUNetRegressor(
        2, 3, patch_size=(8, 8, 2), max_steps=2, max_patches=16, warm_start=True, random_state=0
    )
    first = net.fit(low[:2], high[:2]).target_gains_
    second = net.partial_fit(low[2:], with_gains(high[2:], [5, 5])).target_gains_
    np.testing.assert_array_equal(second[:2], first)
    assert net.target_gain_ == pytest.approx(np.median(second))
    assert second[2:].min() > 3
    assert len(net.fit(low[:2], high[:2]).target_gains_) == 2


def test_masks_of_dark_tissue_have_a_gain():
    volume = 100 + np.random.default_rng(0).random((12, 12, 12))
    volume[3:9, 3:9, 3:9] = 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PatchwiseRegressor(scale=1, random_state=0)
        model.fit([volume], [3 * volume], mask=[volume < 50])
    assert model.target_gain_ == pytest.approx(3)


def test_a_gain_that_is_not_defined_does_not_hide_different_units():
    volume = 100 + np.random.default_rng(0).random((12, 12, 12))
    model = PatchwiseRegressor(scale=1, target_unit="low", random_state=0)
    with pytest.warns(UserWarning, match="is 9 times as bright"):
        model.fit([volume] * 3, [volume, 9 * volume, -volume])


def test_a_refused_fit_leaves_the_earlier_one():
    volume = 100 + np.random.default_rng(0).random((12, 12, 12))
    model = PatchwiseRegressor(scale=1, random_state=0).fit([volume], [volume])
    expected = model.predict([volume])[0]
    with pytest.raises(GeometryMismatchError):
        model.set_params(scale=2).fit([volume], [volume])
    np.testing.assert_array_equal(model.predict([volume])[0], expected)
