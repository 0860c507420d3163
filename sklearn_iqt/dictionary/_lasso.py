"""The batched lasso, compiled: an active set for each signal, and slopes of many signals at once.

The slope of an atom is its product with what a code leaves of the signal. Each round computes the
slopes of all atoms for a group of signals. Where they show that a code is not optimal, some of the
steepest atoms become candidates. They join the code one after the other, and its weights move to
the minimum for the signs that they have, or to where the first of them is used up: its atom leaves.

The inverse of the Gram of the atoms in a code is kept up to date, in double precision, as weights
are. A code that rounding leads astray is put back to what it was before the round, and given up.

The ``n`` atoms of a code take the first ``n`` places of its arrays. Loops over places run on to a
multiple of ``WIDTH`` (see ``_compiling.py``). There the inverse is zero, and vectors are zero where
they are added to it and finite elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklearn_iqt.dictionary._compiling import (
    WIDTH,
    aligned_empty,
    aligned_zeros,
    compiled,
    compiled_entry,
    compiled_sum,
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
# Rounds after which an inverse, which collects errors, is computed anew; few signals take as many.
RENEWAL = 30
# By how much a round may raise an objective: what rounding may do, and far less than going astray.
WORSE = 1e-3
# What is left of a weight that would change its sign by rounding; zero would have no sign.
TINY = 1e-60
# What a round does to a code.
OPTIMAL, IMPROVED, ASTRAY = 0, 1, 2


class Problem(NamedTuple):
    """Atoms, as they are and as padded columns, their Gram and squared norms, and the penalty.

    A slope may miss its target by ``slack`` and by ``rounding`` times the norm of what is left of a
    signal. An atom is a combination of others if less than ``singular`` of its norm is left.
    """

    dictionary: Any
    columns: Any
    gram: Any
    norms: Any
    alpha: float
    slack: float
    rounding: float
    longest: float
    singular: float


class Group(NamedTuple):
    """Signals that are coded together.

    ``left`` lists those whose code is not yet optimal: residuals and slopes are in its order, all
    else in that of the signals.
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


class Scratch(NamedTuple):
    """Room to compute the code of one signal in.

    ``near`` lists the candidates. A row of ``near_gram`` has their products with an atom of the code,
    ``near_line`` those with an atom that joins.
    """

    slopes: Any
    step: Any
    products: Any
    solved: Any
    vector: Any
    rest: Any
    near: Any
    near_slopes: Any
    near_gram: Any
    near_line: Any
    atoms_before: Any
    weights_before: Any


class Code(NamedTuple):
    """The atoms of one code, their weights and slopes, and the inverse of their Gram."""

    atoms: Any
    weights: Any
    slopes: Any
    inverse: Any


class Workspace(NamedTuple):
    """What :func:`lasso_rows` computes in. It holds nothing from one call to the next."""

    group: Group
    scratch: Scratch


def make_problem(dictionary: np.ndarray, alpha: float, tol: float) -> Problem:
    """Return what signals over a dictionary have in common."""
    precise = dictionary.astype(np.float64)
    gram = multiply(precise, pad_columns(precise), len(precise))
    eps = float(np.finfo(dictionary.dtype).eps)
    longest = float(np.sqrt(gram.diagonal().max()))
    return Problem(
        dictionary,
        pad_columns(dictionary),
        gram,
        gram.diagonal().copy(),
        float(alpha),
        float(tol * alpha),
        2 * eps * longest,
        longest,
        # The inverse would hold its reciprocal, by which the rounding of slopes is multiplied.
        max(eps**0.8, 1e-8),
    )


