"""Compiled parts of the batched lasso: one working set per signal, ``LANES`` signals at once.

In arrays whose last axis is ``LANES`` long, each lane belongs to one signal, and the other axes
count the atoms of its working set. Lanes whose working set is narrower than that of their
neighbours are filled up with atoms orthogonal to all others, whose weights stay zero. Symmetric and
triangular matrices hold the rows of their lower triangle, one after the other.
"""

from __future__ import annotations

from collections import namedtuple

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

__all__ = ["KEPT", "solve_sets", "triangle", "update_sets"]

# The Gram of working sets up to this size is kept between rounds, that of larger ones read anew.
KEPT = 128
# Sweeps before a Newton step, and most steps in a round. At first these are bold: all weights that
# would cross zero become zero; careful ones stop where the first does.
N_SWEEPS, N_STEPS = 4, 12
# Trades of atoms that lower the penalty by less than this fraction are not made.
WORTH = 1e-5
FAR = 1e30
# Steps of the search for the threshold that lets just enough atoms join.
N_HALVINGS = 6

# What the solver knows of the signals in its lanes. Vectors: their weights, slopes, Newton steps,
# slopes after them, and inverse pivots; numbers: the length of steps, the violation that is
# allowed, and whether a signal is swept, stepped carefully, and done with.
Group = namedtuple(
    "Group",
    "gram factor code slope step ahead inverse length allowed sweeping careful done",
)


@njit(cache=True, nogil=True)
def triangle(row):  # pragma: no cover  (compiled)
    """Return where a row of a lower triangle starts."""
    return row * (row + 1) // 2


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
        low, high = threshold, 2 * threshold
        while _count_above(slopes, high) > limit:
            low, high = high, 2 * high
        for _ in range(N_HALVINGS):
            middle = (low + high) / 2
            if _count_above(slopes, middle) >= limit:
                low = middle
            else:
                high = middle
        threshold = low
    full = n + limit
    vectors = slopes.reshape(-1, LANES)
    for k in range(len(vectors)):
        if any_lane(abs(load(vectors, k)) > threshold):
            for lane in range(LANES):
                if abs(vectors[k, lane]) > threshold and n < full:
                    atoms[n] = k * LANES + lane
                    n += 1
    return n


@njit(cache=True, nogil=True)
def _extend_gram(own_gram, gram, atoms, places, kept, n):  # pragma: no cover  (compiled)
    """Move the rows of atoms that stay from their old places, and read those of new ones."""
    for row in range(kept):
        if places[row] != row:
            here, there = triangle(row), triangle(places[row])
            for column in range(row + 1):
                own_gram[here + column] = own_gram[there + places[column]]
    for row in range(kept, n):
        here, line = triangle(row), gram[atoms[row]]
        for column in range(row + 1):
            own_gram[here + column] = line[atoms[column]]


@njit(cache=True, nogil=True)
def update_sets(
    slopes, signals, gram, grams, atoms, codes, inner_slopes, counts, alpha, slack, limit, settled
):
    # pragma: no cover  (compiled)
    """Check the conditions of optimality, drop idle atoms and let the worst violators join.

    ``slopes`` has a row for each of the signals listed, and is used up.
    """
    places = np.empty(atoms.shape[1], np.int64)
    for position in range(len(signals)):
        signal, row = signals[position], slopes[position]
        own, code, inner = atoms[signal], codes[signal], inner_slopes[signal]
        allowed = alpha + slack[signal]
        good = True
        before, kept = counts[signal], 0
        for m in range(before):
            atom, weight = own[m], code[m]
            slope = row[atom]
            row[atom] = 0
            if weight == 0 and abs(slope) <= allowed:
                continue
            good &= weight != 0 and abs(slope - np.copysign(alpha, weight)) <= slack[signal]
            own[kept], code[kept], inner[kept] = atom, weight, slope
            places[kept] = m
            kept += 1
        n = _join(own, kept, row, allowed, min(limit, len(own) - kept))
        for m in range(kept, n):
            code[m], inner[m] = 0, row[own[m]]
        counts[signal] = n
        settled[position] = good and n == kept
        if not settled[position] and n <= KEPT:
            known = kept if before <= KEPT else 0
            _extend_gram(grams[signal], gram, own, places, known, n)


