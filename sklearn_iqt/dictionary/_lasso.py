"""Compiled parts of the batched lasso: one working set per signal, ``LANES`` signals at once.

In arrays whose last axis is ``LANES`` long, each lane belongs to one signal, and the other axes
count the atoms of its working set. Lanes whose working set is narrower than that of their
neighbours are filled up with atoms orthogonal to all others, whose weights stay zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sklearn_iqt.dictionary._lanes import (
    LANES,
    any_lane,
    fill,
    load,
    maximum,
    minimum,
    store,
    where,
)

__all__ = ["solve_sets", "update_sets"]

# Each time that a working set is solved: passes, and sweeps in each before its Newton steps.
N_PASSES, N_SWEEPS = 2, 12
# Trades of atoms that lower the penalty by less than this fraction are not made.
WORTH = 1e-5
FAR = 1e30
# Steps of the search for the threshold that lets just enough atoms join.
N_HALVINGS = 8
# Atoms that are passed over together when none of them joins.
STRETCH = 64


@njit(cache=True, nogil=True)
def _count_above(slopes, threshold):  # pragma: no cover  (compiled)
    count = np.int32(0)
    for atom in range(len(slopes)):
        count += np.int32(abs(slopes[atom]) > threshold)
    return count


@njit(cache=True, nogil=True)
def _join(atoms, n, slopes, threshold, limit):  # pragma: no cover  (compiled)
    """Let atoms whose slope exceeds a threshold join a working set, the steepest if too many."""
    if _count_above(slopes, threshold) > limit:
        low, high = threshold, threshold
        for atom in range(len(slopes)):
            high = max(high, abs(slopes[atom]))
        for _ in range(N_HALVINGS):
            middle = (low + high) / 2
            if _count_above(slopes, middle) >= limit:
                low = middle
            else:
                high = middle
        threshold = low
    full = n + limit
    for start in range(0, len(slopes), STRETCH):
        stretch = slopes[start : start + STRETCH]
        if _count_above(stretch, threshold) > 0:
            for place in range(len(stretch)):
                if abs(stretch[place]) > threshold and n < full:
                    atoms[n] = start + place
                    n += 1
    return n


@njit(cache=True, nogil=True)
def update_sets(slopes, signals, atoms, codes, inner_slopes, counts, alpha, slack, limit, settled):
    # pragma: no cover  (compiled)
    """Check the conditions of optimality, drop idle atoms and let the worst violators join.

    ``slopes`` has a row for each of the signals listed, and is used up.
    """
    for position in range(len(signals)):
        signal, row = signals[position], slopes[position]
        own, code, inner = atoms[signal], codes[signal], inner_slopes[signal]
        allowed = alpha + slack[signal]
        good = True
        kept = 0
        for m in range(counts[signal]):
            atom, weight = own[m], code[m]
            slope = row[atom]
            row[atom] = 0
            if weight == 0 and abs(slope) <= allowed:
                continue
            good &= weight != 0 and abs(slope - np.copysign(alpha, weight)) <= slack[signal]
            own[kept], code[kept], inner[kept] = atom, weight, slope
            kept += 1
        n = _join(own, kept, row, allowed, min(limit, len(own) - kept))
        for m in range(kept, n):
            code[m], inner[m] = 0, row[own[m]]
        counts[signal] = n
        settled[position] = good and n == kept


@njit(cache=True, nogil=True)
def _load_lane(small, code, slope, lane, width, gram, atoms, own_code, own_slope, n):
    # pragma: no cover  (compiled)
    for row in range(n):
        line = gram[atoms[row]]
        for column in range(row + 1):
            small[row, column, lane] = line[atoms[column]]
        code[row, lane], slope[row, lane] = own_code[row], own_slope[row]
    for row in range(n, width):
        for column in range(row):
            small[row, column, lane] = 0
        small[row, row, lane] = 1
        code[row, lane] = slope[row, lane] = 0


@njit(cache=True, nogil=True)
def _mirror(small, width):  # pragma: no cover  (compiled)
    for row in range(width):
        for column in range(row):
            store(load(small, row, column), small, column, row)


@njit(cache=True, nogil=True)
def _change(slope, small, m, step, width):  # pragma: no cover  (compiled)
    """Update slopes for a step of one weight."""
    for other in range(width):
        store(load(slope, other) - step * load(small, m, other), slope, other)


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(code, slope, small, alpha, width):  # pragma: no cover  (compiled)
    """Minimise over one weight after the other; slopes are kept up to date."""
    for m in range(width):
        old, curvature = load(code, m), load(small, m, m)
        wanted = load(slope, m) + curvature * old
        new = (maximum(wanted - alpha, 0) + minimum(wanted + alpha, 0)) / curvature
        if any_lane(new != old):
            store(new, code, m)
            _change(slope, small, m, new - old, width)


@njit(cache=True, nogil=True, error_model="numpy")
def _factor(factor, inverse, small, code, width):  # pragma: no cover  (compiled)
    """Cholesky-factor the Gram of the atoms in use, four rows at a time.

    Row ``width`` of ``small`` is a right-hand side, that of ``factor`` becomes its forward
    substitution. Atoms that are not in use, or are combinations of others, get an inverse pivot
    of zero, which leaves them out.
    """
    # A pivot this small says that an atom is a combination of those before it.
    singular = np.finfo(factor.dtype).eps ** 0.8
    for column in range(width):
        for row in range(column, width + 1, 4):
            a, b = load(small, row, column), load(small, row + 1, column)
            c, d = load(small, row + 2, column), load(small, row + 3, column)
            for m in range(column):
                other = load(factor, column, m)
                a -= load(factor, row, m) * other
                b -= load(factor, row + 1, m) * other
                c -= load(factor, row + 2, m) * other
                d -= load(factor, row + 3, m) * other
            if row == column:
                least = singular * load(small, column, column)
                usable = (load(code, column) != 0) & (a > least)
                store(where(usable, 1 / np.sqrt(maximum(a, least)), 0), inverse, column)
            scale = load(inverse, column)
            store(a * scale, factor, row, column)
            store(b * scale, factor, row + 1, column)
            store(c * scale, factor, row + 2, column)
            store(d * scale, factor, row + 3, column)


@njit(cache=True, nogil=True)
def _trade(step, last, lane, alpha, small, factor, inverse, width):
    # pragma: no cover  (compiled)
    """Trade an atom that is a combination of those before it for them, if that pays.

    The fit stays as it is. Return whether the step was set to the way that lowers the penalty.
    """
    way = np.zeros(last + 1)
    way[last] = 1
    gain = np.float64(small[width, last, lane])
    for row in range(last - 1, -1, -1):
        way[row] = (way[row] - factor[last, row, lane]) * inverse[row, lane]
        gain += way[row] * small[width, row, lane]
        for m in range(row):
            way[m] -= factor[row, m, lane] * way[row]
    if abs(gain) <= WORTH * alpha:
        return False
    for m in range(width):
        step[m, lane] = np.copysign(1.0, gain) * way[m] if m <= last else 0.0
    return True


@njit(cache=True, nogil=True)
def _direction(step, longest, code, alpha, small, factor, inverse, width):
    # pragma: no cover  (compiled)
    """Find the Newton step on independent atoms, or a trade of one that depends on others."""
    _factor(factor, inverse, small, code, width)
    for m in range(width):
        store(load(factor, width, m), step, m)
    for row in range(width - 1, -1, -1):
        solved = load(step, row) * load(inverse, row)
        store(solved, step, row)
        for m in range(row):
            store(load(step, m) - load(factor, row, m) * solved, step, m)
    for lane in range(LANES):
        longest[lane] = 1
        for m in range(width):
            if (
                code[m, lane] != 0
                and inverse[m, lane] == 0
                and _trade(step, m, lane, alpha, small, factor, inverse, width)
            ):
                longest[lane] = FAR
                break


@njit(cache=True, nogil=True, error_model="numpy")
def _newton(code, slope, small, alpha, width, factor, inverse, step, ahead, longest):
    # pragma: no cover  (compiled)
    """Go to the minimum for the present signs, or as far as no weight changes its sign.

    Return whether a weight was used up on the way in any lane.
    """
    nothing = fill(code.dtype.type(0))
    for m in range(width):
        weight = load(code, m)
        descent = load(slope, m) - np.copysign(alpha, weight)
        store(where(weight != 0, descent, 0), small, width, m)
    _direction(step, longest, code, alpha, small, factor, inverse, width)
    reach = load(longest)
    gain, curvature = nothing, nothing
    for m in range(width):
        store(load(slope, m), ahead, m)
    for m in range(width):
        weight, move = load(code, m), load(step, m)
        reach = where(weight * move < 0, minimum(reach, -weight / move), reach)
        if any_lane(move != 0):
            _change(ahead, small, m, move, width)
    for m in range(width):
        move = load(step, m)
        gain += move * load(small, width, m)
        curvature += move * (load(slope, m) - load(ahead, m))
    length = where(gain < reach * curvature, gain / curvature, reach)
    length = where(length < FAR, maximum(length, 0), 0)
    cut_short = False
    for m in range(width):
        weight, move, before = load(code, m), load(step, m), load(slope, m)
        used_up = (weight * move < 0) & (-weight / move <= length)
        cut_short |= any_lane(used_up)
        store(where(used_up, 0, weight + length * move), code, m)
        store(before + length * (load(ahead, m) - before), slope, m)
    return cut_short


@njit(cache=True, nogil=True)
def _subtract_atoms(residual, total, signal, dictionary, atoms, code, n):
    # pragma: no cover  (compiled)
    """Compute what a code leaves of a signal, summed in double precision."""
    for feature in range(len(signal)):
        total[feature] = signal[feature]
    for m in range(n):
        weight, atom = np.float64(code[m]), dictionary[atoms[m]]
        for feature in range(len(signal)):
            total[feature] -= weight * atom[feature]
    for feature in range(len(signal)):
        residual[feature] = total[feature]


@njit(cache=True, nogil=True)
def solve_sets(
    X, dictionary, gram, alpha, signals, atoms, codes, inner_slopes, counts, residual, n_steps
):
    # pragma: no cover  (compiled)
    """Improve the codes of signals, sorted by the size of their working sets.

    Row ``i`` of ``residual`` becomes what is left of the i-th of the signals listed.
    """
    room = counts[signals[-1]]
    kind = X.dtype
    small = np.zeros((room + 4, room, LANES), kind)
    factor = np.zeros((room + 4, room, LANES), kind)
    code, slope = np.zeros((room, LANES), kind), np.zeros((room, LANES), kind)
    step, ahead = np.zeros((room, LANES), kind), np.zeros((room, LANES), kind)
    inverse, longest = np.zeros((room, LANES), kind), np.zeros(LANES, kind)
    total = np.empty(X.shape[1])
    last = len(signals) - 1
    for start in range(0, len(signals), LANES):
        width = counts[signals[min(start + LANES - 1, last)]]
        for lane in range(LANES):
            signal = signals[min(start + lane, last)]
            own, n = atoms[signal], counts[signal]
            inner = inner_slopes[signal]
            _load_lane(small, code, slope, lane, width, gram, own, codes[signal], inner, n)
        _mirror(small, width)
        for _ in range(N_PASSES):
            for _ in range(N_SWEEPS):
                _sweep(code, slope, small, alpha, width)
            for _ in range(n_steps):
                if not _newton(
                    code, slope, small, alpha, width, factor, inverse, step, ahead, longest
                ):
                    break
        for position in range(start, min(start + LANES, last + 1)):
            signal = signals[position]
            own, own_code, n = atoms[signal], codes[signal], counts[signal]
            for m in range(n):
                own_code[m] = code[m, position - start]
            _subtract_atoms(residual[position], total, X[signal], dictionary, own, own_code, n)
