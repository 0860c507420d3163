"""A PatchwiseRegressor around a regressor of scikit-learn is stored without pickle."""

import warnings

import numpy as np
import pytest
from sklearn import linear_model as linear
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR, LinearSVR, NuSVR
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from sklearn_iqt import PatchTransformer, PatchwiseRegressor
from sklearn_iqt.persistence import _registry, load_model, read_model_card, save_model


def each(*regressors):
    """Return regressors of one output, one for each output."""
    return [MultiOutputRegressor(regressor) for regressor in regressors]


def after(*transformers):
    return [make_pipeline(transformer, Ridge()) for transformer in transformers]


TWO = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2, random_state=0))]
REGRESSORS = [
    RandomForestRegressor(4, min_samples_leaf=3, random_state=0),
    RandomForestRegressor(2, max_leaf_nodes=9, random_state=0),
    ExtraTreesRegressor(3, bootstrap=True, oob_score=True, max_features=0.5, random_state=0),
    DecisionTreeRegressor(ccp_alpha=1e-4, random_state=0),
    DecisionTreeRegressor(max_depth=1),
    ExtraTreeRegressor(random_state=0),
    BaggingRegressor(KNeighborsRegressor(3), 3, max_features=0.7, random_state=0),
    KNeighborsRegressor(3),
    KNeighborsRegressor(3, weights="distance", algorithm="ball_tree", metric="manhattan"),
    KNeighborsRegressor(3, algorithm="brute"),
    RadiusNeighborsRegressor(5.0),
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, early_stopping=True, random_state=0),
    MLPRegressor(
        hidden_layer_sizes=(5, 4), solver="lbfgs", activation="tanh", max_iter=20, random_state=0
    ),
    RegressorChain(SVR()),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    TransformedTargetRegressor(),
    make_pipeline(StandardScaler(), PCA(2), "passthrough", Ridge()),
    make_pipeline(FeatureUnion([("pca", PCA(1)), ("scaled", RobustScaler())]), Ridge()),
    make_pipeline(make_pipeline(MinMaxScaler(clip=True), PCA(2)), Ridge()),
    DummyRegressor(),
    DummyRegressor(strategy="median"),
    KernelRidge(kernel="rbf"),
    *(CCA(2), PLSCanonical(2), PLSRegression(2)),
    *after(FactorAnalysis(2), FastICA(2, random_state=0), IncrementalPCA(2), TruncatedSVD(2)),
    *after(
        VarianceThreshold(), Nystroem(n_components=5, random_state=0), RBFSampler(random_state=0)
    ),
    *after(FunctionTransformer(), MaxAbsScaler(), Normalizer(), PowerTransformer()),
    *after(QuantileTransformer(n_quantiles=10)),
    *each(
        SVR(),
        SVR(kernel="poly", gamma="auto"),
        NuSVR(),
        LinearSVR(random_state=0),
        GradientBoostingRegressor(n_estimators=3, random_state=0),
        GradientBoostingRegressor(n_estimators=3, loss="huber", init="zero", subsample=0.5),
        HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5, random_state=0),
        HistGradientBoostingRegressor(
            max_iter=2, loss="quantile", quantile=0.3, min_samples_leaf=5, random_state=0
        ),
        AdaBoostRegressor(n_estimators=3, random_state=0),
        VotingRegressor(TWO),
        StackingRegressor(TWO, Ridge(), cv=2, passthrough=True),
        *(linear.ARDRegression(), linear.BayesianRidge(), linear.ElasticNetCV(cv=2)),
        *(linear.HuberRegressor(), linear.LarsCV(cv=2), linear.LassoCV(cv=2)),
        *(linear.LassoLarsCV(cv=2), linear.LassoLarsIC(), linear.QuantileRegressor()),
        *(linear.OrthogonalMatchingPursuitCV(cv=2), linear.SGDRegressor(random_state=0)),
        linear.TheilSenRegressor(random_state=0, max_subpopulation=20),
    ),
    *(linear.ElasticNet(0.01), linear.Lars(), linear.Lasso(0.01), linear.LassoLars(0.01)),
    *(linear.MultiTaskElasticNet(0.01), linear.MultiTaskElasticNetCV(cv=2)),
    *(linear.MultiTaskLasso(0.01), linear.MultiTaskLassoCV(cv=2)),
    *(linear.OrthogonalMatchingPursuit(), linear.RidgeCV(), linear.LinearRegression()),
]
# Targets of these must be positive, so they predict the high patch itself.
POSITIVE = each(
    linear.GammaRegressor(), linear.PoissonRegressor(), linear.TweedieRegressor(power=1.5)
)
PATCHER = PatchTransformer((3, 1, 1))


@pytest.fixture(scope="module")
def rows():
    """Return paired rows of patches with 3 low and 12 high voxels."""
    rng = np.random.default_rng(0)
    return rng.random((60, 3)) + 0.5, rng.random((60, 12)) + 0.5


