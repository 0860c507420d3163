"""The batched lasso, compiled: an active set for each signal, and slopes of many signals at once.

The slope of an atom is its product with what a code leaves of the signal. Each round computes the
slopes of all atoms for a group of signals. Where they show that a code is not optimal, some of the
steepest atoms become candidates, and the code becomes the minimum over its atoms and these (see
``_active_set.py``). A code that rounding leads astray is put back to what it was before the round,
and given up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklearn_iqt.dictionary._active_set import (
    Code,
    Gram,
    Scratch,
    dot,
    make_scratch,
    minimise,
    renew_inverse,
)
from sklearn_iqt.dictionary._compiling import (
    aligned_empty,
    aligned_zeros,
    compiled,
    compiled_entry,
    inlined,
    round_up,
)
from sklearn_iqt.dictionary._slopes import (
    GROUP,
    ROWS,
    STRETCH,
    count_steep,
    multiply,
    multiply_group,
    pad_columns,
)

__all__ = ["Problem", "Workspace", "lasso_rows", "make_problem", "make_workspace"]

MAX_ROUNDS = 200
# Atoms that may become candidates in the first round, and in each later one; up to WIDTH.
N_FIRST, N_LATER = 24, 16
# Steps of the search for the slope that lets just enough atoms become candidates.
N_BISECTIONS = 6
# The numbers in the inverses of a group of signals above which it is made smaller, down to ROWS
# signals, so that they stay in the cache.
ROOM = 2**21
# Rounds after which an inverse, which collects errors, is computed again; few signals take as many.
RENEWAL = 30
# By how much a round may raise an objective: what rounding may do, and far less than going astray.
WORSE = 1e-3
# What a round does to a code.
OPTIMAL, IMPROVED, ASTRAY = 0, 1, 2


class Problem(NamedTuple):
    """Atoms, as they are and as padded columns, their Gram, and the penalty.

    The slope of an atom in a code should be ``alpha``, and the slope of any other no larger. The
    tolerance is ``slack`` plus ``rounding`` times the norm of the signal. ``longest`` is the
    largest norm of an atom.
    """

    dictionary: Any
    columns: Any
    gram: Gram
    longest: float
    alpha: float
    slack: float
    rounding: float


class Group(NamedTuple):
    """Signals that are coded together.

    ``left`` lists the signals that need more rounds. Residuals and slopes are in its order, all
    other arrays in the order of the signals.
    """

    left: Any
    counts: Any
    slacks: Any
    objectives: Any
    atoms: Any
    weights: Any
    inverses: Any
    residuals: Any
    slopes: Any
    rest: Any
    code_slopes: Any
    atoms_before: Any
    weights_before: Any


class Workspace(NamedTuple):
    """Arrays for :func:`lasso_rows`, which keeps nothing in them from one call to the next."""

    group: Group
    scratch: Scratch


def make_problem(dictionary: np.ndarray, alpha: float, tol: float) -> Problem:
    """Return the problem of coding signals over a dictionary."""
    columns = pad_columns(dictionary)
    # Padded with atoms that are zero. It is a copy, too: numba would compile everything again for
    # an array that is read-only.
    padded = np.ascontiguousarray(columns[: dictionary.shape[1]].T)
    precise = padded.astype(np.float64)
    products = multiply(precise, pad_columns(precise), len(precise))
    norms = products.diagonal().copy()
    longest = float(np.sqrt(norms.max()))
    eps = float(np.finfo(dictionary.dtype).eps)
    return Problem(
        dictionary=padded,
        columns=columns,
        # The inverse holds the reciprocal of what is left, by which rounding is multiplied.
        gram=Gram(products, norms, singular=max(eps**0.8, 1e-8)),
        longest=longest,
        alpha=float(alpha),
        slack=float(tol * alpha),
        rounding=2 * eps * longest,
    )


def make_workspace(problem: Problem) -> Workspace:
    """Return room to compute the codes of any number of signals in."""
    dtype = problem.dictionary.dtype
    capacity = min(problem.dictionary.shape)
    # One more, as vectors are cleared up to where the next atom would be.
    places, (n_features, n_atoms) = round_up(capacity + 1), problem.columns.shape
    size = max(min(GROUP, ROOM // places**2) // ROWS, 1) * ROWS
    group = Group(
        left=np.empty(size, np.int64),
        counts=np.empty(size, np.int64),
        slacks=np.empty(size),
        objectives=np.empty(size),
        atoms=np.empty((size, capacity), np.int32),
        weights=aligned_zeros((size, places)),
        # Cleared as places are taken: few are.
        inverses=aligned_empty((size, places, places)),
        residuals=aligned_zeros((size, n_features), dtype),
        slopes=aligned_empty((size, n_atoms), dtype),
        rest=aligned_zeros((round_up(n_features),)),
        code_slopes=aligned_zeros((places,)),
        atoms_before=np.empty(capacity, np.int32),
        weights_before=np.empty(capacity),
    )
    return Workspace(group, make_scratch(places))


def lasso_rows(
    X: np.ndarray, problem: Problem, workspace: Workspace
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Return the atoms and weights of the codes of rows, how many, and whether all are optimal."""
    capacity = min(problem.dictionary.shape)
    atoms = np.empty(len(X) * capacity, np.int32)
    weights = np.empty(len(X) * capacity, X.dtype)
    counts = np.empty(len(X), np.int64)
    n_found, converged = _encode(
        X, problem, workspace.group, workspace.scratch, atoms, weights, counts
    )
    return atoms[:n_found], weights[:n_found], counts, converged


