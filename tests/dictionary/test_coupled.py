"""CoupledDictionaryIQT: the oracles of the method, and its parameters."""

import numpy as np
import pytest
from sklearn.decomposition import DictionaryLearning, MiniBatchDictionaryLearning
from sklearn.model_selection import GridSearchCV

from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, PatchTransformer
from sklearn_iqt.dictionary import _coupled
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.metrics import neg_nrmse_scorer
from sklearn_iqt.preprocessing import intensity_scale


@pytest.fixture
def rows(rng):
    """Smooth low patches and their sharper counterparts."""
    y = rng.standard_normal((600, 27)).cumsum(axis=1)
    return 0.5 * (y + np.roll(y, 1, axis=1)), y


def model(**parameters):
    parameters = {"n_atoms": 40, "random_state": 0, **parameters}
    return CoupledDictionaryIQT(patcher=PatchTransformer(3), **parameters)


def test_identical_pairs_leave_no_residual(rows):
    X, _ = rows
    fitted = model().fit(X, X)
    np.testing.assert_allclose(fitted.dictionary_high_, 0, atol=1e-12)
    np.testing.assert_allclose(fitted.predict(X), X, atol=1e-10)


@pytest.mark.parametrize("target", ["residual", "mean_removed"])
def test_high_dictionary_reproduces_training_patches_when_atoms_suffice(rng, target):
    X, y = rng.standard_normal((12, 27)), rng.standard_normal((12, 27))
    y += X.mean(axis=1, keepdims=True) - y.mean(axis=1, keepdims=True)
    fitted = model(n_atoms=12, alpha=1e-6, n_components=None, target=target).fit(X, y)
    assert np.linalg.matrix_rank(fitted.transform(X)) == 12
    np.testing.assert_allclose(fitted.predict(X), y, atol=1e-4)


def test_prediction_is_patch_plus_code_times_high_atoms(rows):
    X, y = rows
    fitted = model().fit(X, y)
    np.testing.assert_allclose(fitted.predict(X), X + fitted.transform(X) @ fitted.dictionary_high_)
    removed = model(target="mean_removed").fit(X, y)
    expected = X.mean(axis=1, keepdims=True) + removed.transform(X) @ removed.dictionary_high_
    np.testing.assert_allclose(removed.predict(X), expected)


@pytest.mark.parametrize("features", ["texture", "gradient"])
def test_features_without_brightness_give_the_same_detail_at_any_brightness(rows, features):
    X, y = rows
    fitted = model(features=features).fit(X, y)
    np.testing.assert_allclose(fitted.transform(X + 5), fitted.transform(X), atol=1e-8)
    np.testing.assert_allclose(fitted.predict(X + 5), fitted.predict(X) + 5, atol=1e-8)
    bright = model(features="intensity").fit(X, y)
    assert np.abs(bright.predict(X + 5) - bright.predict(X) - 5).max() > 0.1


def test_it_improves_on_the_patches_it_is_given(rows):
    X, y = rows
    fitted = model(features="both", n_components=None).fit(X[:400], y[:400])
    assert np.mean((fitted.predict(X[400:]) - y[400:]) ** 2) < 0.7 * np.mean((X - y)[400:] ** 2)


@pytest.mark.parametrize(
    ("solver", "tolerance"),
    # Coordinate descent stops before it is exact, in some releases of scikit-learn earlier.
    [("lasso_cd", 0.04), ("lasso_lars", 0.001), ("omp", 0.02), ("batch_omp", np.inf)],
)
def test_reference_solvers_predict_the_same(rows, solver, tolerance):
    X, y = rows
    alpha = 0.05
    reference = "batch_omp" if solver == "omp" else "auto"
    ours = model(alpha=alpha, solver=reference).fit(X, y).predict(X)
    theirs = model(alpha=alpha, solver=solver).fit(X, y).predict(X)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(y).max())
    assert np.isfinite(theirs).all()


@pytest.mark.parametrize(
    "learner",
    [
        MiniBatchDictionaryLearning(transform_algorithm="omp", max_iter=5),
        DictionaryLearning(max_iter=3, transform_algorithm="omp"),
    ],
)
def test_scikit_learn_learns_the_dictionary(rows, learner):
    X, y = rows
    fitted = model(n_atoms=15, dictionary_learner=learner).fit(X[:200], y[:200])
    assert fitted.dictionary_low_.shape[0] == 15
    np.testing.assert_allclose(np.linalg.norm(fitted.dictionary_low_, axis=1), 1, atol=1e-6)
    assert fitted.n_iter_ >= 1
    assert learner.n_components is None


