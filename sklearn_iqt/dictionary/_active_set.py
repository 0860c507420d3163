"""The code of one signal: its atoms, their weights, and the inverse of their Gram, compiled.

Candidates join a code one after the other. After each, the weights move to the minimum for the
signs that they have, or to where the first of them is used up: its atom leaves. The inverse follows
by an update of rank one, in double precision, as weights are.

The ``n`` atoms of a code take the first ``n`` places of its arrays. Loops over places run on to a
multiple of ``WIDTH`` (see ``_compiling.py``). There the inverse is zero, and vectors are zero where
they are added to it and finite elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklearn_iqt.dictionary._compiling import (
    WIDTH,
    aligned_zeros,
    compiled,
    compiled_sum,
    inlined,
)

__all__ = ["Code", "Gram", "Scratch", "dot", "make_scratch", "minimise", "renew_inverse"]

# What is left of a weight that would change its sign by rounding; zero would have no sign.
TINY = 1e-60


class Gram(NamedTuple):
    """Products of all atoms with each other, and with themselves, in double precision.

    An atom is a combination of others if less than ``singular`` of its squared norm is left.
    """

    products: Any
    norms: Any
    singular: float


class Code(NamedTuple):
    """The atoms of one code, their weights and slopes, and the inverse of their Gram."""

    atoms: Any
    weights: Any
    slopes: Any
    inverse: Any


class Scratch(NamedTuple):
    """Room to compute the code of one signal in.

    ``near`` lists the candidates. A row of ``near_gram`` has their products with an atom of the
    code, ``near_line`` those with an atom that joins.
    """

    step: Any
    products: Any
    solved: Any
    vector: Any
    near: Any
    near_slopes: Any
    near_gram: Any
    near_line: Any


def make_scratch(places: int) -> Scratch:
    """Return room for codes of fewer atoms than there are places."""
    return Scratch(
        step=aligned_zeros((places,)),
        products=aligned_zeros((places,)),
        solved=aligned_zeros((places,)),
        vector=aligned_zeros((places,)),
        near=np.empty(WIDTH, np.int32),
        near_slopes=aligned_zeros((WIDTH,)),
        near_line=aligned_zeros((WIDTH,)),
        near_gram=aligned_zeros((places, WIDTH)),
    )


@compiled
def _padded(n):
    return (n + WIDTH - 1) // WIDTH * WIDTH


@compiled_sum
def dot(a, b, n):
    total = 0.0
    for k in range(_padded(n)):
        total += a[k] * b[k]
    return total


@compiled_sum
def _multiply(result, rows, vector, n_rows, n):
    width = _padded(n)
    for m in range(n_rows):
        row, total = rows[m], 0.0
        for k in range(width):
            total += row[k] * vector[k]
        result[m] = total


@compiled
def _add_outer(inverse, vector, scale, n):
    """Add a multiple of the outer product of a vector with itself."""
    width = _padded(n)
    for m in range(n):
        row, factor = inverse[m], scale * vector[m]
        for k in range(width):
            row[k] += factor * vector[k]


@compiled
def _steepest(slopes, n):
    best = 0
    for k in range(1, n):
        if abs(slopes[k]) > abs(slopes[best]):
            best = k
    return best


@compiled
def _solve_gram(code, n, scratch):
    """Multiply products by the inverse; return the part of a squared norm they explain."""
    solved = scratch.solved
    _multiply(solved, code.inverse, scratch.products, n, n)
    for k in range(n, _padded(n + 1)):
        solved[k] = 0
    return dot(scratch.products, solved, n)


@compiled
def _extend_inverse(code, n, scratch, pivot):
    """Add the row and the column of an atom; the pivot is the unexplained part of its norm."""
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
def _shrink_inverse(code, n, scratch, place):
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
def renew_inverse(code, n, scratch, gram):
    """Compute the inverse again, because many changes have made it inexact."""
    for m in range(n):
        line = gram.products[code.atoms[m]]
        for k in range(n):
            scratch.products[k] = line[code.atoms[k]] if k < m else 0
        norm = line[code.atoms[m]]
        pivot = norm - _solve_gram(code, m, scratch)
        _extend_inverse(code, m, scratch, max(pivot, gram.singular * norm))


@compiled
def _find_end(code, n, scratch, limit):
    """Return how far the step can go, and the place whose weight is used up there, or -1."""
    leaving = -1
    for m in range(n):
        weight, move = code.weights[m], scratch.step[m]
        if weight * (weight + limit * move) < 0:
            limit, leaving = -weight / move, m
    return limit, leaving


@compiled
def _take_step(code, n, scratch, length):
    for m in range(_padded(n)):
        before = code.weights[m]
        after = before + length * scratch.step[m]
        code.weights[m] = np.copysign(TINY, before) if before * after < 0 else after


@compiled
def _follow_step(n, scratch, length):
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
def _leave(code, n, scratch, place):
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
def _settle(code, n, scratch, n_near, alpha):
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
def _take_over(code, n, scratch, sign):
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
def _join(code, n, scratch, n_near, candidate, gram, alpha):
    """Let a candidate join a code; return how many atoms that has then."""
    products, solved, step = scratch.products, scratch.solved, scratch.step
    atom, slope = scratch.near[candidate], scratch.near_slopes[candidate]
    norm, sign, excess, weight = gram.norms[atom], np.sign(slope), abs(slope) - alpha, 0.0
    # Early, as the Gram is far away.
    for k in range(n_near):
        scratch.near_line[k] = gram.products[atom, scratch.near[k]]
    for m in range(n):
        products[m] = scratch.near_gram[m, candidate]
    pivot = norm - _solve_gram(code, n, scratch)
    while n == len(code.atoms) or pivot <= gram.singular * norm:
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
def minimise(code, n, settled, scratch, n_near, gram, alpha, slack):
    """Minimise over the atoms of a code and the candidates; return how many are in the code."""
    for m in range(n):
        line = gram.products[code.atoms[m]]
        for k in range(n_near):
            scratch.near_gram[m, k] = line[scratch.near[k]]
    if not settled:
        n = _settle(code, n, scratch, n_near, alpha)
    # Each lowers the objective. Atoms may come and go and come again, but few do.
    for _ in range(4 * n_near):
        best = _steepest(scratch.near_slopes, n_near)
        if abs(scratch.near_slopes[best]) - alpha <= slack:
            break
        in_use = False
        for m in range(n):
            in_use |= code.atoms[m] == scratch.near[best]
        if in_use:
            # Its slope would be alpha but for rounding.
            scratch.near_slopes[best] = 0
        else:
            n = _join(code, n, scratch, n_near, best, gram, alpha)
    return n
