"""The coder: optimality conditions, and agreement with scikit-learn."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso

from sklearn_iqt.dictionary import _coding, sparse_encode
from sklearn_iqt.dictionary._learning import normalize_atoms
from sklearn_iqt.dictionary._slopes import multiply, pad_columns


def problem(n_signals, n_atoms, n_features, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    dictionary = normalize_atoms(rng.standard_normal((n_atoms, n_features)))
    mixing = rng.standard_normal((n_signals, n_atoms)) * (rng.random((n_signals, n_atoms)) < 0.05)
    X = mixing @ dictionary + 0.05 * rng.standard_normal((n_signals, n_features))
    return X.astype(dtype), dictionary.astype(dtype)


def violation(X, dictionary, codes, alpha):
    """Largest violation of the optimality conditions of the lasso, relative to alpha."""
    codes = codes.toarray().astype(np.float64)
    slope = (X - codes @ dictionary) @ dictionary.T.astype(np.float64)
    active = np.abs(slope - alpha * np.sign(codes))
    return np.where(codes != 0, active, np.maximum(np.abs(slope) - alpha, 0)).max() / alpha


def objective(X, dictionary, codes, alpha):
    codes = codes.toarray() if sparse.issparse(codes) else codes
    return 0.5 * ((X - codes @ dictionary) ** 2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3, 5.0])
@pytest.mark.parametrize(
    ("n_atoms", "n_features"), [(20, 50), (64, 16), (300, 40), (1, 5), (64, 32), (32, 64)]
)
def test_lasso_is_optimal(alpha, n_atoms, n_features):
    X, dictionary = problem(700, n_atoms, n_features)
    codes = sparse_encode(X, dictionary, alpha=alpha)
    assert codes.shape == (700, n_atoms)
    assert violation(X, dictionary, codes, alpha) <= 1.01e-4
    if alpha >= 0.05:  # a smaller penalty is lost in the rounding of float32
        codes = sparse_encode(X.astype(np.float32), dictionary.astype(np.float32), alpha=alpha)
        assert codes.dtype == np.float32
        assert violation(X, dictionary, codes, alpha) <= 5e-4


def test_penalties_far_below_the_signals_are_coded_exactly():
    rng = np.random.default_rng(0)
    X = 4 * rng.standard_normal((200, 7)).cumsum(axis=1)
    dictionary = normalize_atoms(X[:40])  # working sets outgrow the rank again and again
    codes = sparse_encode(X, dictionary, alpha=1e-3)
    assert violation(X, dictionary, codes, 1e-3) <= 1.01e-4


@given(st.integers(1, 30), st.integers(1, 12), st.floats(0.01, 2), st.integers(0, 10**6))
@settings(max_examples=100)
def test_lasso_is_optimal_for_any_problem(n_atoms, n_features, alpha, seed):
    X, dictionary = problem(5, n_atoms, n_features, seed)
    dictionary[n_atoms // 2] = dictionary[0]  # a duplicate atom makes the Gram singular
    codes = sparse_encode(X, dictionary, alpha=alpha)
    assert violation(X, dictionary, codes, alpha) <= 1.01e-4


def of_low_rank(dictionary, rng):
    n_features = dictionary.shape[1]
    rank = max(1, n_features // 4)
    return (
        dictionary
        @ rng.standard_normal((n_features, rank))
        @ rng.standard_normal((rank, n_features))
    )


DEPENDENT = {
    "signs": lambda dictionary, rng: np.sign(dictionary),
    "opposites": lambda dictionary, rng: np.concatenate([dictionary, -dictionary]),
    "low rank": of_low_rank,
    "nearly parallel": lambda dictionary, rng: 1 + 0.03 * dictionary,
}


@pytest.mark.parametrize("kind", DEPENDENT)
@given(st.integers(1, 180), st.integers(1, 48), st.floats(0.001, 0.5), st.integers(0, 10**6))
@settings(max_examples=40)
def test_atoms_that_depend_on_each_other(kind, n_atoms, n_features, share, seed):
    rng = np.random.default_rng(seed)
    dictionary = DEPENDENT[kind](rng.standard_normal((n_atoms, n_features)), rng)
    dictionary = normalize_atoms(dictionary)
    X = rng.standard_normal((20, n_features))
    alpha = share * np.abs(X @ dictionary.T).max()
    codes = sparse_encode(X, dictionary, alpha=alpha)
    assert violation(X, dictionary, codes, alpha) <= 1.01e-4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("spread", [0.01, 0.03, 0.1, 100])
def test_signals_far_above_the_penalty_get_the_best_that_rounding_allows(spread):
    rng = np.random.default_rng(0)
    dictionary = normalize_atoms(1 + spread * rng.standard_normal((200, 20))).astype(np.float32)
    X = (1000 * np.abs(rng.standard_normal((200, 20)))).astype(np.float32)
    codes = sparse_encode(X, dictionary, alpha=0.01)
    assert np.isfinite(codes.data).all()
    assert all(len(set(row.indices)) == row.nnz for row in codes)
    exact, atoms = X.astype(np.float64), dictionary.astype(np.float64)
    found = objective(exact, atoms, codes.astype(np.float64), 0.01)
    nothing = (exact**2).sum(axis=1) / 2
    assert (found <= nothing).all()
    assert np.mean(found < 0.01 * nothing) >= 0.99
    for row in (0, 77, 199):
        alone = sparse_encode(X[[row]], dictionary, alpha=0.01)
        np.testing.assert_array_equal(alone.toarray()[0], codes[row].toarray()[0])


def test_signals_nearly_orthogonal_to_all_atoms_converge():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((100, 30))
    dictionary = normalize_atoms(atoms - atoms.mean(axis=1, keepdims=True)).astype(np.float32)
    X = (rng.standard_normal((500, 30)) + 1e5).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparse_encode(X, dictionary, alpha=0.1)


@pytest.mark.parametrize("reference", ["lasso_lars", "lasso_cd"])
def test_lasso_agrees_with_scikit_learn(reference):
    X, dictionary = problem(60, 80, 30)
    for alpha in (0.02, 0.2):
        ours = objective(X, dictionary, sparse_encode(X, dictionary, alpha=alpha), alpha)
        codes = sparse_encode(X, dictionary, alpha=alpha, solver=reference)
        theirs = objective(X, dictionary, codes, alpha)
        assert (ours <= theirs * (1 + 1e-6)).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@given(
    st.integers(1, 80),
    st.integers(1, 40),
    st.floats(0.01, 1),
    st.integers(0, 10**6),
    st.sampled_from([np.float32, np.float64]),
)
@example(n_atoms=67, n_features=2, alpha=0.5, seed=2, dtype=np.float64)
@settings(max_examples=40, deadline=None)
def test_objective_exceeds_that_of_lasso_lars_by_no_more_than_the_tolerance(
    n_atoms, n_features, alpha, seed, dtype
):
    X, dictionary = problem(4, n_atoms, n_features, seed, dtype)
    codes = sparse_encode(X, dictionary, alpha=alpha).astype(np.float64)
    exact, atoms = X.astype(np.float64), dictionary.astype(np.float64)
    reference = sparse_encode(exact, atoms, alpha=alpha, solver="lasso_lars")
    # The objective is convex: the violation of the conditions bounds what a code can still gain.
    violation = 1e-4 * alpha + 10 * np.finfo(dtype).eps * np.linalg.norm(exact, axis=1)
    distance = np.asarray(abs(codes).sum(axis=1) + abs(reference).sum(axis=1)).ravel()
    ours, theirs = (objective(exact, atoms, c, alpha) for c in (codes, reference))
    assert (ours <= theirs + violation * distance).all()


@pytest.mark.parametrize("norm", [1e-4, 1e3])
def test_atoms_of_any_norm_are_coded_exactly(norm):
    X, dictionary = problem(50, 60, 20)
    scaled = sparse_encode(X, norm * dictionary, alpha=norm * 0.05)
    expected = sparse_encode(X, dictionary, alpha=0.05)
    np.testing.assert_allclose(norm * scaled.toarray(), expected.toarray(), atol=1e-6)
    scaled = sparse_encode(X, norm * dictionary, solver="batch_omp", n_nonzero_coefs=3)
    expected = sparse_encode(X, dictionary, solver="batch_omp", n_nonzero_coefs=3)
    np.testing.assert_allclose(norm * scaled.toarray(), expected.toarray(), atol=1e-8)


@pytest.mark.parametrize(("solver", "rounding"), [("batch_lasso", 0), ("batch_omp", 1e-12)])
def test_codes_do_not_depend_on_the_other_signals(solver, rounding):
    X, dictionary = problem(40, 70, 30)
    together = sparse_encode(X, dictionary, solver=solver, alpha=0.01).toarray()
    for rows in ([7], range(13, 35)):
        alone = sparse_encode(X[rows], dictionary, solver=solver, alpha=0.01).toarray()
        np.testing.assert_allclose(alone, together[rows], atol=rounding, rtol=rounding)


def test_alpha_has_the_scale_of_equation_4_and_not_of_lasso():
    X, dictionary = problem(1, 12, 20)
    lasso = Lasso(alpha=0.1 / 20, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = lasso.fit(dictionary.T, X[0]).coef_
    found = sparse_encode(X, dictionary, alpha=0.1).toarray()[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_omp_agrees_with_scikit_learn():
    X, dictionary = problem(300, 60, 25)
    ours = sparse_encode(X, dictionary, solver="batch_omp", n_nonzero_coefs=4)
    theirs = sparse_encode(X, dictionary, solver="omp", n_nonzero_coefs=4)
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-10)


def test_codes_do_not_depend_on_threads():
    X, dictionary = problem(3000, 50, 20, dtype=np.float32)
    for solver in ("batch_lasso", "batch_omp"):
        one, two = (sparse_encode(X, dictionary, solver=solver, n_jobs=n) for n in (1, 2))
        assert (one != two).nnz == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 33), (97, 130, 64), (200, 343, 8)])
def test_products_agree_with_numpy(shape, dtype):
    n_rows, n_features, n_atoms = shape
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n_rows, n_features)).astype(dtype)
    atoms = rng.standard_normal((n_atoms, n_features)).astype(dtype)
    products = multiply(rows, pad_columns(atoms), n_atoms)
    assert products.dtype == dtype
    assert products.flags.c_contiguous
    np.testing.assert_allclose(products, rows @ atoms.T, atol=1000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("solver", ["batch_lasso", "batch_omp"])
def test_problems_can_be_coded_at_the_same_time(solver):
    problems = [problem(2000, 40 + 30 * seed, 20 + 5 * seed, seed) for seed in range(4)]

    def encode(each):
        return sparse_encode(*each, solver=solver, alpha=0.05, n_jobs=2)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(encode, problems))
    for each, codes in zip(problems, together, strict=True):
        assert (encode(each) != codes).nnz == 0


def test_joblib_sets_the_number_of_threads(monkeypatch):
    X, dictionary = problem(3000, 50, 20)
    asked = []

    class Pool(_coding.ThreadPoolExecutor):
        def __init__(self, n_threads):
            asked.append(n_threads)
            super().__init__(n_threads)

    monkeypatch.setattr(_coding, "ThreadPoolExecutor", Pool)
    sparse_encode(X, dictionary)
    sparse_encode(X, dictionary, n_jobs=3)
    with parallel_config(backend="threading", n_jobs=2):
        sparse_encode(X, dictionary)
    with parallel_config(backend="loky", n_jobs=2):  # numbers of processes do not count
        sparse_encode(X, dictionary)
        sparse_encode(X, dictionary, n_jobs=2)
    assert asked == [1, 3, 2, 1, 2]


def test_blocks_are_coded_by_several_threads(monkeypatch):
    X, dictionary = problem(5000, 50, 20)
    expected = sparse_encode(X, dictionary)
    both, names = threading.Barrier(2, timeout=600), set()  # a guard against waiting for ever

    def lasso_rows(*arguments):
        name = threading.current_thread().name
        if name not in names:
            both.wait()
        names.add(name)
        return compiled(*arguments)

    compiled = _coding.lasso_rows
    monkeypatch.setattr(_coding, "lasso_rows", lasso_rows)
    assert (sparse_encode(X, dictionary, n_jobs=2) != expected).nnz == 0
    assert len(names) == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_atom_is_in_a_code_twice():
    # Nearly parallel atoms and a tiny penalty: many changes make the inverse of a Gram inexact.
    rng = np.random.default_rng(2)
    n_features = int(rng.integers(40, 130))
    dictionary = normalize_atoms(1 + 0.015 * rng.standard_normal((300, n_features)))
    X = rng.standard_normal((100, n_features))
    codes = sparse_encode(X, dictionary, alpha=3e-6 * np.abs(X @ dictionary.T).max())
    assert all(len(np.unique(row.indices)) == row.nnz for row in codes)


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e160, np.float64), (1e300, np.float64), (3e38, np.float32)]
)
def test_signals_too_large_to_compute_with_are_warned_about(size, dtype):
    _, dictionary = problem(1, 10, 6)
    X = np.full((4, 6), size, dtype)
    with pytest.warns(ConvergenceWarning):
        codes = sparse_encode(X, np.abs(dictionary))
    assert np.isfinite(codes.data).all()
    assert (codes.indices < 10).all()


def test_signals_without_codes():
    X, dictionary = problem(4, 10, 6)
    assert sparse_encode(np.zeros_like(X), dictionary).nnz == 0
    assert sparse_encode(np.zeros_like(X), dictionary, solver="batch_omp").nnz == 0
    assert sparse_encode(X, dictionary, alpha=1e3).nnz == 0


def test_inputs_are_not_written_to():
    X, dictionary = problem(10, 10, 6)
    X.flags.writeable = dictionary.flags.writeable = False
    sparse_encode(np.asfortranarray(X), dictionary)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "spams"}, "solver must be one of"),
        ({"alpha": 0}, "alpha must be positive"),
        ({"dictionary": np.ones((3, 5))}, "signals have 6 features, atoms 5"),
        ({"X": [[np.nan] * 6]}, "NaN"),
        ({"tol": -1}, "tol must not be negative"),
        ({"tol": np.nan}, "tol must not be negative"),
        ({"n_jobs": "2"}, "n_jobs must be an integer"),
        ({"n_jobs": 2.5}, "n_jobs must be an integer"),
    ],
)
def test_bad_arguments(arguments, message):
    X, dictionary = problem(10, 10, 6)
    with pytest.raises((TypeError, ValueError), match=message):
        sparse_encode(**{"X": X, "dictionary": dictionary, **arguments})
