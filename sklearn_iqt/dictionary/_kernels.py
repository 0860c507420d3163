"""Compiled inner loops of the sparse coder: one signal at a time, on correlations and the Gram.

Both solvers see a signal only through its correlations with the atoms and the Gram matrix of the
atoms, which matrix products deliver for many signals at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["lasso_rows", "omp_rows"]

# Atoms that join the working set in one round, and coordinate-descent sweeps before each solve.
N_JOIN = 16
N_SWEEPS = 4
MAX_ROUNDS = 200


# A pivot below this says that an atom is a combination of those before it (rounding of float32).
SINGULAR = 1e-6


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _forward(factor, rhs, n):  # pragma: no cover  (compiled)
    for row in range(n):
        for m in range(row):
            rhs[row] -= factor[row, m] * rhs[m]
        rhs[row] /= factor[row, row]


@njit(cache=True, nogil=True)
def _backward(factor, rhs, n):  # pragma: no cover  (compiled)
    for row in range(n - 1, -1, -1):
        for m in range(row + 1, n):
            rhs[row] -= factor[m, row] * rhs[m]
        rhs[row] /= factor[row, row]


@njit(cache=True, nogil=True)
def _subtract_atoms(residual, correlation, gram, atoms, code, n):  # pragma: no cover  (compiled)
    """Correlations of all atoms with what a code leaves of the signal."""
    residual[:] = correlation
    for m in range(n):
        if code[m] != 0:
            weight = residual.dtype.type(code[m])
            row = gram[atoms[m]]
            for atom in range(len(residual)):
                residual[atom] -= weight * row[atom]


@njit(cache=True, nogil=True)
def _sweep(code, slope, small, n, alpha):  # pragma: no cover  (compiled)
    """One pass of coordinate descent over the working set; ``slope`` is kept up to date."""
    for m in range(n):
        curvature = small[m, m]
        wanted = slope[m] + curvature * code[m]
        new = np.sign(wanted) * max(abs(wanted) - alpha, 0.0) / curvature
        step = new - code[m]
        if step != 0:
            code[m] = new
            for other in range(n):
                slope[other] -= step * small[m, other]


@njit(cache=True, nogil=True)
def _polish(code, slope, small, n, alpha, support, factor, step):  # pragma: no cover  (compiled)
    """Go to the exact minimum for the signs found, dropping atoms whose weight reaches zero."""
    while True:
        n_support = 0
        for m in range(n):
            if code[m] != 0:
                support[n_support] = m
                n_support += 1
        if n_support == 0:
            return
        for row in range(n_support):
            for column in range(row + 1):
                factor[row, column] = small[support[row], support[column]]
        rank = _factor(factor, n_support)
        step[:n_support] = 0.0
        if rank == n_support:
            longest = 1.0
            for row in range(n_support):
                m = support[row]
                step[row] = slope[m] - alpha * np.sign(code[m])
            _forward(factor, step, n_support)
            _backward(factor, step, n_support)
        else:
            # One atom is a combination of others. Trading it for them leaves the fit as it is, so
            # go the way that lowers the penalty until a weight is used up.
            longest = np.inf
            step[:rank] = -factor[rank, :rank]
            _backward(factor, step, rank)
            step[rank] = 1.0
            growth = 0.0
            for row in range(rank + 1):
                growth += step[row] * np.sign(code[support[row]])
            if growth > 0:
                step[: rank + 1] *= -1.0
        length, crossing = longest, -1
        for row in range(n_support):
            weight = code[support[row]]
            if step[row] * weight < 0 and -weight / step[row] <= length:
                length, crossing = -weight / step[row], row
        for row in range(n_support):
            m = support[row]
            new = 0.0 if row == crossing else code[m] + length * step[row]
            change = new - code[m]
            code[m] = new
            for other in range(n):
                slope[other] -= change * small[m, other]
        if crossing < 0:
            return


@njit(cache=True, nogil=True)
def _is_settled(code, slope, n, alpha, slack):  # pragma: no cover  (compiled)
    """Whether the working set meets the conditions of optimality."""
    for m in range(n):
        excess = slope[m] - alpha * np.sign(code[m]) if code[m] != 0 else abs(slope[m]) - alpha
        if (abs(excess) if code[m] != 0 else excess) > slack:
            return False
    return True


@njit(cache=True, nogil=True)
def _join(atoms, in_set, n, residual, threshold, limit):  # pragma: no cover  (compiled)
    """Let the atoms that violate optimality most join the working set."""
    for _ in range(limit):
        worst, worst_atom = threshold, -1
        for atom in range(len(residual)):
            if not in_set[atom] and abs(residual[atom]) > worst:
                worst, worst_atom = abs(residual[atom]), atom
        if worst_atom < 0:
            break
        atoms[n] = worst_atom
        in_set[worst_atom] = True
        n += 1
    return n


@njit(cache=True, nogil=True)
def lasso_rows(correlations, gram, alpha, tol, rounding, capacity, atoms_out, codes_out, counts):
    # pragma: no cover  (compiled)
    """Solve one lasso for each row of correlations by working sets."""
    n_atoms = len(gram)
    residual = np.empty(n_atoms, correlations.dtype)
    in_set = np.zeros(n_atoms, np.bool_)
    atoms = np.empty(capacity, np.int32)
    code = np.zeros(capacity)
    slope = np.zeros(capacity)
    small = np.empty((capacity, capacity))
    factor = np.empty((capacity, capacity))
    step = np.empty(capacity)
    support = np.empty(capacity, np.int64)
    converged = True
    for signal in range(len(correlations)):
        correlation = correlations[signal]
        residual[:] = correlation
        slack = tol * alpha + rounding * np.max(np.abs(correlation))
        n = 0
        done = False
        for _ in range(MAX_ROUNDS):
            n_before = n
            n = _join(atoms, in_set, n, residual, alpha + slack, min(N_JOIN, capacity - n))
            if n == n_before:
                done = True
                break
            for new in range(n_before, n):
                code[new] = 0.0
                slope[new] = residual[atoms[new]]
                for m in range(new + 1):
                    small[new, m] = small[m, new] = gram[atoms[new], atoms[m]]
            settled = False
            for _ in range(MAX_ROUNDS):
                for _ in range(N_SWEEPS):
                    _sweep(code, slope, small, n, alpha)
                _polish(code, slope, small, n, alpha, support, factor, step)
                settled = _is_settled(code, slope, n, alpha, slack)
                if settled:
                    break
            converged &= settled
            _subtract_atoms(residual, correlation, gram, atoms, code, n)
            if n + N_JOIN > capacity:
                kept = 0
                for m in range(n):
                    if code[m] == 0:
                        in_set[atoms[m]] = False
                    else:
                        atoms[kept] = atoms[m]
                        code[kept] = code[m]
                        kept += 1
                n = kept
                for row in range(n):
                    for column in range(n):
                        small[row, column] = gram[atoms[row], atoms[column]]
            for m in range(n):
                slope[m] = residual[atoms[m]]
        converged &= done
        kept = 0
        for m in range(n):
            in_set[atoms[m]] = False
            if code[m] != 0:
                atoms_out[signal, kept] = atoms[m]
                codes_out[signal, kept] = code[m]
                kept += 1
        counts[signal] = kept
    return converged


@njit(cache=True, nogil=True)
def omp_rows(correlations, gram, n_nonzero, atoms_out, codes_out, counts):
    # pragma: no cover  (compiled)
    """Choose atoms greedily for each row of correlations, solving for all weights after each."""
    n_atoms = len(gram)
    residual = np.empty(n_atoms, correlations.dtype)
    factor = np.empty((n_nonzero, n_nonzero))
    weights = np.empty(n_nonzero)
    for signal in range(len(correlations)):
        correlation = correlations[signal]
        residual[:] = correlation
        atoms = atoms_out[signal]
        start = np.max(np.abs(correlation))
        n = 0
        while n < n_nonzero:
            best, best_atom = 1e-6 * start, -1
            for atom in range(n_atoms):
                if abs(residual[atom]) > best:
                    best, best_atom = abs(residual[atom]), atom
            if best_atom < 0:
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
            codes_out[signal, :n] = weights[:n]
            _subtract_atoms(residual, correlation, gram, atoms, weights, n)
        counts[signal] = n