@njit(cache=True, nogil=True)
def _load_lane(group, lane, width, own_gram, gram, atoms, own_code, own_slope, n):
    # pragma: no cover  (compiled)
    small, code, slope = group.gram, group.code, group.slope
    if n <= KEPT:
        for place in range(triangle(n)):
            small[place, lane] = own_gram[place]
    else:
        for row in range(n):
            here, line = triangle(row), gram[atoms[row]]
            for column in range(row + 1):
                small[here + column, lane] = line[atoms[column]]
    for m in range(n):
        code[m, lane], slope[m, lane] = own_code[m], own_slope[m]
    for row in range(n, width):
        here = triangle(row)
        small[here : here + row, lane] = 0
        small[here + row, lane] = 1
        code[row, lane] = slope[row, lane] = 0


@njit(cache=True, nogil=True)
def _change(slope, gram, m, step, next_step, width):  # pragma: no cover  (compiled)
    """Update slopes for steps of weight ``m`` and the next."""
    here, below = triangle(m), triangle(m + 1)
    for other in range(m + 1):
        first, second = load(gram, here + other), load(gram, below + other)
        store(load(slope, other) - step * first - next_step * second, slope, other)
    place = below + m
    for other in range(m + 1, width):
        first, second = load(gram, place), load(gram, place + 1)
        store(load(slope, other) - step * first - next_step * second, slope, other)
        place += other + 1


