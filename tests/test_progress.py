"""Progress is shown only with verbose."""

import re
from functools import partial

import numpy as np
import pytest
from instances import name, regressors, scalers
from sklearn.base import clone

from sklearn_iqt import (
    AnisoUNetRegressor,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
)
from sklearn_iqt.base import _hooks
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.deep import _progress
from sklearn_iqt.metrics import coherence, nrmse, psnr, ssim
from sklearn_iqt.patches import _prediction
from sklearn_iqt.simulation import estimate_tissue_maps

RNG = np.random.default_rng(0)
HIGH = [(100 * RNG.random((12, 12, 16)) + 10).astype(np.float32) for _ in range(2)]
LOW = [volume.reshape(12, 12, 4, 4).mean(axis=-1) for volume in HIGH]


@pytest.mark.parametrize("long", [True, False])
def test_a_long_training_is_reported_after_its_first_steps(long, monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(_progress, "LONG_MINUTES", 0 if long else 60)
    net = AnisoUNetRegressor(
        2,
        3,
        patch_size=(8, 8, 2),
        batch_size=2,
        max_steps=12,
        epoch_size=4,
        checkpoint=tmp_path / "state",
        random_state=0,
        verbose=1,
    )
    net.fit(LOW, HIGH)
    out, err = capfd.readouterr()
    assert out == ""
    assert "12/12" in err
    assert ("AnisoUNetRegressor: 7 more steps" in err) == long
    assert ("max_steps" in err) == long
    # A training that continues shows the steps of the earlier fit.
    net.set_params(max_steps=14).fit(LOW, HIGH)
    err = capfd.readouterr().err
    assert "14/14" in err
    assert "0/14" not in err.replace("10/14", "")


def captured_bar(capfd):
    out, err = capfd.readouterr()
    assert out == ""
    return err


ESTIMATORS = regressors()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=map(name, ESTIMATORS))
def test_estimators_show_progress_only_if_asked(estimator, capfd):
    estimator = clone(estimator).fit(LOW, HIGH)
    estimator.predict(LOW)
    estimator.score(LOW, HIGH)
    assert captured_bar(capfd) == ""
    estimator.set_params(verbose=1).fit(LOW, HIGH)
    assert re.search(f"{type(estimator).__name__}.* 100%", captured_bar(capfd))
    estimator.predict(LOW)
    assert re.search(f"{type(estimator).__name__}: enhancing: 100%", captured_bar(capfd))


def test_a_bar_moves_within_a_volume(capfd, monkeypatch):
    monkeypatch.setattr(_prediction, "CHUNK_BYTES", 2**16)
    monkeypatch.setattr(_hooks, "tqdm", partial(_hooks.tqdm, mininterval=0))
    ridge = PatchwiseRegressor(max_patches=100, patcher=PatchTransformer(5, stride=1), verbose=1)
    net = AnisoUNetRegressor(
        2, 3, patch_size=(8, 8, 2), max_steps=1, tile_size=(8, 8, 4), verbose=1
    )
    for estimator in (ridge, net):
        estimator.fit(LOW, HIGH)
        capfd.readouterr()
        estimator.predict(LOW)
        parts = [int(part) for part in re.findall(r"enhancing: +(\d+)%", captured_bar(capfd))]
        assert parts == sorted(parts)
        assert parts[-1] == 100
        assert len({part for part in parts if 0 < part < 50}) > 1


def test_a_bar_counts_volumes_where_there_are_several(capfd):
    ridge = PatchwiseRegressor(max_patches=100, verbose=1).fit(LOW, HIGH)
    capfd.readouterr()
    ridge.predict(LOW)
    assert "2.0/2" in captured_bar(capfd)
    ridge.predict(LOW[:1])
    assert "/1" not in captured_bar(capfd)


@pytest.mark.parametrize("scaler", scalers(), ids=name)
def test_scalers_show_progress_only_if_asked(scaler, capfd):
    scaler.fit_transform(HIGH)
    assert captured_bar(capfd) == ""
    scaler.set_params(verbose=1).fit_transform(HIGH)
    shown = captured_bar(capfd).splitlines()[-1]
    assert f"{type(scaler).__name__}: 100%" in shown


@pytest.mark.parametrize("measure", [nrmse, psnr, ssim, coherence])
def test_measures_show_progress_only_if_asked(measure, capfd):
    quiet = measure(HIGH, [volume + 1 for volume in HIGH])
    assert captured_bar(capfd) == ""
    assert measure(HIGH, [volume + 1 for volume in HIGH], verbose=1) == quiet
    assert f"{measure.__name__}: 100%" in captured_bar(capfd)


def test_simulation_shows_progress_only_if_asked(capfd):
    labels = np.ones((8, 8, 16), dtype=np.uint8)
    labels[2:], labels[5:] = 2, 3
    high = np.array([0, 50, 100, 150], np.float32)[labels]
    simulator = LowFieldSimulator(random_state=0)
    simulator.simulate([high], [labels])
    estimate_tissue_maps(high + np.random.default_rng(0).normal(size=high.shape), random_state=0)
    PatchTransformer().fit_transform([high])
    assert captured_bar(capfd) == ""
    simulator.set_params(verbose=1).simulate([high], [labels])
    assert "LowFieldSimulator: 100%" in captured_bar(capfd)


def test_made_subjects_show_progress_only_if_asked(capfd):
    pytest.importorskip("nilearn")
    make_subjects(2, shape=(16, 16, 16), random_state=0)
    assert captured_bar(capfd) == ""
    make_subjects(2, shape=(16, 16, 16), random_state=0, verbose=1)
    assert "make_subjects: 100%" in captured_bar(capfd)
