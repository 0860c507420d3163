"""Simulated scans that are drawn again while an estimator learns."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler
from sklearn_iqt.simulation import (
    LowFieldSimulator,
    SimulatedScans,
    SliceGeometry,
    _scans,
    get_simulator,
)

N_PEOPLE = 4


def people(n=N_PEOPLE, shape=(16, 14, 32)):
    """Return high volumes and label maps of blocks of CSF, GM and WM."""
    rng = np.random.default_rng(0)
    labels = np.zeros((n, *shape), np.uint8)
    labels[:, 1:, 1:-1, 1:-1] = 1
    labels[:, 3:, 1:-1, 1:-1] = 2
    labels[:, 9:, 1:-1, 1:-1] = 3
    high = np.array([0, 50, 100, 150])[labels] * rng.uniform(0.9, 1.1, labels.shape)
    return high.astype(np.float32), labels


def wide(**params):
    """Return a wide simulator whose slices fit into the small volumes of this file."""
    geometry = SliceGeometry(thickness=(2, 3), gap=(0, 0.5), in_plane=(0.9, 1.3))
    return get_simulator("wide", **{"geometry": geometry, **params})


@pytest.mark.parametrize("simulator", [LowFieldSimulator(noise="rician"), wide()])
def test_draw_0_is_what_the_simulator_returns(simulator):
    high, labels = people()
    scans = SimulatedScans(high, labels, simulator, random_state=3)
    expected = simulator.set_params(random_state=3).simulate(high, labels)
    for n in range(N_PEOPLE):
        np.testing.assert_array_equal(scans[n], expected.low[n])
        np.testing.assert_array_equal(scans.targets[n], expected.high[n])


def test_draws_differ_and_do_not_depend_on_what_was_read_before():
    high, labels = people()
    scans = SimulatedScans(high, labels, "narrow", random_state=0, most_in_memory=2)
    ahead = [scans.drawn(2)[n] for n in reversed(range(N_PEOPLE))][::-1]
    again = SimulatedScans(high, labels, "narrow", random_state=0)
    for n in range(N_PEOPLE):
        assert not np.array_equal(again[n], again.drawn(1)[n])
        np.testing.assert_array_equal(again.drawn(2)[n], ahead[n])
    # A person keeps its draws in a selection and in another process.
    np.testing.assert_array_equal(again[[3, 1]].drawn(2)[0], ahead[3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).drawn(2)[1], ahead[1])


def hash_of_draws():
    scans = SimulatedScans(*people(2), wide(), random_state=5)
    return joblib.hash([scans.drawn(3)[n] for n in range(2)])


@pytest.mark.processes
def test_two_processes_draw_equal_bits():
    code = (
        "import sys; sys.path.insert(0, {folder!r})\n"
        "from test_simulated_scans import hash_of_draws\n"
        "print(hash_of_draws())"
    ).format(folder=__file__.rpartition("/")[0])
    program = [sys.executable, "-c", code]
    other = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert other.strip() == hash_of_draws()


def test_images_have_the_grid_of_the_scan():
    high, labels = people(2)
    affine = np.diag([0.9, 1.1, 1.0, 1])
    images = [nib.Nifti1Image(volume, affine) for volume in high]
    scans = SimulatedScans(images, labels, "narrow", random_state=0)
    expected = LowFieldSimulator(random_state=0).simulate(images, labels)
    np.testing.assert_allclose(scans.grid(1).affine, expected.low[1].affine)
    model = PatchwiseRegressor(random_state=0).fit(scans, scans.targets)
    enhanced = model.predict(scans[1:])[0]
    np.testing.assert_allclose(enhanced.affine, affine)
    assert enhanced.shape == high[0].shape


def test_slices_of_other_directions_are_learned_and_enhanced_together(recwarn):
    high, labels = people(shape=(18, 16, 20))
    images = [nib.Nifti1Image(volume, np.diag([1, 1.2, 0.9, 1])) for volume in high]
    scans = SimulatedScans(images, labels, wide(), random_state=0)
    orders = {nib.aff2axcodes(scans.grid(n).affine) for n in range(N_PEOPLE)}
    assert len(orders) > 1
    model = CoupledDictionaryIQT(n_atoms=8, max_iter=2, scale=1, random_state=0)
    scores = cross_val_score(model, scans, scans.targets, cv=2, error_score="raise")
    assert np.isfinite(scores).all()
    enhanced = model.fit(scans, scans.targets).predict(scans)
    for n in range(N_PEOPLE):
        np.testing.assert_allclose(enhanced[n].affine, scans.targets.grid(n).affine, atol=1e-5)
        assert enhanced[n].shape == scans.targets.grid(n).shape
    assert not [w for w in recwarn if "axes in the order" in str(w.message)]


def test_searches_and_folds_split_people():
    high, labels = people()
    scans = SimulatedScans(high, labels, "narrow", random_state=0, n_draws=2)
    patcher = PatchTransformer(5, stride=4)
    model = CoupledDictionaryIQT(8, patcher=patcher, max_patches=300, max_iter=1, random_state=0)
    groups = [0, 0, 1, 1]
    options = {"groups": groups, "cv": GroupKFold(2)}
    scores = cross_val_score(model, scans, scans.targets, **options)
    by_hand = []
    for train, test in GroupKFold(2).split(scans, groups=groups):
        model.fit(scans[train], scans.targets[train])
        by_hand.append(model.score(scans[test], scans.targets[test]))
    assert scores.tolist() == by_hand
    search = GridSearchCV(model, {"alpha": [0.01, 0.1]}, cv=2).fit(scans, scans.targets)
    assert np.isfinite(search.best_score_)


def test_estimators_on_patches_learn_from_several_draws(monkeypatch):
    high, labels = people()
    seen = []
    fit = PatchwiseRegressor._fit_patches
    monkeypatch.setattr(
        PatchwiseRegressor,
        "_fit_patches",
        lambda self, *rows: seen.append(rows) or fit(self, *rows),
    )
    for n_draws in (1, 3):
        scans = SimulatedScans(high, labels, "narrow", random_state=0, n_draws=n_draws)
        model = PatchwiseRegressor(random_state=0, max_patches=None).fit(scans, scans.targets)
        assert len(model.target_gains_) == N_PEOPLE
    (one, _, groups), (three, _, groups_of_three) = seen
    assert len(three) == 3 * len(one)
    assert len(np.unique(three, axis=0)) == len(three)
    np.testing.assert_array_equal(np.bincount(groups_of_three), 3 * np.bincount(groups))


def test_a_scaler_scales_each_draw_when_it_is_read():
    high, labels = people()
    scans = SimulatedScans(high, labels, "narrow", random_state=0)
    scaler = PercentileScaler(upper=99)
    scaled = scaler.fit_transform(scans)
    expected = scaler.transform([scans.drawn(2)[3]])[0]
    np.testing.assert_array_equal(scaled.drawn(2)[3], expected)
    np.testing.assert_array_equal(scaled[[1, 3]].drawn(2)[1], expected)
    assert scaled.fingerprint() != scans.fingerprint()
    mask = (labels[..., ::4] > 1).astype(np.uint8)
    masked = scaler.fit_transform(scans, mask=mask)
    expected = scaler.transform([scans.drawn(2)[3]], mask=mask[3:])[0]
    np.testing.assert_array_equal(masked[2:].drawn(2)[1], expected)


def test_pipelines_take_them():
    high, labels = people()
    scans = SimulatedScans(high, labels, "narrow", random_state=0, n_draws=2)
    model = make_pipeline(NyulScaler(keep_units=True), PatchwiseRegressor(random_state=0))
    scores = cross_val_score(model, scans, scans.targets, cv=2)
    assert (scores > 0.3).all()


def test_maps_are_kept_in_a_folder(tmp_path):
    _, labels = people(1, (24, 24, 24))
    high = np.array([0, 40, 100, 150])[labels] * np.random.default_rng(0).normal(
        1, 0.04, labels.shape
    )
    for n in range(2):
        scans = SimulatedScans(np.maximum(high, 0), None, "narrow", random_state=0, memory=tmp_path)
        scans.read(0)
        stored = len(list(tmp_path.rglob("output.pkl")))
        assert stored == 1, n


def test_maps_are_estimated_once_for_each_person(monkeypatch):
    high, labels = people(3)
    estimated = []

    def estimate(volume, mask, voxel_size):
        estimated.append(voxel_size)
        return np.stack([labels[0] == n for n in (1, 2, 3)]).astype(np.float32)

    monkeypatch.setattr(_scans, "_estimate", estimate)
    scans = SimulatedScans(high, None, "narrow", random_state=0)
    for draw in range(3):
        for n in range(3):
            scans.drawn(draw).read(n)
    assert estimated == [[1, 1, 1]] * 3


def test_real_brains_are_drawn_from_files(shared_data):
    highs = sorted((shared_data / "ds002748").glob("*_T1w.nii.gz"))[:2]
    labels = [path.with_name(path.name.replace("T1w", "tissues")) for path in highs]
    geometry = SliceGeometry(axes=(0, 2))
    simulator = get_simulator("wide", geometry=geometry)
    scans = SimulatedScans(highs, labels, simulator, random_state=1, most_in_memory=1)
    expected = get_simulator("wide", geometry=geometry, random_state=1).simulate(highs, labels)
    for n in range(len(highs)):
        np.testing.assert_array_equal(scans[n], np.asarray(expected.low[n].dataobj))
        np.testing.assert_allclose(scans.grid(n).affine, expected.low[n].affine, atol=1e-5)
    for draw in range(1, 4):
        scan, target = scans.drawn(draw)[0], scans.targets.drawn(draw)[0]
        assert scan.shape == target.shape == scans.drawn(draw).grid(0).shape
        # The scan shows the brain of its high volume.
        brain = target > 0
        assert np.corrcoef(scan[brain], target[brain])[0, 1] > 0.5


def test_high_volumes_that_are_not_of_the_draw_are_refused():
    high, labels = people()
    scans = SimulatedScans(high, labels, wide(), random_state=0)
    for wrong in (high, scans.targets.drawn(1), scans[1:].targets):
        with pytest.raises(GeometryMismatchError, match=r"Pass scans\.targets as y"):
            PatchwiseRegressor(scale=1).fit(scans[: len(wrong)], wrong)


def test_axes_that_turn_between_draws_are_not_reported():
    high, labels = people()
    images = [nib.Nifti1Image(volume, np.eye(4)) for volume in high]
    scans = SimulatedScans(images, labels, wide(), random_state=0)
    assert len({nib.aff2axcodes(scans.grid(n).affine) for n in range(N_PEOPLE)}) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchwiseRegressor(scale=1, max_patches=200, random_state=0).fit(scans, scans.targets)


def test_a_training_starts_from_the_draw_of_the_collection():
    high, labels = people()
    scans = SimulatedScans(high, labels, "narrow", random_state=0, n_draws=2)
    later = scans.drawn(3)
    assert later.targets.draw == later.draw == 3
    rows = []
    model = PatchwiseRegressor(random_state=0)
    model._fit_patches = lambda X, y, groups: rows.append(X)
    model.fit(later, later.targets)
    by_hand = [scans.drawn(number)[n] for n in range(N_PEOPLE) for number in (3, 4)]
    fixed = [scans.targets[n] for n in range(N_PEOPLE) for _ in range(2)]
    model.fit(by_hand, fixed)
    np.testing.assert_array_equal(*rows)


def test_borders_of_a_person_have_one_width_in_all_draws():
    high, labels = people()
    scans = SimulatedScans(
        high, labels, LowFieldSimulator(border_width=(0, 3)), random_state=0, most_in_memory=1
    )
    before = scans.drawn(1)[2]
    scans.drawn(1)[0]  # forgets the brain of the other person
    np.testing.assert_array_equal(scans.drawn(1)[2], before)
    expected = LowFieldSimulator(border_width=(0, 3), random_state=0).simulate(high, labels)
    np.testing.assert_array_equal(scans[2], expected.low[2])
