"""Learning a dictionary by K-SVD."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state
from sklearn.utils.extmath import row_norms

from sklearn_iqt.dictionary._coding import sparse_encode

__all__ = ["initial_dictionary", "ksvd", "normalize_atoms"]


def normalize_atoms(dictionary: np.ndarray) -> np.ndarray:
    """Return the atoms scaled to unit norm; zero atoms stay zero."""
    norms = row_norms(dictionary)
    return dictionary / np.where(norms > 0, norms, 1)[:, None]


def initial_dictionary(
    X: np.ndarray, n_atoms: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Draw signals that are not negligible as the first atoms.

    Parameters
    ----------
    X : ndarray of shape (n_signals, n_features)
        Signals.
    n_atoms : int
        Atoms wanted; fewer come back if fewer signals are not zero.
    random_state : RandomState
        Source of the draw.

    Returns
    -------
    ndarray of shape (n_atoms, n_features)
        Unit-norm atoms.
    """
    norms = row_norms(X)
    usable = np.flatnonzero(norms > 1e-3 * norms.max())
    chosen = random_state.choice(usable, min(n_atoms, len(usable)), replace=False)
    return normalize_atoms(X[chosen])


def ksvd(
    X: Any,
    n_atoms: int,
    *,
    n_nonzero_coefs: int = 3,
    max_iter: int = 20,
    tol: float = 1e-3,
    n_jobs: int | None = None,
    random_state: Any = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[np.ndarray, list[float]]:
    """Learn a dictionary in which each signal is a combination of a few atoms.

    Alternates between codes by orthogonal matching pursuit and one power step towards the best
    rank-one update of each atom and its weights. Atoms that no signal uses are replaced by the
    signals that are represented worst.

    Parameters
    ----------
    X : array-like of shape (n_signals, n_features)
        Signals.
    n_atoms : int
        Atoms wanted; fewer are learned from fewer non-zero signals.
    n_nonzero_coefs : int, default=3
        Atoms in each code.
    max_iter : int, default=20
        Most iterations.
    tol : float, default=0.001
        Stop when the error falls by less than this fraction of itself.
    n_jobs : int, default=None
        Threads of the coder.
    random_state : int, RandomState instance or None, default=None
        Determines the signals from which the atoms start.
    progress : callable, default=iter
        Wraps the range of iterations, for instance into a progress bar.

    Returns
    -------
    dictionary : ndarray of shape (n_atoms, n_features)
        Unit-norm atoms, dtype of ``X``.
    errors : list of float
        Mean squared norm of the residuals after each iteration.

    Raises
    ------
    ValueError
        If all signals are zero.

    References
    ----------
    .. [1] M. Aharon, M. Elad, A. Bruckstein, "K-SVD: an algorithm for designing overcomplete
       dictionaries for sparse representation", IEEE TSP 54, 2006.
    .. [2] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm
       using batch orthogonal matching pursuit", Technion CS-2008-08 (the power step).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 8))
    >>> dictionary, errors = ksvd(X, 16, random_state=0)
    >>> dictionary.shape, errors[-1] < errors[0]
    ((16, 8), True)
    """
    X = check_array(X, dtype=(np.float64, np.float32), order="C")
    if not X.any():
        raise ValueError("ksvd: all signals are zero; give some that are not.")
    dictionary = initial_dictionary(X, n_atoms, check_random_state(random_state))
    errors: list[float] = []
    for _ in progress(range(max_iter)):
        codes = sparse_encode(
            X, dictionary, solver="batch_omp", n_nonzero_coefs=n_nonzero_coefs, n_jobs=n_jobs
        )
        residual = X - codes @ dictionary
        _update_atoms(dictionary, codes.tocsc(), residual)
        squares = row_norms(residual, squared=True)
        errors.append(float(squares.mean()))
        unused = np.flatnonzero(codes.getnnz(axis=0) == 0)
        worst = np.argsort(squares)[::-1][: len(unused)]
        replaceable = squares[worst] > 0
        dictionary[unused[: len(worst)][replaceable]] = normalize_atoms(X[worst[replaceable]])
        if len(errors) > 1 and errors[-2] - errors[-1] < tol * errors[-2]:
            break
    return dictionary, errors


def _update_atoms(dictionary: np.ndarray, codes: Any, residual: np.ndarray) -> None:
    """Update each atom with its weights, in place, and the residual with them."""
    for atom, (start, stop) in enumerate(zip(codes.indptr[:-1], codes.indptr[1:], strict=True)):
        if start == stop:
            continue
        users, weights = codes.indices[start:stop], codes.data[start:stop]
        without = residual[users] + np.outer(weights, dictionary[atom])
        updated = weights @ without
        norm = np.linalg.norm(updated)
        if norm == 0:
            continue
        dictionary[atom] = updated / norm
        residual[users] = without - np.outer(without @ dictionary[atom], dictionary[atom])
