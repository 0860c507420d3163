"""Slopes: compiled products of many signals and all atoms, and the steep ones among them.

The coder does not use BLAS: its threads wait for more work after each product, on the cores that
code.
"""

from __future__ import annotations

import numpy as np

from sklearn_iqt.dictionary._compiling import (
    WIDTH,
    aligned_empty,
    aligned_zeros,
    compiled,
    compiled_entry,
    round_up,
)

__all__ = [
    "GROUP", "ROWS", "STRETCH", "count_steep", "multiply", "multiply_group", "pad_columns",
]  # fmt: skip

# Rows and features that one pass over the columns multiplies. Their 24 products fit the registers
# of a processor with 32; others read them from the cache.
ROWS, FEATURES = 6, 4
# Rows that are multiplied before the next thing is done with them: a whole number of passes, and
# few enough to stay in the cache.
GROUP = 96
# Slopes among which a search first counts the steep ones, which is faster than looking at each.
STRETCH = 2 * WIDTH


def pad_columns(atoms: np.ndarray) -> np.ndarray:
    """Return atoms as columns, with zeros up to whole passes of the loops over them.

    Parameters
    ----------
    atoms : ndarray of shape (n_atoms, n_features), float32 or float64
        Atoms.

    Returns
    -------
    ndarray of shape (n_features rounded up to FEATURES, n_atoms rounded up to WIDTH)
        A copy, C-contiguous and aligned.
    """
    n_atoms, n_features = atoms.shape
    columns = aligned_zeros((round_up(n_features, FEATURES), round_up(n_atoms)), atoms.dtype)
    columns[:n_features, :n_atoms] = atoms.T
    return columns


@compiled
def count_steep(slopes, threshold):
    """Count slopes above a threshold, and those that are not numbers: they are not optimal."""
    count = np.int32(0)  # as wide as most slopes
    for k in range(len(slopes) // WIDTH * WIDTH):
        count = np.int32(count + np.int32(not abs(slopes[k]) <= threshold))
    return count


@compiled
def _four(row, f):
    return row[f], row[f + 1], row[f + 2], row[f + 3]


@compiled
def multiply_group(products, rows, columns, n_rows):
    """Multiply rows by columns, ``ROWS`` at a time, so that some more than ``n_rows`` may be.

    Rows and products are padded as columns are.
    """
    # The compiler does not know that it is a multiple, and has no code for numbers left over if so.
    width = columns.shape[1] // WIDTH * WIDTH
    for i in range(0, n_rows, ROWS):
        p, q, r = products[i], products[i + 1], products[i + 2]
        s, t, u = products[i + 3], products[i + 4], products[i + 5]
        for k in range(width):
            p[k] = q[k] = r[k] = s[k] = t[k] = u[k] = 0
        for f in range(0, len(columns), FEATURES):
            a, b, c = _four(rows[i], f), _four(rows[i + 1], f), _four(rows[i + 2], f)
            d, e, g = _four(rows[i + 3], f), _four(rows[i + 4], f), _four(rows[i + 5], f)
            column_w, column_x = columns[f], columns[f + 1]
            column_y, column_z = columns[f + 2], columns[f + 3]
            for k in range(width):
                w, x, y, z = column_w[k], column_x[k], column_y[k], column_z[k]
                p[k] = p[k] + a[0] * w + a[1] * x + a[2] * y + a[3] * z
                q[k] = q[k] + b[0] * w + b[1] * x + b[2] * y + b[3] * z
                r[k] = r[k] + c[0] * w + c[1] * x + c[2] * y + c[3] * z
                s[k] = s[k] + d[0] * w + d[1] * x + d[2] * y + d[3] * z
                t[k] = t[k] + e[0] * w + e[1] * x + e[2] * y + e[3] * z
                u[k] = u[k] + g[0] * w + g[1] * x + g[2] * y + g[3] * z


@compiled_entry
def _multiply_all(products, rows, columns, group, group_products):

    for first in range(0, len(rows), GROUP):
        n_group = min(GROUP, len(rows) - first)
        for i in range(n_group):
            for f in range(rows.shape[1]):
                group[i, f] = rows[first + i, f]
        multiply_group(group_products, group, columns, n_group)
        for i in range(n_group):
            for k in range(products.shape[1]):
                products[first + i, k] = group_products[i, k]


def multiply(rows: np.ndarray, columns: np.ndarray, n_products: int) -> np.ndarray:
    """Return the products of rows and columns, in one thread and without BLAS.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), C-contiguous
        Rows, in the precision of the columns.
    columns : ndarray
        What :func:`pad_columns` returned.
    n_products : int
        How many of the columns to multiply by.

    Returns
    -------
    ndarray of shape (n_rows, n_products)
        Products, C-contiguous.
    """
    products = aligned_empty((len(rows), n_products), rows.dtype)
    group = aligned_zeros((GROUP, len(columns)), rows.dtype)
    group_products = aligned_empty((GROUP, columns.shape[1]), rows.dtype)
    _multiply_all(products, rows, columns, group, group_products)
    return products
