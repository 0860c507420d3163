"""Compiled products of many signals and all atoms: what each signal's code starts from.

Neither needs the threads of BLAS, nor would several of them fight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit as numba_njit

from sklearn_iqt.dictionary._lanes import load_panel, panel_width, store

__all__ = ["ROWS", "compute_slopes", "cut_panels"]

# Signals whose products are computed at a time.
ROWS = 6

# numba's types do not know all of its options.
njit: Any = numba_njit


def cut_panels(dictionary: np.ndarray) -> np.ndarray:
    """Return the atoms a panel at a time, feature by feature.

    Parameters
    ----------
    dictionary : ndarray of shape (n_atoms, n_features)
        Atoms; their number is a multiple of the width of a panel.

    Returns
    -------
    ndarray of shape (n_panels, n_features, width)
        A copy.
    """
    panels = dictionary.reshape(-1, panel_width(dictionary), dictionary.shape[1])
    return np.ascontiguousarray(panels.swapaxes(1, 2))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def compute_slopes(slopes, signals, panels, n_rows):  # pragma: no cover  (compiled)
    """Multiply ``ROWS`` rows at a time by panels of atoms."""
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