@inlined
def _take_out_slopes(code, n, slopes, alpha, slack):
    """Move the slopes of a code out of those of all atoms; return whether they are on target."""
    settled = True
    for m in range(n):
        code.slopes[m] = slopes[code.atoms[m]]
        slopes[code.atoms[m]] = 0
        settled &= abs(code.slopes[m] - np.copysign(alpha, code.weights[m])) <= slack
    return settled


@inlined
def _choose_candidates(scratch, slopes, threshold, bound, limit):
    """List atoms whose slope exceeds a threshold; where there are too many, only steep ones.

    No slope exceeds the bound. Return how many there are.
    """
    near, kind = scratch.near, slopes.dtype.type
    # numba would compile functions once more for a literal zero.
    n, n_steep = np.int64(0), count_steep(slopes, kind(threshold))
    if n_steep == 0:
        return n
    if n_steep > limit:
        for _ in range(N_BISECTIONS):
            middle = np.sqrt(threshold * bound)
            if count_steep(slopes, kind(middle)) >= limit:
                threshold = middle
            else:
                bound = middle
    least = kind(threshold)
    for start in range(0, len(slopes), STRETCH):
        stretch, k = slopes[start : start + STRETCH], 0
        n_steep = count_steep(stretch, least)
        while n_steep > 0 and n < limit:
            if not abs(stretch[k]) <= least:
                near[n], scratch.near_slopes[n] = start + k, stretch[k]
                n, n_steep = n + 1, n_steep - 1
            k += 1
    return n


@compiled
def _subtract_atoms(residual, rest, signal, code, n, problem):
    """Compute what a code leaves of a signal, in double precision; return the objective."""
    for f in range(len(signal)):
        rest[f] = signal[f]
    penalty = 0.0
    for m in range(n):
        weight, atom = code.weights[m], problem.dictionary[code.atoms[m]]
        penalty += problem.alpha * abs(weight)
        for f in range(len(signal)):
            rest[f] -= weight * atom[f]
    for f in range(len(signal)):
        residual[f] = rest[f]
    return penalty + dot(rest, rest, len(signal)) / 2


@inlined
def _undo(code, n, group, scratch):
    """Put a code back to before the round, and clear the numbers that may not be finite."""
    for m in range(n):
        code.atoms[m], code.weights[m] = group.atoms_before[m], group.weights_before[m]
    for m in range(len(scratch.step)):
        code.slopes[m] = scratch.step[m] = scratch.products[m] = 0
        scratch.solved[m] = scratch.vector[m] = 0
        if m >= n:
            code.weights[m] = 0


