"""The batched lasso, compiled: an active set for each signal, and slopes of many signals at once.

The slope of an atom is its product with what a code leaves of the signal. Each round computes the
slopes of all atoms for a group of signals. Where they show that a code is not optimal, some of the
steepest atoms become candidates. They join the code one after the other, and its weights move to
the minimum for the signs that they have, or to where the first of them is used up: its atom leaves.

For the atoms in use, the inverse of their Gram is kept up to date. Each of them has a place. The
weight of a free place is zero, as are its row and column of the inverse, so that nothing need be
moved when an atom leaves. Weights, inverses and the Gram are in double precision and padded to
whole vectors. A code that rounding leads astray is put back to what it was before the round, and
given up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit as numba_njit

from sklearn_iqt.dictionary._lanes import (
    count_lanes,
    fill,
    gather,
    largest,
    load,
    lowest_bit,
    mask_of,
    maximum,
    minimum,
    n_lanes,
    smallest,
    store,
    total,
    where,
)
from sklearn_iqt.dictionary._slopes import GROUP, ROWS, compute_slopes

__all__ = ["lasso_rows"]

MAX_ROUNDS = 200
# Atoms that may become candidates in the first round, and in each later one: whole vectors.
N_FIRST, N_LATER = 24, 16
# Steps of the search for the slope that lets just enough atoms become candidates.
N_HALVINGS = 6
# The numbers in the inverses of a group of signals above which it is made smaller, down to ROWS
# signals, so that they stay in the cache.
ROOM = 2**21
# Rounds after which an inverse, which collects errors, is computed anew; few signals take as many.
RENEWAL = 30
# By how much a round may raise an objective: what rounding may do, and far less than going astray.
WORSE = 1e-3
# What is left of a weight that would change its sign by rounding. It is not zero, as the place of
# an atom in use may not be taken for a free one.
TINY = 1e-60
# Numbers of double precision in a vector.
LANES = n_lanes(np.empty(0))

# Only what Python calls needs a wrapper, which takes as long to compile as the function.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
# numba's types do not know all of its options.
njit: Any = numba_njit
compiled = njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Active(NamedTuple):
    """The atoms in use, by place, with their weights and slopes, and room to compute in."""

    atoms: Any
    code: Any
    slopes: Any
    inverse: Any
    step: Any
    scratch: Any
    products: Any
    solved: Any


class Candidates(NamedTuple):
    """Atoms that may join; ``gram[m]`` has their products with the atom at place m.

    ``line`` has those with the atom that joins.
    """

    atoms: Any
    slopes: Any
    gram: Any
    line: Any


@compiled
def _steepest(slopes):  # pragma: no cover  (compiled)
    steepest = fill(slopes.dtype.type(0))
    for k in range(0, len(slopes), n_lanes(slopes)):
        steepest = maximum(steepest, abs(load(slopes, k)))
    return largest(steepest)


@compiled
def _count_above(slopes, threshold):  # pragma: no cover  (compiled)
    count = 0
    for k in range(0, len(slopes), n_lanes(slopes)):
        count += count_lanes(abs(load(slopes, k)) > threshold)
    return count


@compiled
def _choose(candidates, limit, slopes, threshold):  # pragma: no cover  (compiled)
    """List the atoms whose slope exceeds a threshold, if there are too many only steep ones."""
    if _count_above(slopes, threshold) > limit:
        low, high = threshold, _steepest(slopes)
        for _ in range(N_HALVINGS):
            middle = (low + high) / 2
            if _count_above(slopes, middle) >= limit:
                low = middle
            else:
                high = middle
        threshold = low
    n = 0
    for k in range(0, len(slopes), n_lanes(slopes)):
        mask = mask_of(abs(load(slopes, k)) > threshold)
        while mask and n < limit:
            atom = k + lowest_bit(mask)
            candidates.atoms[n], candidates.slopes[n] = atom, slopes[atom]
            mask &= mask - 1
            n += 1
    # The last vector is filled with copies, which change as the first does.
    for k in range(n, (n + LANES - 1) // LANES * LANES):
        candidates.atoms[k], candidates.slopes[k] = candidates.atoms[0], candidates.slopes[0]
    return n


@compiled
def _find_steepest(slopes, n):  # pragma: no cover  (compiled)
    steepest = abs(load(slopes, 0))
    for k in range(LANES, n, LANES):
        steepest = maximum(steepest, abs(load(slopes, k)))
    height = largest(steepest)
    for k in range(0, n, LANES):
        mask = mask_of(abs(load(slopes, k)) >= height)
        if mask:
            return k + lowest_bit(mask)
    return 0


@compiled
def _multiply(product, inverse, vector, n):  # pragma: no cover  (compiled)
    for k in range(0, n, LANES):
        sums = vector[0] * load(inverse, 0, k)
        for m in range(1, n):
            sums += vector[m] * load(inverse, m, k)
        store(sums, product, k)


@compiled
def _dot(a, b, n):  # pragma: no cover  (compiled)
    products = load(a, 0) * load(b, 0)
    for k in range(LANES, n, LANES):
        products += load(a, k) * load(b, k)
    return total(products)


@compiled
def _add_outer(inverse, vector, scale, n):  # pragma: no cover  (compiled)
    """Add a multiple of the outer product of a vector with itself."""
    for k in range(0, n, LANES):
        part = scale * load(vector, k)
        for m in range(n):
            store(load(inverse, m, k) + vector[m] * part, inverse, m, k)


@compiled
def _free_place(code, n):  # pragma: no cover  (compiled)
    for place in range(n):
        if code[place] == 0:
            return place
    return n


@compiled
def _is_in_use(active, atom, n):  # pragma: no cover  (compiled)
    for m in range(n):  # noqa: SIM110 (numba compiles no generators)
        if active.atoms[m] == atom and active.code[m] != 0:
            return True
    return False


@compiled
def _open_places(inverse, n):  # pragma: no cover  (compiled)
    """Clear the next vector of places, which may hold what another signal has left."""
    for m in range(n + LANES):
        for k in range(0 if m >= n else n, n + LANES, LANES):
            store(fill(0.0), inverse, m, k)


@compiled
def _leave(active, place, n):  # pragma: no cover  (compiled)
    """Take an atom out of use."""
    inverse, row = active.inverse, active.scratch
    for k in range(0, n, LANES):
        store(load(inverse, place, k), row, k)
    _add_outer(inverse, row, -1 / row[place], n)
    for m in range(n):
        inverse[place, m] = inverse[m, place] = 0
    active.code[place] = 0


@compiled
def _reach(code, step, n, limit):  # pragma: no cover  (compiled)
    """Return how far a step can go, and the place of the weight that ends it, or -1."""
    nearest = fill(limit)
    for k in range(0, n, LANES):
        weight, move = load(code, k), load(step, k)
        nearest = where(weight * move < 0, minimum(nearest, -weight / move), nearest)
    reach = smallest(nearest)
    if reach < limit:
        for place in range(n):
            if code[place] * step[place] < 0 and -code[place] / step[place] <= reach:
                return reach, place
    return limit, -1


@compiled
def _take_step(active, reach, n, candidates, n_candidates):  # pragma: no cover  (compiled)
    """Change the weights; the slopes of the candidates follow."""
    for k in range(0, n, LANES):
        before = load(active.code, k)
        after = before + reach * load(active.step, k)
        crossed = (before != 0) & (before * after <= 0)
        store(where(crossed, np.copysign(TINY, before), after), active.code, k)
    for k in range(0, n_candidates, LANES):
        change = active.step[0] * load(candidates.gram, 0, k)
        for m in range(1, n):
            change += active.step[m] * load(candidates.gram, m, k)
        store(load(candidates.slopes, k) - reach * change, candidates.slopes, k)


@compiled
def _renew(active, n, gram, singular):  # pragma: no cover  (compiled)
    """Compute the inverse of the atoms in use anew, which many changes have made inexact."""
    products, solved = active.products, active.solved
    for k in range(0, n, LANES):
        _open_places(active.inverse, k)
    for place in range(n):
        if active.code[place] != 0:
            line = gram[active.atoms[place]]
            for m in range(n):
                joined = m < place and active.code[m] != 0
                products[m] = line[active.atoms[m]] if joined else 0
            _multiply(solved, active.inverse, products, n)
            norm = line[active.atoms[place]]
            pivot = max(norm - _dot(products, solved, n), singular * norm)
            solved[place] = -1
            _add_outer(active.inverse, solved, 1 / pivot, n)


@compiled
def _settle(active, n, candidates, n_candidates, alpha):  # pragma: no cover  (compiled)
    """Go to the minimum for the present signs; atoms whose weight is used up on the way leave."""
    excess, place = active.scratch, 0
    while place >= 0:
        for m in range(n):
            excess[m] = active.slopes[m] - np.copysign(alpha, active.code[m])
        _multiply(active.step, active.inverse, excess, n)
        reach, place = _reach(active.code, active.step, n, 1.0)
        for m in range(n):
            active.slopes[m] -= reach * excess[m]
        _take_step(active, reach, n, candidates, n_candidates)
        if place >= 0:
            _leave(active, place, n)


@compiled
def _solve(
    active, n, settled, candidates, n_candidates, gram, norms, alpha, slack, singular
):  # pragma: no cover  (compiled)
    """Minimise over the atoms in use and the candidates; return the number of places."""
    products, solved = active.products, active.solved
    for m in range(n):
        line = gram[active.atoms[m]]
        for k in range(0, n_candidates, LANES):
            store(gather(line, candidates.atoms, k), candidates.gram, m, k)
    if not settled:
        _settle(active, n, candidates, n_candidates, alpha)
    # Each lowers the objective. Atoms may come and go and come again, but few do.
    for _ in range(4 * n_candidates):
        best = _find_steepest(candidates.slopes, n_candidates)
        atom, slope = candidates.atoms[best], candidates.slopes[best]
        sign, excess = np.copysign(1.0, slope), abs(slope) - alpha
        if excess <= slack:
            break
        if _is_in_use(active, atom, n):
            # Its slope would be alpha but for rounding.
            candidates.slopes[best] = 0
            continue
        place = _free_place(active.code, n)
        if place == n and n % LANES == 0 and n < len(active.atoms):
            _open_places(active.inverse, n)
        n = min(max(n, place + 1), len(active.atoms))
        line = gram[atom]
        # Early, as the Gram is far away.
        for k in range(0, n_candidates, LANES):
            store(gather(line, candidates.atoms, k), candidates.line, k)
        for m in range(n):
            products[m] = candidates.gram[m, best]
        _multiply(solved, active.inverse, products, n)
        norm, weight = norms[atom], 0.0
        pivot = norm - _dot(products, solved, n)
        while place == len(active.atoms) or (place >= 0 and pivot <= singular * norm):
            # The atom takes over from those that it combines until one of them is used up.
            for k in range(0, n, LANES):
                store(-sign * load(solved, k), active.step, k)
            reach, place = _reach(active.code, active.step, n, np.inf)
            if place >= 0:
                weight += sign * reach
                _take_step(active, reach, n, candidates, 0)
                _leave(active, place, n)
                _multiply(solved, active.inverse, products, n)
                pivot = norm - _dot(products, solved, n)
        if place < 0:
            # Only rounding can say that this combination lowers the objective.
            candidates.slopes[best] = 0
            continue
        solved[place] = -1
        _add_outer(active.inverse, solved, 1 / pivot, n)
        active.atoms[place], active.slopes[place], active.code[place] = atom, slope, weight
        for k in range(0, n_candidates, LANES):
            store(load(candidates.line, k), candidates.gram, place, k)
        if weight == 0:
            length = sign * excess / pivot
            for k in range(0, n, LANES):
                store(-length * load(solved, k), active.step, k)
            reach, leaving = _reach(active.code, active.step, n, 1.0)
            active.slopes[place] -= reach * sign * excess
            _take_step(active, reach, n, candidates, n_candidates)
            if leaving < 0:
                continue
            _leave(active, leaving, n)
        _settle(active, n, candidates, n_candidates, alpha)
    return n


@compiled
def _subtract_atoms(residual, rest, signal, dictionary, atoms, code, n, alpha):
    # pragma: no cover  (compiled)
    """Compute what a code leaves of a signal, in double precision; return the objective."""
    for feature in range(len(signal)):
        rest[feature] = signal[feature]
    objective = 0.0
    for m in range(n):
        weight, atom = code[m], dictionary[atoms[m]]
        if weight != 0:
            objective += alpha * abs(weight)
            for feature in range(len(signal)):
                rest[feature] -= weight * atom[feature]
    for feature in range(len(signal)):
        residual[feature] = rest[feature]
    return objective + _dot(rest, rest, len(rest)) / 2


@compiled
def _forget(active, candidates):  # pragma: no cover  (compiled)
    """Clear all that a code led astray has left, which need not be finite."""
    for m in range(len(active.code)):
        active.code[m] = active.slopes[m] = active.step[m] = active.scratch[m] = 0
        active.products[m] = active.solved[m] = 0
        for k in range(len(candidates.slopes)):
            candidates.gram[m, k] = candidates.slopes[k] = 0


@compiled
def _look_up(own_slopes, atoms, code, n, slopes, alpha, slack):  # pragma: no cover  (compiled)
    """Take the slopes of the atoms in use out of all; return whether they are as they should be."""
    settled = True
    for m in range(n):
        if code[m] != 0:
            own_slopes[m] = slopes[atoms[m]]
            slopes[atoms[m]] = 0
            settled &= abs(own_slopes[m] - np.copysign(alpha, code[m])) <= slack
    return settled


@njit(**OPTIONS)
def lasso_rows(X, dictionary, gram, panels, alpha, tol):
    # pragma: no cover  (compiled)
    """Return the atoms and weights of the codes of rows, how many, and whether all are optimal.

    Panels hold the atoms again, as many as one is wide, feature by feature.
    """
    n_signals, n_features = X.shape
    capacity = min(dictionary.shape)
    padded = (capacity + LANES - 1) // LANES * LANES
    found_atoms = np.empty(n_signals * capacity, np.int32)
    found_codes = np.empty(n_signals * capacity, X.dtype)
    found_counts = np.zeros(n_signals, np.int64)
    n_found, converged = 0, True
    eps = np.finfo(X.dtype).eps
    # A pivot this small says that an atom is a combination of those in use. The inverse would hold
    # its reciprocal, by which the rounding of slopes is multiplied.
    singular = max(eps**0.8, 1e-8)
    norms = np.diag(gram).copy()
    longest = np.sqrt(norms.max())

    group = min(GROUP, ROOM // padded**2, n_signals + ROWS - 1)
    group = max(group // ROWS, 1) * ROWS
    signals, counts, slack = np.empty(group, np.int64), np.empty(group, np.int64), np.empty(group)
    residual = np.zeros((group, n_features), X.dtype)
    slopes = np.empty((group, len(dictionary)), X.dtype)
    atoms, codes = np.zeros((group, capacity), np.int32), np.zeros((group, padded))
    # Cleared as places are opened: few are, and in the cache.
    inverses = np.empty((group, padded, padded))
    limit = max(N_FIRST, N_LATER)
    candidates = Candidates(
        np.zeros(limit, np.int32), np.zeros(limit), np.zeros((padded, limit)), np.zeros(limit)
    )
    own_slopes, step, scratch = np.zeros(padded), np.zeros(padded), np.zeros(padded)
    products, solved = np.zeros(padded), np.zeros(padded)
    objectives, rest = np.empty(group), np.zeros(n_features + -n_features % LANES)
    atoms_before, code_before = np.zeros(capacity, np.int32), np.zeros(padded)

    for first in range(0, n_signals, group):
        n_group = n_left = min(group, n_signals - first)
        for i in range(n_group):
            signals[i], counts[i] = i, 0
            objectives[i] = _subtract_atoms(
                residual[i], rest, X[first + i], dictionary, atoms[i], codes[i], 0, alpha
            )
            # What rounding makes of a slope that is zero.
            slack[i] = tol * alpha + 2 * eps * np.sqrt(2 * objectives[i]) * longest
            converged &= np.isfinite(slack[i])
        for n_rounds in range(MAX_ROUNDS + 1):
            compute_slopes(slopes, residual, panels, n_left)
            limit = N_LATER if n_rounds else N_FIRST
            n_next = 0
            for position in range(n_left):
                i, row = signals[position], slopes[position]
                own, code = atoms[i], codes[i]
                settled = _look_up(own_slopes, own, code, counts[i], row, alpha, slack[i])
                n_candidates = _choose(candidates, limit, row, alpha + slack[i])
                if settled and n_candidates == 0:
                    continue
                active = Active(own, code, own_slopes, inverses[i], step, scratch, products, solved)
                n_before = counts[i]
                if n_rounds % RENEWAL == RENEWAL - 1:
                    _renew(active, n_before, gram, singular)
                for m in range(n_before):
                    atoms_before[m], code_before[m] = own[m], code[m]
                counts[i] = _solve(
                    active, n_before, settled, candidates, n_candidates, gram, norms, alpha,
                    slack[i], singular,
                )  # fmt: skip
                objective = _subtract_atoms(
                    residual[n_next], rest, X[first + i], dictionary, own, code, counts[i], alpha
                )
                if not objective <= objectives[i] * (1 + WORSE):
                    _forget(active, candidates)
                    for m in range(n_before):
                        own[m], code[m] = atoms_before[m], code_before[m]
                    counts[i] = n_before
                    converged = False
                    continue
                objectives[i] = objective
                signals[n_next] = i
                n_next += 1
            n_left = n_next
            if n_left == 0:
                break
        converged &= n_left == 0
        for i in range(n_group):
            n = counts[i]
            for m in range(n):
                weight = X.dtype.type(codes[i, m])
                converged &= np.isfinite(weight)
                if weight != 0 and np.isfinite(weight):
                    found_atoms[n_found], found_codes[n_found] = atoms[i, m], weight
                    found_counts[first + i] += 1
                    n_found += 1
                codes[i, m] = 0
    return found_atoms[:n_found], found_codes[:n_found], found_counts, converged
