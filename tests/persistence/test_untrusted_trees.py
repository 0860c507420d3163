"""Changed trees and rows, which scikit-learn follows without checks, are refused."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from benchmarks.attack.model_files import at, change, swap
from sklearn_iqt import PatchTransformer, PatchwiseRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import load_model, save_model

REGRESSORS = {
    "forest": RandomForestRegressor(2, min_samples_leaf=4, random_state=0),
    "boosted": MultiOutputRegressor(
        HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5, random_state=0)
    ),
    "gradient": MultiOutputRegressor(GradientBoostingRegressor(n_estimators=2, random_state=0)),
    "neighbors": KNeighborsRegressor(3),
    "brute": KNeighborsRegressor(3, algorithm="brute"),
    "vectors": MultiOutputRegressor(SVR()),
    "votes": MultiOutputRegressor(VotingRegressor([("a", Ridge())])),
    "constant": DummyRegressor(),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the bytes of a valid file for each regressor."""
    rng = np.random.default_rng(0)
    rows = rng.random((60, 3)), rng.random((60, 12))
    folder = tmp_path_factory.mktemp("trees")
    content = {}
    for name, regressor in REGRESSORS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PatchwiseRegressor(regressor, PatchTransformer((3, 1, 1)), random_state=0)
            model.fit(*rows)
        content[name] = save_model(model, folder / f"{name}.iqt").read_bytes()
    return content


def set_to(index, value):
    def edit(array):
        array[index] = value

    return edit


ROOT, LAST = 0, -1
TREE = "estimator_.estimators_.0.arrays/"
BOOSTED = "estimator_.estimators_.0.arrays/"
ARRAYS = {
    "a child beyond the end": ("forest", TREE + "left", set_to(ROOT, 10**9), "does not exist"),
    "a negative child": ("forest", TREE + "right", set_to(ROOT, -7), "before its parent"),
    "a node that is its own child": ("forest", TREE + "left", set_to(ROOT, 0), "before its parent"),
    "a child twice": ("forest", TREE + "left", set_to(ROOT, 2), "one parent|shape"),
    "half a leaf": ("forest", TREE + "right", set_to(ROOT, -1), "before its parent"),
    "a leaf with a child": ("forest", TREE + "right", set_to(LAST, 1), "a leaf has a child"),
    "a feature beyond the row": ("forest", TREE + "feature", set_to(ROOT, 3), "a feature"),
    "a negative feature": ("forest", TREE + "feature", set_to(ROOT, -2), "a feature"),
    "a boosted child beyond the end": ("boosted", BOOSTED + "left", set_to(ROOT, 10**6), "exist"),
    "a boosted loop": ("boosted", BOOSTED + "right", set_to(ROOT, 0), "before its parent"),
    "a boosted feature": ("boosted", BOOSTED + "feature", set_to(ROOT, 2**40), "a feature"),
    "other boosted sizes": ("boosted", BOOSTED + "n_nodes", set_to(0, 1), "count nodes"),
}


@pytest.mark.parametrize("attack", ARRAYS)
def test_changed_nodes_are_refused(attack, files, refused):
    name, key, edit, match = ARRAYS[attack]
    array = load(files[name])[key].copy()
    edit(array)
    refused(swap(files[name], **{key: array}), match)


def test_trees_whose_boundary_was_moved_are_refused(files, refused):
    key = BOOSTED + "n_nodes"
    sizes = load(files["boosted"])[key].copy()
    sizes += [1, -1]
    refused(swap(files["boosted"], **{key: sizes}), "parent|another tree")


SHAPES = {
    "fewer columns of a tree": ("forest", TREE + "threshold", lambda a: a[:-1]),
    "fewer leaves": ("forest", TREE + "values", lambda a: a[:-1]),
    "fewer outputs": ("forest", TREE + "values", lambda a: a[:, :-1]),
    "no nodes": ("forest", TREE + "left", lambda a: a[:0]),
    "nodes of two axes": ("forest", TREE + "left", lambda a: a[:, None]),
    "children that are floats": ("forest", TREE + "left", lambda a: a.astype(float)),
    "features that are floats": ("forest", TREE + "feature", lambda a: a.astype(float)),
    "values that are integers": ("forest", TREE + "values", lambda a: a.astype(int)),
    "neighbours of other features": ("neighbors", "estimator_._fit_X", lambda a: a[:, :-1]),
    "fewer neighbours": ("neighbors", "estimator_._fit_X", lambda a: a[:-1]),
    "fewer targets": ("brute", "estimator_._y", lambda a: a[:-1]),
    "vectors of other features": (
        "vectors",
        "estimator_.estimators_.0.support_vectors_",
        lambda a: a[:, :-1],
    ),
    "fewer vectors": ("vectors", "estimator_.estimators_.0.support_vectors_", lambda a: a[:-1]),
    "fewer coefficients": ("vectors", "estimator_.estimators_.0._dual_coef_", lambda a: a[:, :-1]),
    "fewer indices of vectors": ("vectors", "estimator_.estimators_.0.support_", lambda a: a[:-1]),
    "fewer counts of vectors": ("vectors", "estimator_.estimators_.0._n_support", lambda a: a[:1]),
    "another constant": ("constant", "estimator_.constant_", lambda a: a[:, :1]),
}


