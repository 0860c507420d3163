"""A dask cluster of two processes gives the same results as a serial run."""

from __future__ import annotations

import functools
import os
import pickle
import signal
from pathlib import Path

import cloudpickle
import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, get_task_stream, get_worker
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from threadpoolctl import threadpool_limits

from sklearn_iqt import (
    CoupledDictionaryIQT,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
    load_volume,
    save_volume,
)
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.io import as_volumes
from sklearn_iqt.metrics import neg_nrmse_scorer

# Seconds after which a cluster that does not start is an error; processes start slowly on a busy
# machine.
HANG_GUARD = 600
pytestmark = pytest.mark.processes

SUBJECTS = [0, 0, 1, 1, 2, 2]
DICTIONARIES = CoupledDictionaryIQT(
    8, patcher=PatchTransformer(5, stride=3), max_patches=300, max_iter=3, random_state=0
)
# With n_jobs=None the forest would take as many threads as the cluster has, in every worker, and
# add its trees up in any order.
FOREST = PatchwiseRegressor(
    ExtraTreesRegressor(5, min_samples_leaf=3, random_state=0, n_jobs=1),
    max_patches=300,
    random_state=0,
)


def unet():
    # Imported here: workers import this module, and most tests need no torch.
    from sklearn_iqt import AnisoUNetRegressor

    patches = {"patch_size": (8, 8, 2), "stride": (4, 4, 1)}
    return AnisoUNetRegressor(2, 3, **patches, max_epochs=2, max_patches=16, random_state=0)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two worker processes on the loopback address, with one thread and one nanny each."""
    settings = {
        "temporary_directory": str(tmp_path_factory.mktemp("dask")),
        "distributed.comm.timeouts.connect": HANG_GUARD,
        "distributed.comm.timeouts.tcp": HANG_GUARD,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def both_workers(client):
    """Wait for both workers. With only one, joblib would compute in the process of the test."""
    client.wait_for_workers(2, timeout=HANG_GUARD)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Use one thread, like a worker, so that sums are computed in the same order."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Paths of low and high volumes of three subjects with two scans each."""
    folder = tmp_path_factory.mktemp("scans")
    brains = make_subjects(6, shape=(40, 48, 24), random_state=0)
    pairs = LowFieldSimulator(random_state=0).simulate(brains.images, brains.tissues)
    return tuple(
        [str(save_volume(image, folder / f"{n}_{kind}.nii")) for n, image in enumerate(images)]
        for kind, images in (("low", pairs.low), ("high", pairs.high))
    )


def enhance(model, path, folder):
    """Enhance one scan, save it, and return the path."""
    return str(save_volume(model.predict([path])[0], Path(folder) / Path(path).name))


def die_once(marker):
    """Kill the first worker that calls this function."""
    get_worker()  # raises an error outside a worker
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def enhance_or_die(model, path, folder, marker):
    if "3_low" in path:
        die_once(marker)
    return enhance(model, path, folder)


def score_or_die(model, X, y, marker):
    die_once(marker)
    return neg_nrmse_scorer(model, X, y)


def voxels(paths):
    return [np.asarray(load_volume(path).dataobj) for path in paths]


def pids(client):
    return set(client.run(os.getpid).values())


def grid_search(scoring=neg_nrmse_scorer):
    grid = {"alpha": [0.01, 0.1]}
    return GridSearchCV(DICTIONARIES, grid, cv=GroupKFold(3), scoring=scoring, n_jobs=-1)


@pytest.fixture(scope="module")
def serial_search(scans):
    return grid_search().set_params(n_jobs=None).fit(*scans, groups=SUBJECTS)


@pytest.fixture(scope="module")
def fitted(scans):
    return clone(DICTIONARIES).fit(*scans)


def assert_same_search(search, expected, scans):
    assert search.best_params_ == expected.best_params_
    for n in range(3):
        name = f"split{n}_test_score"
        np.testing.assert_array_equal(search.cv_results_[name], expected.cv_results_[name])
    ours, theirs = (s.predict(scans[0][:1])[0] for s in (search, expected))
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))


@pytest.mark.parametrize(
    "make",
    [lambda: clone(DICTIONARIES), lambda: clone(FOREST), unet],
    ids=["dictionaries", "forest", "net"],
)
def test_predictions_agree_with_a_serial_run(client, scans, tmp_path, make):
    low, high = scans
    model = make().fit(low, high)
    with parallel_config(backend="dask", scatter=[model]):
        files = Parallel()(delayed(enhance)(model, path, tmp_path) for path in low)
    assert [Path(file).name for file in files] == [Path(path).name for path in low]
    for path, file, volume in zip(low, files, voxels(files), strict=True):
        expected = model.predict([path])[0]
        np.testing.assert_array_equal(volume, np.asarray(expected.dataobj))
        np.testing.assert_allclose(load_volume(file).affine, expected.affine, atol=1e-5)


