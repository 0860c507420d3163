"""Synthetic pair of volumes for all benchmarks, the same in every revision."""

import numpy as np
from scipy import ndimage

SHAPE = (96, 112, 96)


def make_pair(shape=SHAPE):
    """Return a low and a high volume with frequencies as in a brain; a third of them is air."""
    rng = np.random.default_rng(0)
    fine, coarse = (ndimage.gaussian_filter(rng.standard_normal(shape), s) for s in (1.5, 6))
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    inside = sum(axis**2 for axis in axes) < 0.9
    high = inside * (1 + fine / fine.std() / 5 + coarse / coarse.std() / 5)
    low = high.reshape(*shape[:2], shape[2] // 4, 4).mean(axis=-1)
    return low.astype(np.float32), high.astype(np.float32)