def make_workspace(problem: Problem) -> Workspace:
    """Return room to compute the codes of any number of signals in."""
    dtype = problem.dictionary.dtype
    capacity = min(problem.dictionary.shape)
    places, (n_features, n_atoms) = round_up(capacity), problem.columns.shape
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
    )
    scratch = Scratch(
        slopes=aligned_zeros((places,)),
        step=aligned_zeros((places,)),
        products=aligned_zeros((places,)),
        solved=aligned_zeros((places,)),
        vector=aligned_zeros((places,)),
        rest=aligned_zeros((round_up(n_features),)),
        near=np.empty(WIDTH, np.int32),
        near_slopes=aligned_zeros((WIDTH,)),
        near_gram=aligned_zeros((places, WIDTH)),
        near_line=aligned_zeros((WIDTH,)),
        atoms_before=np.empty(capacity, np.int32),
        weights_before=np.empty(capacity),
    )
    return Workspace(group, scratch)


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


# Vectors and matrices ----------------------------------------------------------------------------


@compiled
def _padded(n):  # pragma: no cover  (compiled)
    return (n + WIDTH - 1) // WIDTH * WIDTH


@compiled_sum
def _dot(a, b, n):  # pragma: no cover  (compiled)
    total = 0.0
    for k in range(_padded(n)):
        total += a[k] * b[k]
    return total


@compiled_sum
def _multiply(result, rows, vector, n_rows, n):  # pragma: no cover  (compiled)
    width = _padded(n)
    for m in range(n_rows):
        row, total = rows[m], 0.0
        for k in range(width):
            total += row[k] * vector[k]
        result[m] = total


@compiled
def _add_outer(inverse, vector, scale, n):  # pragma: no cover  (compiled)
    """Add a multiple of the outer product of a vector with itself."""
    width = _padded(n)
    for m in range(n):
        row, factor = inverse[m], scale * vector[m]
        for k in range(width):
            row[k] += factor * vector[k]


@compiled
def _steepest(slopes, n):  # pragma: no cover  (compiled)
    best = 0
    for k in range(1, n):
        if abs(slopes[k]) > abs(slopes[best]):
            best = k
    return best


# The inverse of the Gram of the atoms of a code --------------------------------------------------


@compiled
def _solve_gram(code, n, scratch):  # pragma: no cover  (compiled)
    """Multiply products by the inverse; return what the combination takes off a squared norm."""
    solved = scratch.solved
    _multiply(solved, code.inverse, scratch.products, n, n)
    for k in range(n, _padded(n + 1)):
        solved[k] = 0
    return _dot(scratch.products, solved, n)


@compiled
def _extend_inverse(code, n, scratch, pivot):  # pragma: no cover  (compiled)
    """Add the row and the column of an atom, given what the others leave of its squared norm."""
    inverse, solved = code.inverse, scratch.solved
    if n % WIDTH == 0:
        for m in range(n):
            for k in range(n, n + WIDTH):
                inverse[m, k] = 0
    for k in range(_padded(n + 1)):
        inverse[n, k] = 0
    solved[n] = -1
    _add_outer(inverse, solved, 1 / pivot, n + 1)


@compiled
def _shrink_inverse(code, n, scratch, place):  # pragma: no cover  (compiled)
    """Remove the row and the column at a place; the last ones come there."""
    inverse, row, last = code.inverse, scratch.vector, n - 1
    for k in range(_padded(n)):
        row[k] = inverse[place, k]
    _add_outer(inverse, row, -1 / row[place], n)
    inverse[place, place] = inverse[last, last]
    for k in range(last):
        if k != place:
            inverse[place, k] = inverse[k, place] = inverse[last, k]
    for k in range(n):
        inverse[k, last] = 0


@inlined
def _renew_inverse(code, n, scratch, problem):  # pragma: no cover  (compiled)
    """Compute the inverse anew, which many changes have made inexact."""
    for m in range(n):
        line = problem.gram[code.atoms[m]]
        for k in range(n):
            scratch.products[k] = line[code.atoms[k]] if k < m else 0
        norm = line[code.atoms[m]]
        pivot = norm - _solve_gram(code, m, scratch)
        _extend_inverse(code, m, scratch, max(pivot, problem.singular * norm))


# Rounds ------------------------------------------------------------------------------------------