def test_codes_are_sparser_for_larger_alpha(rows):
    X, y = rows
    counts = [np.count_nonzero(model(alpha=a).fit(X, y).transform(X)) for a in (0.01, 0.1, 1.0)]
    assert counts[0] > counts[1] > counts[2]


def test_transform_of_volumes_gives_sparse_codes_of_every_patch(rng):
    high = rng.random((2, 9, 9, 12))
    low = high.reshape(2, 9, 9, 3, 4).mean(axis=-1)
    fitted = model().fit(low, high)
    codes = fitted.transform(low)
    assert [c.shape for c in codes] == [(fitted.patcher_.grid((9, 9, 12)).n_patches, 40)] * 2


def test_more_atoms_than_patches_is_said(rng):
    X = rng.random((10, 27))
    with pytest.warns(UserWarning, match="allow no more atoms"):
        assert model().fit(X, X).dictionary_low_.shape[0] == 10


def test_rows_and_volumes_agree(rng):
    """A user who interpolates and cuts by hand gets the volume that predict gives."""
    high = np.abs(rng.standard_normal((3, 12, 13, 16))).cumsum(axis=-1)
    low = high.reshape(3, 12, 13, 4, 4).mean(axis=-1)
    scale = intensity_scale(low[2])
    test = (low[2] / scale)[None]
    patcher = PatchTransformer(5, stride=2, background=1.0)
    fitted = CoupledDictionaryIQT(30, patcher=patcher, random_state=0).fit(low[:2], high[:2])
    by_volume = fitted.predict(test)
    interpolated = InterpolationIQT().fit(low[:2], high[:2]).predict(test)
    by_hand = patcher.fit(interpolated)
    rows = fitted.predict(by_hand.transform(interpolated))
    np.testing.assert_allclose(by_hand.inverse_transform(rows), by_volume, atol=2e-5)


def count_calls(monkeypatch, owner, name):
    calls = []
    original = getattr(owner, name)

    def counting(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counting)
    return calls


def test_a_grid_over_alpha_draws_and_learns_once_for_each_fold(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    high = [rng.random((16, 16, 16)) for _ in range(4)]
    low = [volume.reshape(16, 16, 4, 4).mean(axis=-1) for volume in high]
    drawn = count_calls(monkeypatch, CoupledDictionaryIQT, "_draw_rows")
    learned = count_calls(monkeypatch, _coupled, "ksvd")
    grid = {"alpha": [0.01, 0.1, 0.3], "n_atoms": [8, 12]}
    searches = [
        GridSearchCV(
            CoupledDictionaryIQT(memory=memory, random_state=0),
            grid,
            scoring=neg_nrmse_scorer,
            cv=2,
            refit=False,
        ).fit(low, high)
        for memory in (None, str(tmp_path))
    ]
    assert len(drawn) == 12 + 2
    assert len(learned) == 12 + 4
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(*scores)


def test_the_cache_knows_changed_volumes_files_and_parameters(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    high = [rng.random((16, 16, 16)) for _ in range(2)]
    low = [volume.reshape(16, 16, 4, 4).mean(axis=-1) for volume in high]
    model = CoupledDictionaryIQT(8, memory=str(tmp_path / "cache"), random_state=0)
    drawn = count_calls(monkeypatch, CoupledDictionaryIQT, "_draw_rows")
    for _ in range(2):
        model.fit(low, high)
    assert len(drawn) == 1
    model.fit([low[0], low[1] + 0.01], high)
    model.set_params(max_patches=50).fit(low, high)
    model.set_params(patcher__stride=2).fit(low, high)
    assert len(drawn) == 4
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    files = [
        [save_volume(v, tmp_path / f"{kind}{n}.nii", affine=grid) for n, v in enumerate(volumes)]
        for kind, volumes, grid in (
            ("low", low, affine),
            ("high", high, scaled_affine(affine, (1, 1, 4))),
        )
    ]
    for _ in range(2):
        model.fit(*files)
    assert len(drawn) == 5
    save_volume(low[0] * 2, files[0][0], affine=affine)
    model.fit(*files)
    assert len(drawn) == 6


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_cache_needs_a_seed(tmp_path, random_state):
    high = [np.random.default_rng(0).random((8, 8, 8))]
    low = [high[0].reshape(8, 8, 2, 4).mean(axis=-1)]
    model = CoupledDictionaryIQT(8, memory=str(tmp_path), random_state=random_state)
    with pytest.raises(ValueError, match="random_state must be an integer"):
        model.fit(low, high)
