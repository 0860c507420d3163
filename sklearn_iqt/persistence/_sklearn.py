"""Fitted state of scikit-learn's estimators that is not only numbers, arrays and estimators.

Trees of scikit-learn follow the indices in their nodes without checking them, so that a changed
index would read other memory or crash Python. Everything here is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATES", "State"]

Arrays = dict[str, NDArray]

# Columns of a tree, with the name of the field in scikit-learn. Other fields are zero.
_TREE_COLUMNS = {
    "left": "left_child",
    "right": "right_child",
    "feature": "feature",
    "threshold": "threshold",
    "impurity": "impurity",
    "n_samples": "n_node_samples",
    "weight": "weighted_n_node_samples",
    "missing_left": "missing_go_to_left",
}
_BOOSTED_COLUMNS = {
    "left": "left",
    "right": "right",
    "feature": "feature_idx",
    "threshold": "num_threshold",
    "missing_left": "missing_go_to_left",
    "value": "value",
}


def _nothing(estimator: Any) -> Arrays:
    return {}


def _keep(estimator: Any, arrays: Arrays) -> None:
    _require(not arrays, "its state has unexpected arrays")


@dataclass(frozen=True)
class State:
    """Storage of the fitted state of a class.

    Parameters
    ----------
    restored : tuple of str
        Attributes that are not stored unchanged.
    arrays : callable
        Returns named arrays that represent these attributes.
    restore : callable
        Sets the attributes from the arrays, and raises ValueError if any attribute of the estimator
        is invalid. The other attributes are set already.
    """

    restored: tuple[str, ...] = ()
    arrays: Callable[[Any], Arrays] = _nothing
    restore: Callable[[Any, Arrays], None] = _keep


def _require(condition: Any, fault: str) -> None:
    if not condition:
        raise ValueError(fault)


def _array(value: Any, what: str, kinds: str, *shape: int | None) -> NDArray:
    """Return a value if it is an array of a kind and a shape, where None is any length."""
    fits = (
        isinstance(value, np.ndarray)
        and value.dtype.kind in kinds
        and value.ndim == len(shape)
        and all(n in (None, length) for n, length in zip(shape, value.shape, strict=True))
    )
    _require(fits, f"{what} must be an array of shape {shape}")
    return value


def _check_nodes(
    left: NDArray, right: NDArray, feature: NDArray, roots: NDArray, n_features: int
) -> NDArray[np.bool_]:
    """Return which nodes are leaves, after checking that nodes form trees.

    Children come after their parent, and every node that is not a root has one parent. Therefore
    each path ends in a leaf.
    """
    n_nodes, index = len(left), np.arange(len(left))
    is_leaf = left == -1
    inner = ~is_leaf
    _require((right[is_leaf] == -1).all(), "a leaf has a child")
    _require(((left > index) & (right > index))[inner].all(), "a node comes before its parent")
    children = np.concatenate([left[inner], right[inner]])
    _require((children < n_nodes).all(), "a node has a child that does not exist")
    n_parents = np.bincount(children, minlength=n_nodes)
    expected = np.ones(n_nodes, dtype=int)
    expected[roots] = 0
    _require((n_parents == expected).all(), "a node must have exactly one parent")
    used = feature[inner]
    _require(((used >= 0) & (used < n_features)).all(), "a node uses a feature that does not exist")
    return is_leaf


def _columns(arrays: Arrays, names: dict[str, str]) -> list[NDArray]:
    left = _array(arrays["left"], "left", "i", None)
    _require(len(left) > 0, "a tree must have nodes")
    return [_array(arrays[name], name, "iuf", len(left)) for name in names]


def _tree_arrays(estimator: Any) -> Arrays:
    state = estimator.tree_.__getstate__()
    arrays = {name: state["nodes"][field].copy() for name, field in _TREE_COLUMNS.items()}
    # Only the values of leaves are predictions; they are most of a file.
    arrays["values"] = state["values"][arrays["left"] == -1][..., 0]
    return arrays


def _restore_tree(estimator: Any, arrays: Arrays) -> None:
    from sklearn.tree._tree import NODE_DTYPE, Tree

    _require(set(arrays) == {*_TREE_COLUMNS, "values"}, "a tree has other arrays")
    columns = dict(zip(_TREE_COLUMNS, _columns(arrays, _TREE_COLUMNS), strict=True))
    left, right, feature = (columns[name] for name in ("left", "right", "feature"))
    n_nodes, n_outputs = len(left), estimator.n_outputs_
    for name in ("right", "feature"):
        _require(columns[name].dtype.kind == "i", f"{name} must be integers")
    roots = np.zeros(1, dtype=int)
    is_leaf = _check_nodes(left, right, feature, roots, estimator.n_features_in_)
    leaves = _array(arrays["values"], "values", "f", int(is_leaf.sum()), n_outputs)
    nodes = np.zeros(n_nodes, dtype=NODE_DTYPE)
    for name, field in _TREE_COLUMNS.items():
        nodes[field] = columns[name]
    values = np.full((n_nodes, n_outputs, 1), np.nan)
    values[is_leaf, :, 0] = leaves
    tree = Tree(estimator.n_features_in_, np.ones(n_outputs, dtype=np.intp), n_outputs)
    tree.__setstate__(
        {"max_depth": _depth(left, right), "node_count": n_nodes, "nodes": nodes, "values": values}
    )
    estimator.tree_ = tree


def _depth(left: NDArray, right: NDArray) -> int:
    depth, level = 0, np.zeros(1, dtype=int)
    while True:
        level = level[left[level] != -1]
        if not len(level):
            return depth
        level = np.concatenate([left[level], right[level]])
        depth += 1


def _boosted_arrays(estimator: Any) -> Arrays:
    if estimator.is_categorical_ is not None:
        raise TypeError(
            f"{type(estimator).__name__} with categorical features cannot be stored. Patches are "
            "numbers; do not change categorical_features."
        )
    trees: list[NDArray[Any]] = [tree.nodes for (tree,) in estimator._predictors]
    nodes: NDArray[Any] = np.concatenate(trees)
    arrays = {
        name: nodes[field].astype(nodes[field].dtype) for name, field in _BOOSTED_COLUMNS.items()
    }
    starts = np.repeat(np.cumsum([0, *map(len, trees)][:-1]), [len(tree) for tree in trees])
    is_leaf = nodes["is_leaf"].astype(bool)
    for name in ("left", "right"):
        arrays[name] = np.where(is_leaf, -1, arrays[name].astype(np.int64) + starts)
    arrays["n_nodes"] = np.array([len(tree) for tree in trees])
    return arrays


def _restore_boosted(estimator: Any, arrays: Arrays) -> None:
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    _require(set(arrays) == {*_BOOSTED_COLUMNS, "n_nodes"}, "boosted trees have other arrays")
    columns = dict(zip(_BOOSTED_COLUMNS, _columns(arrays, _BOOSTED_COLUMNS), strict=True))
    left, right, feature = (columns[name].astype(np.int64) for name in ("left", "right", "feature"))
    sizes = _array(arrays["n_nodes"], "n_nodes", "i", None)
    _require((sizes > 0).all() and sum(sizes.tolist()) == len(left), "n_nodes must count nodes")
    ends = np.cumsum(sizes)
    starts = ends - sizes
    is_leaf = _check_nodes(left, right, feature, starts, estimator.n_features_in_)
    # One parent for every node that is not a root, before it in the same tree.
    tree_of = np.repeat(np.arange(len(sizes)), sizes)
    for children in (left, right):
        same = tree_of[children[~is_leaf]] == tree_of[~is_leaf]
        _require(same.all(), "a node has a child in another tree")
    nodes = np.zeros(len(left), dtype=PREDICTOR_RECORD_DTYPE)
    for name, field in _BOOSTED_COLUMNS.items():
        if name not in ("left", "right"):
            nodes[field] = columns[name]
    nodes["is_leaf"] = is_leaf
    for name, children in (("left", left), ("right", right)):
        nodes[name] = np.where(is_leaf, 0, children - starts[tree_of])
    _require(estimator.n_trees_per_iteration_ == 1, "there must be one tree in each iteration")
    _array(estimator._baseline_prediction, "_baseline_prediction", "f", 1, 1)
    no_bits = np.zeros((0, 8), dtype=np.uint32)
    estimator._predictors = [
        [TreePredictor(nodes[start:end], no_bits, no_bits)]
        for start, end in zip(starts, ends, strict=True)
    ]
    estimator._bin_mapper = _BinMapper()
    estimator._bin_mapper.bin_thresholds_ = []  # only categorical features read them
    estimator._bin_mapper.is_categorical_ = np.zeros(estimator.n_features_in_, dtype=np.uint8)
    estimator.is_categorical_ = estimator._is_categorical_remapped = estimator._preprocessor = None
    estimator._loss = estimator._get_loss(sample_weight=None)


def _restore_forest(estimator: Any, arrays: Arrays) -> None:
    _keep(estimator, arrays)
    _check_trees(estimator.estimators_, estimator.n_features_in_, estimator.n_outputs_)


def _restore_gradient_boosting(estimator: Any, arrays: Arrays) -> None:
    _keep(estimator, arrays)
    trees = _array(estimator.estimators_, "estimators_", "O", None, 1)
    _check_trees(trees[:, 0].tolist(), estimator.n_features_in_, 1)
    _require(estimator.n_trees_per_iteration_ == 1, "there must be one tree in each iteration")
    estimator._loss = estimator._get_loss(sample_weight=None)


def _check_trees(trees: Any, n_features: int, n_outputs: int) -> None:
    """Check the trees of a forest, which pass rows to each other without checks."""
    _require(isinstance(trees, list) and len(trees), "a forest must be a list of trees")
    for tree in trees:
        _require(hasattr(tree, "tree_"), f"a forest contains a {type(tree).__name__}")
        _require(
            (tree.n_features_in_, tree.n_outputs_) == (n_features, n_outputs),
            "trees of a forest have other numbers of features or outputs than the forest",
        )


def _restore_neighbors(estimator: Any, arrays: Arrays) -> None:
    from sklearn.neighbors import BallTree, KDTree

    _keep(estimator, arrays)
    rows = _array(estimator._fit_X, "_fit_X", "f", None, estimator.n_features_in_)
    _require(
        isinstance(estimator._y, np.ndarray) and estimator._y.shape[:1] == rows.shape[:1],
        "_y must have one row for each row of _fit_X",
    )
    _require(estimator.n_samples_fit_ == len(rows), "n_samples_fit_ must count the rows")
    metric, options = estimator.effective_metric_, estimator.effective_metric_params_
    _require(isinstance(metric, str), f"the metric is {metric!r}")
    _require("precomputed" not in (metric, estimator.metric), "distances are not rows")
    _require(isinstance(options, dict), "effective_metric_params_ must be a dict")
    kinds = {"kd_tree": KDTree, "ball_tree": BallTree, "brute": None}
    _require(estimator._fit_method in kinds, "_fit_method is unknown")
    kind = kinds[estimator._fit_method]
    # The same rows give the same tree.
    estimator._tree = kind and kind(rows, estimator.leaf_size, metric=metric, **options)


def _check_support_vectors(estimator: Any, arrays: Arrays) -> None:
    """Check arrays that libsvm reads without checks."""
    _keep(estimator, arrays)
    vectors = _array(estimator.support_vectors_, "support_vectors_", "f", None, None)
    n = len(vectors)
    _require(vectors.shape[1] == estimator.n_features_in_, "support_vectors_ has other features")
    _array(estimator.support_, "support_", "i", n)
    _array(estimator._dual_coef_, "_dual_coef_", "f", 1, n)
    _array(estimator._intercept_, "_intercept_", "f", 1)
    _array(estimator._n_support, "_n_support", "i", 2)
    for name in ("_probA", "_probB"):
        _array(getattr(estimator, name), name, "f", 0)
    _require(estimator._sparse is False, "sparse support vectors cannot be loaded")
    kernels = ("linear", "poly", "rbf", "sigmoid")
    _require(estimator.kernel in kernels, f"the kernel must be one of {kernels}")


def _restore_linear(estimator: Any, arrays: Arrays) -> None:
    _keep(estimator, arrays)
    estimator._base_loss = estimator._get_loss()


def _restore_names(estimator: Any, arrays: Arrays) -> None:
    from sklearn.utils import Bunch

    _keep(estimator, arrays)
    names = [name for name, part in estimator.estimators if not isinstance(part, str)]
    _require(isinstance(estimator.estimators_, list), "estimators_ must be a list")
    estimator.named_estimators_ = Bunch(**dict(zip(names, estimator.estimators_, strict=True)))


def _check_constant(estimator: Any, arrays: Arrays) -> None:
    _keep(estimator, arrays)
    _array(estimator.constant_, "constant_", "fi", 1, estimator.n_outputs_)


_TREE = State(("tree_",), _tree_arrays, _restore_tree)
_FOREST = State(restore=_restore_forest)
_NEIGHBORS = State(("_tree",), restore=_restore_neighbors)
_SUPPORT_VECTORS = State(restore=_check_support_vectors)
_LINEAR = State(("_base_loss",), restore=_restore_linear)
_NAMES = State(("named_estimators_",), restore=_restore_names)

# Classes that need more than their attributes. Generators and optimizers only matter to training.
STATES = {
    "DecisionTreeRegressor": _TREE,
    "DummyRegressor": State(restore=_check_constant),
    "ExtraTreeRegressor": _TREE,
    "ExtraTreesRegressor": _FOREST,
    "GammaRegressor": _LINEAR,
    "GradientBoostingRegressor": State(("_loss", "_rng"), restore=_restore_gradient_boosting),
    "HistGradientBoostingRegressor": State(
        (
            *("_bin_mapper", "_feature_subsample_rng", "_is_categorical_remapped", "_loss"),
            *("_predictors", "_preprocessor", "_scorer", "is_categorical_"),
        ),
        _boosted_arrays,
        _restore_boosted,
    ),
    "KNeighborsRegressor": _NEIGHBORS,
    "MLPRegressor": State(("_optimizer", "_random_state")),
    "MiniBatchDictionaryLearning": State(("_random_state",)),
    "NuSVR": _SUPPORT_VECTORS,
    "PoissonRegressor": _LINEAR,
    "RadiusNeighborsRegressor": _NEIGHBORS,
    "RandomForestRegressor": _FOREST,
    "SVR": _SUPPORT_VECTORS,
    "StackingRegressor": _NAMES,
    "TweedieRegressor": _LINEAR,
    "VotingRegressor": _NAMES,
}