@njit(cache=True, nogil=True)
def _shrink(slope, alpha):  # pragma: no cover  (compiled)
    return maximum(slope - alpha, 0) + minimum(slope + alpha, 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(group, alpha, width):  # pragma: no cover  (compiled)
    """Minimise over one weight after the other; slopes are kept up to date."""
    gram, code, slope = group.gram, group.code, group.slope
    chosen = load(group.sweeping) != 0
    for m in range(0, width, 2):
        corner = triangle(m + 1) + m
        old, curvature = load(code, m), load(gram, triangle(m) + m)
        best = _shrink(load(slope, m) + curvature * old, alpha) / curvature
        step = where(chosen, best - old, 0)
        next_old, curvature = load(code, m + 1), load(gram, corner + 1)
        next_slope = load(slope, m + 1) - step * load(gram, corner)
        next_best = _shrink(next_slope + curvature * next_old, alpha) / curvature
        next_step = where(chosen, next_best - next_old, 0)
        if any_lane((step != 0) | (next_step != 0)):
            store(where(chosen, best, old), code, m)
            store(where(chosen, next_best, next_old), code, m + 1)
            _change(slope, gram, m, step, next_step, width)


@njit(cache=True, nogil=True, error_model="numpy")
def _inverse_pivot(pivot, code, least):  # pragma: no cover  (compiled)
    """Return zero for atoms that are not in use, or are combinations of those before them."""
    usable = (code != 0) & (pivot > least)
    return where(usable, 1 / np.sqrt(maximum(pivot, least)), 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _factor(group, width):  # pragma: no cover  (compiled)
    """Cholesky-factor the Gram of the atoms in use, in tiles of four rows and two columns.

    Row ``width`` of the Gram is a right-hand side, that of the factor becomes its forward
    substitution. Inverse pivots of zero leave atoms out.
    """
    gram, factor, code, inverse = group.gram, group.factor, group.code, group.inverse
    # A pivot this small says that an atom is a combination of those before it.
    singular = np.finfo(factor.dtype).eps ** 0.8
    for column in range(0, width, 2):
        left, right = triangle(column), triangle(column + 1)
        for row in range(column, width + 1, 4):
            at_a, at_b = triangle(row), triangle(row + 1)
            at_c, at_d = triangle(row + 2), triangle(row + 3)
            a, next_a = load(gram, at_a + column), load(gram, at_a + column + 1)
            b, next_b = load(gram, at_b + column), load(gram, at_b + column + 1)
            c, next_c = load(gram, at_c + column), load(gram, at_c + column + 1)
            d, next_d = load(gram, at_d + column), load(gram, at_d + column + 1)
            for m in range(column):
                upper, lower = load(factor, left + m), load(factor, right + m)
                own = load(factor, at_a + m)
                a -= own * upper
                next_a -= own * lower
                own = load(factor, at_b + m)
                b -= own * upper
                next_b -= own * lower
                own = load(factor, at_c + m)
                c -= own * upper
                next_c -= own * lower
                own = load(factor, at_d + m)
                d -= own * upper
                next_d -= own * lower
            if row == column:
                scale = _inverse_pivot(a, load(code, column), singular * load(gram, left + column))
                corner = b * scale
                pivot, curvature = next_b - corner * corner, load(gram, right + column + 1)
                next_scale = _inverse_pivot(pivot, load(code, column + 1), singular * curvature)
                store(scale, inverse, column)
                store(next_scale, inverse, column + 1)
            else:
                store((next_a - a * scale * corner) * next_scale, factor, at_a + column + 1)
            a, b, c, d = a * scale, b * scale, c * scale, d * scale
            store(a, factor, at_a + column)
            store(b, factor, at_b + column)
            store(c, factor, at_c + column)
            store(d, factor, at_d + column)
            store((next_b - b * corner) * next_scale, factor, at_b + column + 1)
            store((next_c - c * corner) * next_scale, factor, at_c + column + 1)
            store((next_d - d * corner) * next_scale, factor, at_d + column + 1)


@njit(cache=True, nogil=True)
def _trade(group, last, lane, alpha, width):  # pragma: no cover  (compiled)
    """Trade an atom that is a combination of those before it for them, if that pays.

    The fit stays as it is. Return whether the step was set to the way that lowers the penalty.
    """
    factor, inverse, descent = group.factor, group.inverse, triangle(width)
    way = np.zeros(last + 1)
    way[last] = 1
    gain = np.float64(group.gram[descent + last, lane])
    for row in range(last - 1, -1, -1):
        way[row] = (way[row] - factor[triangle(last) + row, lane]) * inverse[row, lane]
        gain += way[row] * group.gram[descent + row, lane]
        for m in range(row):
            way[m] -= factor[triangle(row) + m, lane] * way[row]
    if abs(gain) <= WORTH * alpha:
        return False
    for m in range(width):
        group.step[m, lane] = np.copysign(1.0, gain) * way[m] if m <= last else 0.0
    return True


@njit(cache=True, nogil=True)
def _direction(group, alpha, width):  # pragma: no cover  (compiled)
    """Find the Newton step on independent atoms, or a trade of one that depends on others."""
    gram, factor, inverse, descent = group.gram, group.factor, group.inverse, triangle(width)
    code, slope, step = group.code, group.slope, group.step
    for m in range(width):
        weight = load(code, m)
        downhill = load(slope, m) - np.copysign(alpha, weight)
        store(where(weight != 0, downhill, 0), gram, descent + m)
    _factor(group, width)
    for m in range(width):
        store(load(factor, descent + m), step, m)
    for row in range(width - 1, -1, -1):
        solved = load(step, row) * load(inverse, row)
        store(solved, step, row)
        for m in range(row):
            store(load(step, m) - load(factor, triangle(row) + m) * solved, step, m)
    for lane in range(LANES):
        group.length[lane] = 1
        for m in range(width if group.careful[lane] else 0):
            dependent = code[m, lane] != 0 and inverse[m, lane] == 0
            if dependent and _trade(group, m, lane, alpha, width):
                group.length[lane] = FAR
                break


@njit(cache=True, nogil=True)
def _look_ahead(group, width):  # pragma: no cover  (compiled)
    gram, slope, step, ahead = group.gram, group.slope, group.step, group.ahead
    for m in range(width):
        store(load(slope, m), ahead, m)
    for m in range(0, width, 2):
        _change(ahead, gram, m, load(step, m), load(step, m + 1), width)


@njit(cache=True, nogil=True, error_model="numpy")
def _search_line(group, width):  # pragma: no cover  (compiled)
    """Find the lowest point of careful steps up to the first weight that they use up."""
    _look_ahead(group, width)
    length = load(group.length)
    reach, gain, curvature, descent = length, 0 * length, 0 * length, triangle(width)
    for m in range(width):
        weight, step = load(group.code, m), load(group.step, m)
        reach = where(weight * step < 0, minimum(reach, -weight / step), reach)
        gain += step * load(group.gram, descent + m)
        curvature += step * (load(group.slope, m) - load(group.ahead, m))
    lowest = where(gain < reach * curvature, gain / curvature, reach)
    lowest = where(lowest < FAR, maximum(lowest, 0), 0)
    store(where(load(group.careful) != 0, lowest, length), group.length)


@njit(cache=True, nogil=True, error_model="numpy")
def _newton(group, alpha, width):  # pragma: no cover  (compiled)
    """Go to the minimum for the present signs; weights that change theirs become zero.

    Where weights became zero, the next step follows at once; else sweeps come first, or the
    signal is done.
    """
    code, slope, step, ahead = group.code, group.slope, group.step, group.ahead
    _direction(group, alpha, width)
    if group.careful.any():
        _search_line(group, width)
    length = load(group.length)
    zero, one = fill(code.dtype.type(0)), fill(code.dtype.type(1))
    cut_short, penalty, rise = zero, zero, zero
    for m in range(width):
        weight, move = load(code, m), load(step, m)
        used_up = (weight * move < 0) & (-weight / move <= length)
        new = where(used_up, 0, weight + length * move)
        cut_short = where(used_up, one, cut_short)
        penalty += alpha * abs(weight)
        rise += alpha * (abs(new) - abs(weight))
        store(new - weight, step, m)
    _look_ahead(group, width)
    for m in range(width):
        rise -= load(step, m) * (load(slope, m) + load(ahead, m)) / 2
    # A bold step may lead uphill for a while, but not farther than this.
    refused = (load(group.careful) == 0) & (rise > penalty)
    worst = zero
    for m in range(width):
        weight, before = load(code, m), load(slope, m)
        weight = where(refused, weight, weight + load(step, m))
        after = where(refused, before, load(ahead, m))
        store(weight, code, m)
        store(after, slope, m)
        outside = maximum(abs(after) - alpha, 0)
        inside = abs(after - np.copysign(alpha, weight))
        worst = maximum(worst, where(weight != 0, inside, outside))
    store(where(refused, one, load(group.careful)), group.careful)
    store(where((cut_short != 0) & (rise <= penalty), zero, one), group.sweeping)
    optimal = (cut_short == 0) & (worst <= load(group.allowed))
    store(where(optimal, one, zero), group.done)


@njit(cache=True, nogil=True)
def _subtract_atoms(residual, total, signal, dictionary, atoms, code, n):
    # pragma: no cover  (compiled)
    """Compute what a code leaves of a signal, summed in double precision."""
    for feature in range(len(signal)):
        total[feature] = signal[feature]
    for m in range(n):
        if code[m] != 0:
            weight, atom = np.float64(code[m]), dictionary[atoms[m]]
            for feature in range(len(signal)):
                total[feature] -= weight * atom[feature]
    for feature in range(len(signal)):
        residual[feature] = total[feature]


@njit(cache=True, nogil=True)
def solve_sets(
    X,
    dictionary,
    gram,
    alpha,
    signals,
    grams,
    atoms,
    codes,
    inner_slopes,
    counts,
    slack,
    residual,
    n_bold,
):
    # pragma: no cover  (compiled)
    """Improve the codes of signals, listed from the largest working set to the smallest.

    A signal that is done with makes room for the next one in its lane. Row ``i`` of ``residual``
    becomes what is left of the i-th of the signals listed.
    """
    room, kind = counts[signals[0]] + 1, X.dtype
    triangles = np.zeros((2, triangle(room + 5), LANES), kind)
    vectors = np.zeros((5, room, LANES), kind)
    numbers = np.zeros((5, LANES), kind)
    group = Group(
        triangles[0],
        triangles[1],
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        vectors[4],
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4],
    )
    total = np.empty(X.shape[1])
    held, n_steps = np.full(LANES, -1), np.zeros(LANES, np.int64)
    group.done[:] = 1
    following = 0
    while True:
        width = 0
        for lane in range(LANES):
            if not group.done[lane]:
                width = max(width, counts[signals[held[lane]]])
        if following < len(signals):
            width = max(width, counts[signals[following]])
        width += width % 2
        for lane in range(LANES):
            if not group.done[lane]:
                continue
            if held[lane] >= 0:
                signal = signals[held[lane]]
                own, code, n = atoms[signal], codes[signal], counts[signal]
                for m in range(n):
                    code[m] = group.code[m, lane]
                place = residual[held[lane]]
                _subtract_atoms(place, total, X[signal], dictionary, own, code, n)
                held[lane] = -1
                group.code[:, lane] = group.slope[:, lane] = 0
            if following < len(signals):
                signal = signals[following]
                own, code, n = atoms[signal], codes[signal], counts[signal]
                inner = inner_slopes[signal]
                _load_lane(group, lane, width, grams[signal], gram, own, code, inner, n)
                held[lane], n_steps[lane] = following, 0
                group.allowed[lane], group.careful[lane] = slack[signal], 0
                group.sweeping[lane] = 1
                following += 1
        if held.max() < 0:
            return
        for lane in range(LANES):
            if n_steps[lane] >= n_bold:
                group.careful[lane] = 1
            if held[lane] < 0:
                group.sweeping[lane] = 0
        if group.sweeping.any():
            for _ in range(N_SWEEPS):
                _sweep(group, alpha, width)
        _newton(group, alpha, width)
        for lane in range(LANES):
            n_steps[lane] += 1
            if held[lane] < 0 or n_steps[lane] == N_STEPS:
                group.done[lane] = 1
