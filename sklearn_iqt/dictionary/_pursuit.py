"""Compiled orthogonal matching pursuit, one signal at a time, on correlations and the Gram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit as numba_njit

from sklearn_iqt.dictionary._lanes import load, mask_of, n_lanes

__all__ = ["omp_rows"]

# A pivot below this fraction says that an atom is a combination of those before it (rounding of
# float32).
SINGULAR = 1e-6

# Only what Python calls needs a wrapper, which takes as long to compile as the function.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True}
# numba's types do not know all of its options.
njit: Any = numba_njit
compiled = njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@compiled
def _factor(matrix, n):  # pragma: no cover  (compiled)
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
def _forward(factor, rhs, n):  # pragma: no cover  (compiled)
    for row in range(n):
        for m in range(row):
            rhs[row] -= factor[row, m] * rhs[m]
        rhs[row] /= factor[row, row]


@compiled
def _backward(factor, rhs, n):  # pragma: no cover  (compiled)
    for row in range(n - 1, -1, -1):
        for m in range(row + 1, n):
            rhs[row] -= factor[m, row] * rhs[m]
        rhs[row] /= factor[row, row]


@compiled
def _steepest(slopes):  # pragma: no cover  (compiled)
    """Find the atom of the largest slope; a vector of them is passed over at once."""
    largest, best = slopes.dtype.type(-1), 0
    for start in range(0, len(slopes), n_lanes(slopes)):
        if mask_of(abs(load(slopes, start)) > largest):
            for atom in range(start, start + n_lanes(slopes)):
                if abs(slopes[atom]) > largest:
                    largest, best = abs(slopes[atom]), atom
    return best


@compiled
def _subtract_atoms(residual, correlation, gram, atoms, code, n):  # pragma: no cover  (compiled)
    """Correlations of all atoms with what a code leaves of the signal."""
    for atom in range(len(residual)):
        residual[atom] = correlation[atom]
    for m in range(n):
        weight = residual.dtype.type(code[m])
        row = gram[atoms[m]]
        for atom in range(len(residual)):
            residual[atom] -= weight * row[atom]


@njit(**OPTIONS)
def omp_rows(correlations, gram, n_nonzero, atoms_out, codes_out, counts):
    # pragma: no cover  (compiled)
    """Choose atoms greedily for each row of correlations, solving for all weights after each."""
    n_atoms = len(gram)
    residual = np.empty(n_atoms, correlations.dtype)
    factor = np.empty((n_nonzero, n_nonzero))
    weights = np.empty(n_nonzero)
    for signal in range(len(correlations)):
        correlation = correlations[signal]
        for atom in range(n_atoms):
            residual[atom] = correlation[atom]
        atoms = atoms_out[signal]
        least = 1e-6 * abs(correlation[_steepest(correlation)])
        n = 0
        while n < n_nonzero:
            best_atom = _steepest(residual)
            if abs(residual[best_atom]) <= least:
                break
            atoms[n] = best_atom
            for row in range(n + 1):
                weights[row] = correlation[atoms[row]]
                for column in range(row + 1):
                    factor[row, column] = gram[atoms[row], atoms[column]]
            if _factor(factor, n + 1) <= n:
                break
            _forward(factor, weights, n + 1)
            _backward(factor, weights, n + 1)
            n += 1
            for row in range(n):
                codes_out[signal, row] = weights[row]
            if n < n_nonzero:
                _subtract_atoms(residual, correlation, gram, atoms, weights, n)
        counts[signal] = n
