"""Compiled orthogonal matching pursuit, one signal at a time, on correlations and the Gram."""

from __future__ import annotations

import numpy as np

from sklearn_iqt.dictionary._compiling import WIDTH, aligned_empty, compiled, compiled_entry
from sklearn_iqt.dictionary._slopes import STRETCH, count_steep, multiply

__all__ = ["omp_rows"]

# A pivot below this fraction says that an atom is a combination of those before it (rounding of
# float32).
SINGULAR = 1e-6


@compiled
def _factor(matrix, n):
    """Cholesky-factor in place; return the number of leading rows that are independent."""
    for row in range(n):
        for column in range(row + 1):
            total = pivot = matrix[row, column]
            for m in range(column):
                total -= matrix[row, m] * matrix[column, m]
            if row > column:
                matrix[row, column] = total / matrix[column, column]
            elif total <= SINGULAR * pivot:
                return row
            else:
                matrix[row, row] = np.sqrt(total)
    return n


@compiled
def _forward(factor, rhs, n):
    for row in range(n):
        for m in range(row):
            rhs[row] -= factor[row, m] * rhs[m]
        rhs[row] /= factor[row, row]


@compiled
def _backward(factor, rhs, n):
    for row in range(n - 1, -1, -1):
        for m in range(row + 1, n):
            rhs[row] -= factor[m, row] * rhs[m]
        rhs[row] /= factor[row, row]


@compiled
def _steepest(slopes):
    """Find the atom of the largest slope."""
    best = 0
    for start in range(0, len(slopes), STRETCH):
        if count_steep(slopes[start : start + STRETCH], abs(slopes[best])) > 0:
            for atom in range(start, min(start + STRETCH, len(slopes))):
                if abs(slopes[atom]) > abs(slopes[best]):
                    best = atom
    return best


@compiled
def _subtract_atoms(residual, correlation, gram, atoms, code, n):
    """Compute correlations of all atoms with what a code leaves of the signal."""
    width = len(residual) // WIDTH * WIDTH
    for atom in range(width):
        residual[atom] = correlation[atom]
    for m in range(n):
        weight, row = residual.dtype.type(code[m]), gram[atoms[m]]
        for atom in range(width):
            residual[atom] -= weight * row[atom]


@compiled_entry
def _pursue(correlations, gram, residual, factor, weights, atoms, codes, counts):
    """Choose atoms greedily for each row of correlations, solving for all weights after each."""
    n_nonzero = len(weights)
    for signal in range(len(correlations)):
        correlation, chosen = correlations[signal], atoms[signal]
        for atom in range(len(residual)):
            residual[atom] = correlation[atom]
        n, best = 0, _steepest(correlation)
        least = 1e-6 * abs(correlation[best])
        while n < n_nonzero and abs(residual[best]) > least:
            chosen[n] = best
            for row in range(n + 1):
                weights[row] = correlation[chosen[row]]
                for column in range(row + 1):
                    factor[row, column] = gram[chosen[row], chosen[column]]
            if _factor(factor, n + 1) <= n:
                break
            _forward(factor, weights, n + 1)
            _backward(factor, weights, n + 1)
            n += 1
            for row in range(n):
                codes[signal, row] = weights[row]
            if n < n_nonzero:
                _subtract_atoms(residual, correlation, gram, chosen, weights, n)
                best = _steepest(residual)
        counts[signal] = n


def omp_rows(
    X: np.ndarray, columns: np.ndarray, gram: np.ndarray, n_nonzero_coefs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the atoms and weights of the codes of rows, and how many.

    Atoms are given as padded columns, and the Gram of these.
    """
    atoms = np.empty((len(X), n_nonzero_coefs), np.int32)
    codes = np.empty((len(X), n_nonzero_coefs), X.dtype)
    counts = np.empty(len(X), np.int64)
    _pursue(
        multiply(X, columns, len(gram)),
        gram,
        aligned_empty((len(gram),), X.dtype),
        np.empty((n_nonzero_coefs, n_nonzero_coefs)),
        np.empty(n_nonzero_coefs),
        atoms,
        codes,
        counts,
    )
    used = np.arange(n_nonzero_coefs) < counts[:, None]
    return atoms[used], codes[used], counts
