"""Compiled products of many signals and all atoms, which each signal's code starts from.

There is no BLAS in the coder: its threads go on waiting for work after a product, on the cores that
code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit as numba_njit

from sklearn_iqt.dictionary._lanes import load_panel, panel_width, store

__all__ = ["GROUP", "ROWS", "compute_slopes", "cut_panels", "multiply"]

# Signals whose products are computed at a time, and before the next thing is done with them.
ROWS, GROUP = 6, 96

# numba's types do not know all of its options.
njit: Any = numba_njit


def cut_panels(atoms: np.ndarray) -> np.ndarray:
    """Return atoms a panel at a time, feature by feature; those that fill up the last are zero.

    Parameters
    ----------
    atoms : ndarray of shape (n_atoms, n_features), float32 or float64
        Atoms.

    Returns
    -------
    ndarray of shape (n_panels, n_features, width)
        A copy.
    """
    width = panel_width(atoms)
    padded = np.pad(atoms, ((0, -len(atoms) % width), (0, 0)))
    return np.ascontiguousarray(padded.reshape(-1, width, atoms.shape[1]).swapaxes(1, 2))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def compute_slopes(slopes, signals, panels, n_rows):  # pragma: no cover  (compiled)
    """Multiply ``ROWS`` rows at a time by panels of atoms."""
    if panels.shape[2] != panel_width(slopes):
        raise ValueError("the panels were cut for another processor; clear numba's cache")
    for panel in range(len(panels)):
        atoms, start = panels[panel], panel * panel_width(slopes)
        for row in range(0, n_rows, ROWS):
            a = b = c = d = e = f = 0 * load_panel(atoms, 0, 0)
            for feature in range(len(atoms)):
                values = load_panel(atoms, feature, 0)
                a += signals[row, feature] * values
                b += signals[row + 1, feature] * values
                c += signals[row + 2, feature] * values
                d += signals[row + 3, feature] * values
                e += signals[row + 4, feature] * values
                f += signals[row + 5, feature] * values
            store(a, slopes, row, start)
            store(b, slopes, row + 1, start)
            store(c, slopes, row + 2, start)
            store(d, slopes, row + 3, start)
            store(e, slopes, row + 4, start)
            store(f, slopes, row + 5, start)


@njit(cache=True, nogil=True)
def multiply(rows, panels, n_atoms):  # pragma: no cover  (compiled)
    """Return the products of all rows and all atoms, in one thread and without BLAS.

    Rows are C-contiguous and of the precision of the panels.
    """
    group = np.zeros((GROUP, rows.shape[1]), rows.dtype)
    slopes = np.empty((GROUP, len(panels) * panels.shape[2]), rows.dtype)
    products = np.empty((len(rows), n_atoms), rows.dtype)
    for first in range(0, len(rows), GROUP):
        n_group = min(GROUP, len(rows) - first)
        for row in range(n_group):
            for feature in range(rows.shape[1]):
                group[row, feature] = rows[first + row, feature]
        compute_slopes(slopes, group, panels, n_group)
        for row in range(n_group):
            for atom in range(n_atoms):
                products[first + row, atom] = slopes[row, atom]
    return products
