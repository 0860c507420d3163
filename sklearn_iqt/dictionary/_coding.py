"""Sparse codes of many signals over one dictionary: the seam behind which solvers change."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any

import numpy as np
from joblib.parallel import get_active_backend
from scipy import sparse
from sklearn.decomposition import SparseCoder
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, gen_batches

from sklearn_iqt.dictionary._lasso import Workspace, lasso_rows, make_problem, make_workspace
from sklearn_iqt.dictionary._pursuit import omp_rows
from sklearn_iqt.dictionary._slopes import multiply, pad_columns

__all__ = ["SOLVERS", "sparse_encode"]

REFERENCE_SOLVERS = ("lasso_lars", "lasso_cd", "omp")
SOLVERS = ("auto", "batch_lasso", "batch_omp", *REFERENCE_SOLVERS)

# Signals are coded in blocks of this size for any number of threads, so that codes do not depend on
# that number.
BLOCK = 960


def sparse_encode(
    X: Any,
    dictionary: Any,
    *,
    alpha: float = 0.01,
    solver: str = "auto",
    n_nonzero_coefs: int | None = None,
    tol: float = 1e-4,
    n_jobs: int | None = None,
) -> sparse.csr_matrix:
    """Return sparse codes of signals over a dictionary.

    Parameters
    ----------
    X : array-like of shape (n_signals, n_features), float32 or float64
        Signals.
    dictionary : array-like of shape (n_atoms, n_features)
        Atoms, of unit norm. (Other norms work; they scale the penalty of their atom.)
    alpha : float, > 0, default=0.01
        Weight λ of the lasso, 0.5 ||x - a D||² + alpha ||a||₁, for every solver.
    solver : str, default="auto"
        ``"auto"`` and ``"batch_lasso"`` solve the lasso by an active set for each signal, in
        compiled code on ``n_jobs`` threads. ``"batch_omp"`` is orthogonal matching pursuit in the
        same way. ``"lasso_lars"``, ``"lasso_cd"`` and ``"omp"`` call
        :class:`sklearn.decomposition.SparseCoder`, which is slow and serves as the reference.
    n_nonzero_coefs : int, default=None
        Atoms in each code, for the two pursuits; a tenth of the features by default, as in
        scikit-learn.
    tol : float, default=0.0001
        Optimality of the batched lasso: no condition is violated by more than ``tol * alpha``
        and the rounding of the dtype of ``X``, which is large where atoms are nearly parallel and
        their weights cancel. Over such atoms, a signal ten thousand times as large as ``alpha`` or
        more may be left less exact or be given up, with a warning; its code is then not optimal,
        and no worse than none.
    n_jobs : int, default=None
        Threads; None means 1, unless :obj:`joblib.parallel_config` sets a number for
        ``backend="threading"``. Numbers set for processes do not count. The codes do not depend on
        it.

    Returns
    -------
    csr_matrix of shape (n_signals, n_atoms)
        Codes, in the dtype of ``X``.

    Raises
    ------
    ValueError
        If the shapes do not fit, the solver is unknown, or ``alpha`` or ``tol`` is out of range.
    TypeError
        If ``n_jobs`` is no integer.

    Notes
    -----
    Eq. (4) of the paper. The batched lasso keeps an active set for each signal, as feature-sign
    search does [1]_: the atoms that correlate most with the residual join one after the other, the
    weights move to the minimum for their signs, and an atom whose weight is used up on the way
    leaves. It ends when no atom violates its condition. The correlations of all atoms are computed
    for many signals at once, and a few atoms join before the next time.

    References
    ----------
    .. [1] H. Lee, A. Battle, R. Raina and A. Y. Ng, "Efficient sparse coding algorithms", NIPS
       2006.

    Examples
    --------
    >>> import numpy as np
    >>> dictionary = np.eye(3)
    >>> sparse_encode(np.array([[1.0, 0.2, 0.0]]), dictionary, alpha=0.5).toarray()
    array([[0.5, 0. , 0. ]])
    """
    X = check_array(X, dtype=(np.float64, np.float32), order="C")
    dictionary = check_array(dictionary, dtype=X.dtype, order="C")
    if X.shape[1] != dictionary.shape[1]:
        raise ValueError(
            f"sparse_encode: signals have {X.shape[1]} features, atoms {dictionary.shape[1]}."
        )
    if solver not in SOLVERS:
        raise ValueError(f"sparse_encode: solver must be one of {SOLVERS}; got {solver!r}.")
    if not alpha > 0:
        raise ValueError(f"sparse_encode: alpha must be positive; got {alpha!r}.")
    if not tol >= 0:
        raise ValueError(f"sparse_encode: tol must not be negative; got {tol!r}.")
    if not isinstance(n_jobs, Integral | None):
        raise TypeError(f"sparse_encode: n_jobs must be an integer or None; got {n_jobs!r}.")
    if n_nonzero_coefs is None:
        n_nonzero_coefs = max(X.shape[1] // 10, 1)
    n_nonzero_coefs = min(n_nonzero_coefs, len(dictionary), X.shape[1])
    if solver in REFERENCE_SOLVERS:
        coder = SparseCoder(
            dictionary,
            transform_algorithm=solver,
            transform_alpha=None if solver == "omp" else alpha,
            transform_n_nonzero_coefs=n_nonzero_coefs if solver == "omp" else None,
            transform_max_iter=10_000,
            n_jobs=n_jobs,
        )
        return sparse.csr_matrix(coder.transform(X), dtype=X.dtype)
    # numba would compile everything again for signals that are read-only.
    X = np.require(X, requirements="W")
    if solver == "batch_omp":
        columns = pad_columns(dictionary)
        padded = np.ascontiguousarray(columns[: dictionary.shape[1]].T)
        gram = multiply(padded, columns, len(padded))

        def encode(rows: slice) -> tuple[Any, ...]:
            return *omp_rows(X[rows], columns, gram, n_nonzero_coefs), True

    else:
        problem = make_problem(dictionary, alpha, tol)
        idle: list[Workspace] = []

        def encode(rows: slice) -> tuple[Any, ...]:
            try:
                workspace = idle.pop()
            except IndexError:
                workspace = make_workspace(problem)
            found = lasso_rows(X[rows], problem, workspace)
            idle.append(workspace)
            return found

    with ThreadPoolExecutor(_n_threads(n_jobs)) as pool:
        blocks = list(pool.map(encode, gen_batches(len(X), BLOCK)))
    if not all(converged for *_, converged in blocks):
        warnings.warn(
            "sparse_encode: some codes are not optimal to the tolerance; raise tol or alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )
    atoms, codes, counts = (np.concatenate(part) for part in list(zip(*blocks, strict=True))[:3])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix((codes, atoms, indptr), shape=(len(X), len(dictionary)))


def _n_threads(n_jobs: int | None) -> int:
    """Return how many threads joblib would start; its own pool takes 13 ms to come and go."""
    backend, default = get_active_backend(require="sharedmem")
    return backend.effective_n_jobs(default if n_jobs is None else n_jobs)