def test_scores_of_cross_validation_agree_with_a_serial_run(client, scans):
    low, high = scans
    options = {"cv": GroupKFold(3), "groups": SUBJECTS, "scoring": neg_nrmse_scorer}
    serial = cross_val_score(FOREST, low, high, **options)
    with parallel_config(backend="dask"):
        spread = cross_val_score(FOREST, low, high, **options, n_jobs=-1)
    np.testing.assert_array_equal(spread, serial)


def test_predictions_of_cross_validation_agree_with_a_serial_run(client, scans):
    low, high = scans
    serial = cross_val_predict(FOREST, low, high, cv=GroupKFold(3), groups=SUBJECTS)
    with parallel_config(backend="dask"):
        spread = cross_val_predict(FOREST, low, high, cv=GroupKFold(3), groups=SUBJECTS, n_jobs=-1)
    for ours, theirs in zip(spread, serial, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
        np.testing.assert_array_equal(ours.affine, theirs.affine)


def test_a_grid_search_agrees_with_a_serial_run(client, scans, serial_search):
    with parallel_config(backend="dask"):
        search = grid_search().fit(*scans, groups=SUBJECTS)
    assert_same_search(search, serial_search, scans)


def test_no_prediction_is_lost_if_a_worker_is_killed(client, scans, fitted, tmp_path):
    low, _ = scans
    before, marker = pids(client), str(tmp_path / "killed")
    with parallel_config(backend="dask"):
        files = Parallel()(delayed(enhance_or_die)(fitted, path, tmp_path, marker) for path in low)
    assert Path(marker).exists()
    for volume, expected in zip(voxels(files), fitted.predict(low), strict=True):
        np.testing.assert_array_equal(volume, np.asarray(expected.dataobj))
    client.wait_for_workers(2, timeout=HANG_GUARD)
    assert len(pids(client)) == 2
    assert len(pids(client) & before) == 1


def test_no_score_of_a_search_is_lost_if_a_worker_is_killed(client, scans, serial_search, tmp_path):
    before, marker = pids(client), str(tmp_path / "killed")
    with parallel_config(backend="dask"):
        scoring = functools.partial(score_or_die, marker=marker)
        search = grid_search(scoring).fit(*scans, groups=SUBJECTS)
    assert Path(marker).exists()
    assert_same_search(search, serial_search, scans)
    client.wait_for_workers(2, timeout=HANG_GUARD)
    assert len(pids(client) & before) == 1


def test_coding_stays_in_the_worker(client, scans, fitted, tmp_path):
    with parallel_config(backend="dask"), get_task_stream(client) as tasks:
        Parallel()(delayed(enhance)(fitted, path, tmp_path) for path in scans[0][:2])
    assert len(tasks.data) == 2


@pytest.fixture
def sent(client, monkeypatch):
    """Numbers of bytes that are sent to the workers."""
    sizes = []

    def measured(send):
        def send_and_measure(*args, **kwargs):
            sizes.append(len(cloudpickle.dumps((args, kwargs))))
            return send(*args, **kwargs)

        return send_and_measure

    for name in ("submit", "scatter"):
        monkeypatch.setattr(client, name, measured(getattr(client, name)))
    return sizes


def test_volumes_are_sent_as_paths(client, scans, fitted, sent, tmp_path):
    low, high = scans
    with parallel_config(backend="dask", client=client):
        cross_val_score(FOREST, low, high, cv=GroupKFold(3), groups=SUBJECTS, n_jobs=-1)
        Parallel()(delayed(enhance)(fitted, path, tmp_path) for path in low)
    assert len(sent) == 9
    assert max(sent) < os.path.getsize(low[0])
    assert sum(sent) < os.path.getsize(high[0])


def test_arrays_would_be_larger_than_the_limit(client, scans, fitted, sent):
    with parallel_config(backend="dask", client=client):
        Parallel()(delayed(fitted.predict)([volume]) for volume in voxels(scans[0][:1]))
    assert sum(sent) > os.path.getsize(scans[0][0])


def test_a_collection_of_paths_is_pickled_as_paths(scans):
    _, high = scans
    volumes = as_volumes(high)
    assert sum(volume.nbytes for volume in volumes) > 1e6  # all have been read
    pickled = pickle.dumps(volumes)
    assert len(pickled) < 1000 * len(high)
    np.testing.assert_array_equal(pickle.loads(pickled)[5], volumes[5])