@pytest.mark.parametrize("attack", SHAPES)
def test_other_shapes_are_refused(attack, files, refused):
    name, key, edit = SHAPES[attack]
    changed = np.ascontiguousarray(edit(load(files[name])[key]))
    refused(swap(files[name], **{key: changed}))


FITTED = ("model", "fitted", "estimator_", "fitted")
FIRST = (*FITTED, "estimators_", 0, "fitted")
ATTRIBUTES = {
    "outputs of a forest": ("forest", (*FITTED, "n_outputs_"), 10**12),
    "outputs within the limit": ("forest", (*FITTED, "n_outputs_"), 10**6),
    "features of a forest": ("forest", (*FITTED, "n_features_in_"), 2),
    "outputs of a tree": ("forest", (*FIRST, "n_outputs_"), 11),
    "features of a tree": ("forest", (*FIRST, "n_features_in_"), 10**6),
    "a forest of something else": (
        "forest",
        (*FITTED, "estimators_", 0),
        {"class": "Ridge", "params": {}},
    ),
    "a forest without trees": ("forest", (*FITTED, "estimators_"), []),
    "a forest of numbers": ("forest", (*FITTED, "estimators_"), [1, 2]),
    "trees in an iteration": ("boosted", (*FIRST, "n_trees_per_iteration_"), 10**9),
    "features of boosted trees": ("boosted", (*FIRST, "n_features_in_"), 10**6),
    "trees of gradient boosting": ("gradient", (*FIRST, "estimators_", "shape"), [1, 2]),
    "no trees of gradient boosting": ("gradient", (*FIRST, "estimators_", "shape"), [0]),
    "flat trees of gradient boosting": ("gradient", (*FIRST, "estimators_", "shape"), [2]),
    "rows of neighbours": ("brute", (*FITTED, "n_samples_fit_"), 10**6),
    "a metric": ("neighbors", (*FITTED, "effective_metric_"), "precomputed"),
    "an unknown metric": ("neighbors", (*FITTED, "effective_metric_"), "os.system"),
    "a search": ("neighbors", (*FITTED, "_fit_method"), "eval"),
    "a kernel of indices": (
        "vectors",
        ("model", "fitted", "estimator_", "fitted", "estimators_", 0, "params", "kernel"),
        "precomputed",
    ),
    "votes of nobody": ("votes", (*FIRST, "estimators_"), []),
    "outputs of a constant": ("constant", (*FITTED, "n_outputs_"), 10**6),
    "a tree that the file sets": ("forest", (*FIRST, "tree_"), 1),
}


@pytest.mark.parametrize("attack", ATTRIBUTES)
def test_changed_attributes_are_refused(attack, files, refused):
    name, keys, value = ATTRIBUTES[attack]
    refused(change(files[name], at(*keys, value=value)))


def test_more_estimators_than_a_file_may_have_are_refused(files, refused):
    part = {"class": "DecisionTreeRegressor", "params": {}}
    refused(change(files["forest"], at(*FITTED, "estimators_", value=[part] * 2**15)), "estimators")


# Changes of integers, which are indices; a crash would end the tests.
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(REGRESSORS)),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(-(2**40), 2**40) | st.integers(-5, 60),
)
def test_any_changed_number_is_refused_or_harmless(files, tmp_path, name, which, where, value):
    arrays = {k: a for k, a in load(files[name]).items() if a.dtype.kind in "iu" and a.size}
    if not arrays:
        return
    key = sorted(arrays)[which % len(arrays)]
    array = arrays[key].copy()
    info = np.iinfo(array.dtype)
    array.flat[where % array.size] = np.clip(value, info.min, info.max)
    path = tmp_path / "model.iqt"
    path.write_bytes(swap(files[name], **{key: array}))
    try:
        model = load_model(path)
    except UntrustedModelError:
        return
    rows = np.random.default_rng(0).normal(size=(200, 3)) * 3
    assert np.isfinite(model.predict(rows)).all()


def test_the_message_names_both_versions_of_sklearn(files, refused):
    edit = at(*FITTED, "n_features_in_", value=2)
    changed = change(change(files["forest"], edit), at("sklearn", value="9.8.7"))
    refused(changed, "written with scikit-learn 9.8.7, and this is")


@pytest.mark.processes
def test_a_changed_index_crashes_python_without_the_checks(files, tmp_path):
    """The attack is real: without the check of nodes, the same file ends the process."""
    key = TREE + "left"
    array = load(files["forest"])[key].copy()
    array[0] = 2**45
    path = tmp_path / "model.iqt"
    path.write_bytes(swap(files["forest"], **{key: array}))
    code = (
        "import sys\n"
        "from sklearn_iqt.persistence import _sklearn, load_model\n"
        "_sklearn._check_nodes = lambda left, *_: left == -1\n"
        "_sklearn._depth = lambda *_: 9\n"
        "load_model(sys.argv[1])\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False)
    assert run.returncode < 0