@inlined
def _improve(signal, position, n_next, n_rounds, problem, group, scratch):
    """Improve one code by a round, given all slopes, and compute what it leaves of the signal."""
    i, slopes = group.left[position], group.slopes[position]
    n, slack = group.counts[i], group.slacks[i]
    code = Code(group.atoms[i], group.weights[i], group.code_slopes, group.inverses[i])
    settled = _take_out_slopes(code, n, slopes, problem.alpha, slack)
    limit = N_LATER if n_rounds else N_FIRST
    bound = problem.longest * np.sqrt(2 * group.objectives[i])
    n_near = _choose_candidates(scratch, slopes, problem.alpha + slack, bound, limit)
    if settled and n_near == 0:
        return OPTIMAL
    if n_rounds % RENEWAL == RENEWAL - 1:
        renew_inverse(code, n, scratch, problem.gram)
    for m in range(n):
        group.atoms_before[m], group.weights_before[m] = code.atoms[m], code.weights[m]
    gram, alpha = problem.gram, problem.alpha
    n_now = minimise(code, n, settled, scratch, n_near, gram, alpha, slack)
    residual = group.residuals[n_next]
    objective = _subtract_atoms(residual, group.rest, signal, code, n_now, problem)
    if not objective <= group.objectives[i] * (1 + WORSE):
        _undo(code, n, group, scratch)
        return ASTRAY
    group.objectives[i], group.counts[i], group.left[n_next] = objective, n_now, i
    return IMPROVED


@inlined
def _start(X, problem, group, scratch):
    """Begin with empty codes; return whether no signal is too large to compute with."""
    finite = True
    for i in range(len(X)):
        code = Code(group.atoms[i], group.weights[i], group.code_slopes, group.inverses[i])
        group.left[i], group.counts[i] = i, 0
        residual, n = group.residuals[i], group.counts[i]
        objective = _subtract_atoms(residual, group.rest, X[i], code, n, problem)
        group.objectives[i] = objective
        group.slacks[i] = problem.slack + problem.rounding * np.sqrt(2 * objective)
        finite &= np.isfinite(group.slacks[i])
    return finite


@inlined
def _collect(i, group, atoms, weights, n_found):
    """Append a code to those found and clear it; return how many are found and if it is finite."""
    finite = True
    for m in range(group.counts[i]):
        weight = weights.dtype.type(group.weights[i, m])
        if not np.isfinite(weight):
            finite = False
        elif weight != 0:
            atoms[n_found], weights[n_found] = group.atoms[i, m], weight
            n_found += 1
        group.weights[i, m] = 0
    return n_found, finite


@compiled_entry
def _encode(X, problem, group, scratch, atoms, weights, counts):
    """Find all codes, a group at a time; return how many atoms, and whether all are optimal."""
    # As in the choice of candidates.
    zero: Any = np.int64(0)
    n_found, converged = zero, True
    for first in range(0, len(X), len(group.left)):
        signals = X[first : first + len(group.left)]
        converged &= _start(signals, problem, group, scratch)
        n_left = len(signals)
        for n_rounds in range(MAX_ROUNDS + 1):
            multiply_group(group.slopes, group.residuals, problem.columns, n_left)
            n_next = zero
            for position in range(n_left):
                signal = signals[group.left[position]]
                outcome = _improve(signal, position, n_next, n_rounds, problem, group, scratch)
                n_next += outcome == IMPROVED
                converged &= outcome != ASTRAY
            n_left = n_next
            if n_left == 0:
                break
        converged &= n_left == 0
        for i in range(len(signals)):
            n_before = n_found
            n_found, finite = _collect(i, group, atoms, weights, n_before)
            counts[first + i] = n_found - n_before
            converged &= finite
    return n_found, converged