@inlined
def _choose_candidates(scratch, slopes, threshold, bound, limit):  # pragma: no cover  (compiled)
    """List atoms whose slope exceeds a threshold; where there are too many, only steep ones.

    No slope exceeds the bound. Return how many there are.
    """
    near, kind = scratch.near, slopes.dtype.type
    n_steep = count_steep(slopes, kind(threshold))
    if n_steep == 0:
        return 0
    if n_steep > limit:
        for _ in range(N_BISECTIONS):
            middle = np.sqrt(threshold * bound)
            if count_steep(slopes, kind(middle)) >= limit:
                threshold = middle
            else:
                bound = middle
    n, least = 0, kind(threshold)
    for start in range(0, len(slopes), STRETCH):
        stretch, k = slopes[start : start + STRETCH], 0
        n_steep = count_steep(stretch, least)
        while n_steep > 0 and n < limit:
            if not abs(stretch[k]) <= least:
                near[n], scratch.near_slopes[n] = start + k, stretch[k]
                n, n_steep = n + 1, n_steep - 1
            k += 1
    return n


@inlined
def _take_out_slopes(code, n, slopes, alpha, slack):  # pragma: no cover  (compiled)
    """Move the slopes of a code out of those of all atoms; return whether they are on target."""
    settled = True
    for m in range(n):
        code.slopes[m] = slopes[code.atoms[m]]
        slopes[code.atoms[m]] = 0
        settled &= abs(code.slopes[m] - np.copysign(alpha, code.weights[m])) <= slack
    return settled


@compiled
def _find_end(code, n, scratch, limit):  # pragma: no cover  (compiled)
    """Return how far the step can go, and the place whose weight is used up there, or -1."""
    leaving = -1
    for m in range(n):
        weight, move = code.weights[m], scratch.step[m]
        if weight * (weight + limit * move) < 0:
            limit, leaving = -weight / move, m
    return limit, leaving


@compiled
def _take_step(code, n, scratch, length):  # pragma: no cover  (compiled)
    for m in range(_padded(n)):
        before = code.weights[m]
        after = before + length * scratch.step[m]
        code.weights[m] = np.copysign(TINY, before) if before * after < 0 else after


@compiled
def _follow_step(n, scratch, length):  # pragma: no cover  (compiled)
    """Change the slopes of the candidates as a step does; four atoms at a time are faster."""
    slopes, step = scratch.near_slopes, scratch.step
    width = len(slopes) // WIDTH * WIDTH
    for m in range(0, n, 4):
        a, b = scratch.near_gram[m], scratch.near_gram[m + 1]
        c, d = scratch.near_gram[m + 2], scratch.near_gram[m + 3]
        p, q, r, s = step[m], step[m + 1], step[m + 2], step[m + 3]
        for k in range(width):
            slopes[k] -= length * (p * a[k] + q * b[k] + r * c[k] + s * d[k])