def fit(regressor, rows, **options):
    model = PatchwiseRegressor(regressor, PATCHER, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the data are noise
        return model.fit(*rows)


def classes_in(node):
    if isinstance(node, list):
        return set().union(*map(classes_in, node))
    if not isinstance(node, dict):
        return set()
    return {node.get("class")}.union(*map(classes_in, node.values()))


@pytest.mark.parametrize("regressor", REGRESSORS + POSITIVE, ids=lambda r: str(r)[:60])
def test_predictions_are_the_same_bits(regressor, rows, tmp_path):
    target = "high" if regressor in POSITIVE else "residual"
    model = fit(regressor, rows, target=target)
    path = save_model(model, tmp_path / "model.iqt")
    loaded = load_model(path)
    new = np.random.default_rng(1).random((50, 3)) + 0.5
    np.testing.assert_array_equal(loaded.predict(new), model.predict(new))
    # The same model gives the same bytes, also after loading.
    assert save_model(loaded, tmp_path / "again.iqt").read_bytes() == path.read_bytes()


def test_every_class_of_the_list_is_tested():
    def names(part):
        found = {type(part).__name__}
        for value in part.get_params(deep=True).values():
            if hasattr(value, "get_params"):
                found.add(type(value).__name__)
        return found

    tested = set().union(*map(names, REGRESSORS + POSITIVE))
    elsewhere = {"DictionaryLearning", "FrozenEstimator", "MiniBatchDictionaryLearning"}
    listed = {
        n
        for n, source in _registry.PARTS.items()
        if isinstance(source, str) and source.startswith("sklearn.")
    }
    assert listed - elsewhere == tested


def test_a_loaded_forest_can_be_inspected_and_fitted_again(rows, tmp_path):
    model = fit(RandomForestRegressor(3, random_state=0), rows)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    ours, theirs = loaded.estimator_, model.estimator_
    np.testing.assert_array_equal(ours.feature_importances_, theirs.feature_importances_)
    assert [t.get_depth() for t in ours.estimators_] == [t.get_depth() for t in theirs.estimators_]
    np.testing.assert_array_equal(ours.apply(rows[0]), theirs.apply(rows[0]))
    again = loaded.fit(*rows)
    np.testing.assert_array_equal(again.predict(rows[0]), model.predict(rows[0]))


def test_a_forest_enhances_volumes_after_loading(tmp_path):
    high = np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32) + 0.5
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    forest = ExtraTreesRegressor(3, min_samples_leaf=5, random_state=0, n_jobs=2, verbose=1)
    model = PatchwiseRegressor(forest, PatchTransformer(3), random_state=0, verbose=1)
    model.fit(low, high)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    model.estimator_.set_params(n_jobs=None)
    np.testing.assert_array_equal(loaded.predict(low), model.predict(low))
    assert (
        read_model_card(tmp_path / "model.iqt").params["estimator"]["class"]
        == "ExtraTreesRegressor"
    )


def parts_of(estimator):
    yield estimator
    for value in vars(estimator).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, tuple) and part:
                part = part[-1]
            if isinstance(part, BaseEstimator):
                yield from parts_of(part)


def test_no_part_of_a_loaded_model_keeps_parameters_of_the_session(rows, tmp_path):
    folder = str(tmp_path / "cache")
    regressor = make_pipeline(
        StandardScaler(),
        BaggingRegressor(
            MLPRegressor(hidden_layer_sizes=(3,), verbose=True, max_iter=3), 2, verbose=3
        ),
        memory=folder,
        verbose=True,
    )
    model = fit(regressor, rows, verbose=1)
    path = save_model(model, tmp_path / "model.iqt")
    assert folder.encode() not in path.read_bytes()
    loaded = load_model(path)
    for part in parts_of(loaded):
        params = part.get_params(deep=False)
        assert not params.get("verbose")
        assert params.get("n_jobs") is None
        assert params.get("memory") is None


class Kernel(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros((len(X), 12))


@pytest.mark.parametrize(
    ("regressor", "match"),
    [
        (GaussianProcessRegressor(), "GaussianProcessRegressor.*cannot be stored"),
        (make_pipeline(PolynomialFeatures(2), Ridge()), "PolynomialFeatures.*cannot be stored"),
        (Kernel(), "Kernel.*register_class"),
        (KNeighborsRegressor(3, metric=lambda a, b: abs(a - b).sum()), "function.*without pickle"),
        (
            MultiOutputRegressor(HistGradientBoostingRegressor(categorical_features=[0])),
            "categorical features",
        ),
    ],
    ids=["GaussianProcess", "PolynomialFeatures", "Kernel", "function", "categories"],
)
def test_other_regressors_are_refused_when_saving(regressor, match, rows, tmp_path):
    whole = np.round(rows[0] * 5), rows[1]
    with pytest.raises(TypeError, match=match):
        save_model(fit(regressor, whole), tmp_path / "model.iqt")
    assert not list(tmp_path.iterdir())