@compiled
def _leave(code, n, scratch, place):  # pragma: no cover  (compiled)
    """Take an atom out of a code; the last one gets its place. Return how many are left."""
    _shrink_inverse(code, n, scratch, place)
    last = n - 1
    code.atoms[place], code.weights[place] = code.atoms[last], code.weights[last]
    code.slopes[place], scratch.products[place] = code.slopes[last], scratch.products[last]
    row, moved = scratch.near_gram[place], scratch.near_gram[last]
    for k in range(len(row) // WIDTH * WIDTH):
        row[k] = moved[k]
    return last


@compiled
def _settle(code, n, scratch, n_near, alpha):  # pragma: no cover  (compiled)
    """Go to the minimum for the present signs; atoms whose weight is used up on the way leave.

    Return how many are left.
    """
    excess, step, leaving = scratch.solved, scratch.step, 0
    while leaving >= 0:
        for m in range(_padded(n)):
            excess[m] = code.slopes[m] - np.copysign(alpha, code.weights[m])
        _multiply(step, code.inverse, excess, n, n)
        for k in range(n, _padded(n)):
            step[k] = 0
        length, leaving = _find_end(code, n, scratch, 1.0)
        for m in range(_padded(n)):
            code.slopes[m] -= length * excess[m]
        _take_step(code, n, scratch, length)
        _follow_step(n, scratch, length)
        if leaving >= 0:
            n = _leave(code, n, scratch, leaving)
    return n


@inlined
def _take_over(code, n, scratch, sign):  # pragma: no cover  (compiled)
    """Let a candidate take over from the atoms that it combines until one of them leaves.

    Return its weight, and how many are left.
    """
    for m in range(_padded(n)):
        scratch.step[m] = -sign * scratch.solved[m]
    length, leaving = _find_end(code, n, scratch, np.inf)
    if leaving < 0:
        return 0.0, n
    _take_step(code, n, scratch, length)
    return sign * length, _leave(code, n, scratch, leaving)


@compiled
def _join(code, n, scratch, n_near, candidate, problem):  # pragma: no cover  (compiled)
    """Let a candidate join a code; return how many atoms that has then."""
    products, solved, step, alpha = scratch.products, scratch.solved, scratch.step, problem.alpha
    atom, slope = scratch.near[candidate], scratch.near_slopes[candidate]
    norm, sign, excess, weight = problem.norms[atom], np.sign(slope), abs(slope) - alpha, 0.0
    # Early, as the Gram is far away.
    for k in range(n_near):
        scratch.near_line[k] = problem.gram[atom, scratch.near[k]]
    for m in range(n):
        products[m] = scratch.near_gram[m, candidate]
    pivot = norm - _solve_gram(code, n, scratch)
    while n == len(code.atoms) or pivot <= problem.singular * norm:
        taken, n_left = _take_over(code, n, scratch, sign)
        if n_left == n:
            # Only rounding can say that this combination lowers the objective.
            scratch.near_slopes[candidate] = 0
            return n
        weight, n = weight + taken, n_left
        pivot = norm - _solve_gram(code, n, scratch)
    _extend_inverse(code, n, scratch, pivot)
    code.atoms[n], code.slopes[n], code.weights[n] = atom, slope, weight
    for k in range(n_near):
        scratch.near_gram[n, k] = scratch.near_line[k]
    n += 1
    if weight == 0:
        # The others are on target, so that the new column of the inverse is the direction.
        for m in range(_padded(n)):
            step[m] = -sign * excess / pivot * solved[m]
        length, leaving = _find_end(code, n, scratch, 1.0)
        code.slopes[n - 1] -= length * sign * excess
        _take_step(code, n, scratch, length)
        _follow_step(n, scratch, length)
        if leaving < 0:
            return n
        n = _leave(code, n, scratch, leaving)
    return _settle(code, n, scratch, n_near, alpha)


@inlined
def _minimise(code, n, settled, scratch, n_near, slack, problem):  # pragma: no cover  (compiled)
    """Minimise over the atoms of a code and the candidates; return how many are in the code."""
    for m in range(n):
        line = problem.gram[code.atoms[m]]
        for k in range(n_near):
            scratch.near_gram[m, k] = line[scratch.near[k]]
    if not settled:
        n = _settle(code, n, scratch, n_near, problem.alpha)
    # Each lowers the objective. Atoms may come and go and come again, but few do.
    for _ in range(4 * n_near):
        best = _steepest(scratch.near_slopes, n_near)
        if abs(scratch.near_slopes[best]) - problem.alpha <= slack:
            break
        in_use = False
        for m in range(n):
            in_use |= code.atoms[m] == scratch.near[best]
        if in_use:
            # Its slope would be alpha but for rounding.
            scratch.near_slopes[best] = 0
        else:
            n = _join(code, n, scratch, n_near, best, problem)
    return n


@compiled
def _subtract_atoms(residual, rest, signal, code, n, problem):  # pragma: no cover  (compiled)
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
    return penalty + _dot(rest, rest, len(signal)) / 2


@inlined
def _undo(code, n, scratch):  # pragma: no cover  (compiled)
    """Put a code back to before the round, and clear what need not be finite."""
    for m in range(n):
        code.atoms[m], code.weights[m] = scratch.atoms_before[m], scratch.weights_before[m]
    for m in range(len(scratch.step)):
        scratch.slopes[m] = scratch.step[m] = scratch.products[m] = 0
        scratch.solved[m] = scratch.vector[m] = 0
        if m >= n:
            code.weights[m] = 0


@inlined
def _improve(signal, position, n_next, n_rounds, problem, group, scratch):
    # pragma: no cover  (compiled)
    """Improve one code by a round, given all slopes, and compute what it leaves of the signal."""
    i, slopes = group.left[position], group.slopes[position]
    n, slack = group.counts[i], group.slacks[i]
    code = Code(group.atoms[i], group.weights[i], scratch.slopes, group.inverses[i])
    settled = _take_out_slopes(code, n, slopes, problem.alpha, slack)
    limit = N_LATER if n_rounds else N_FIRST
    bound = problem.longest * np.sqrt(2 * group.objectives[i])
    n_near = _choose_candidates(scratch, slopes, problem.alpha + slack, bound, limit)
    if settled and n_near == 0:
        return OPTIMAL
    if n_rounds % RENEWAL == RENEWAL - 1:
        _renew_inverse(code, n, scratch, problem)
    for m in range(n):
        scratch.atoms_before[m], scratch.weights_before[m] = code.atoms[m], code.weights[m]
    n_now = _minimise(code, n, settled, scratch, n_near, slack, problem)
    residual = group.residuals[n_next]
    objective = _subtract_atoms(residual, scratch.rest, signal, code, n_now, problem)
    if not objective <= group.objectives[i] * (1 + WORSE):
        _undo(code, n, scratch)
        return ASTRAY
    group.objectives[i], group.counts[i], group.left[n_next] = objective, n_now, i
    return IMPROVED


@inlined
def _start(X, problem, group, scratch):  # pragma: no cover  (compiled)
    """Begin with empty codes; return whether no signal is too large to compute with."""
    finite = True
    for i in range(len(X)):
        code = Code(group.atoms[i], group.weights[i], scratch.slopes, group.inverses[i])
        group.left[i], group.counts[i] = i, 0
        residual, n = group.residuals[i], group.counts[i]
        objective = _subtract_atoms(residual, scratch.rest, X[i], code, n, problem)
        group.objectives[i] = objective
        group.slacks[i] = problem.slack + problem.rounding * np.sqrt(2 * objective)
        finite &= np.isfinite(group.slacks[i])
    return finite


@inlined
def _collect(i, group, atoms, weights, n_found):  # pragma: no cover  (compiled)
    """Append a code to those found and clear it; return how many atoms it has."""
    n = 0
    for m in range(group.counts[i]):
        weight = weights.dtype.type(group.weights[i, m])
        if weight != 0 and np.isfinite(weight):
            atoms[n_found + n], weights[n_found + n] = group.atoms[i, m], weight
            n += 1
        group.weights[i, m] = 0
    return n


@compiled_entry
def _encode(X, problem, group, scratch, atoms, weights, counts):  # pragma: no cover  (compiled)
    """Find all codes, a group at a time; return how many atoms, and whether all are optimal."""
    n_found, converged = np.int64(0), True
    for first in range(0, len(X), len(group.left)):
        signals = X[first : first + len(group.left)]
        converged &= _start(signals, problem, group, scratch)
        n_left = len(signals)
        for n_rounds in range(MAX_ROUNDS + 1):
            multiply_group(group.slopes, group.residuals, problem.columns, n_left)
            n_next = np.int64(0)
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
            counts[first + i] = _collect(i, group, atoms, weights, n_found)
            n_found += counts[first + i]
    return n_found, converged
