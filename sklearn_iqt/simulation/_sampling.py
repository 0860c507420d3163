"""Interpolation of arrays along their axes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform


def sample_axes(
    array: NDArray,
    steps: ArrayLike,
    offset: ArrayLike,
    shape: Sequence[int],
    *,
    order: int,
    mode: str = "constant",
) -> NDArray:
    """Interpolate an array at ``offset + steps * index`` for every index of a shape.

    Parameters
    ----------
    array : ndarray
        Values to interpolate.
    steps, offset : sequences of float, one for each axis
        Distance between samples and place of the first one, in voxels of `array`.
    shape : sequence of int
        Number of samples along each axis.
    order : int
        Order of the spline.
    mode : str, default="constant"
        What scipy.ndimage assumes beyond the edges.

    Returns
    -------
    ndarray of the given shape
        Interpolated values.
    """
    with warnings.catch_warnings():
        # Up to 1.15 scipy warns on every call that release 0.18 changed the meaning of offset.
        warnings.filterwarnings("ignore", "The behavior of affine_transform")
        return affine_transform(
            array, steps, offset=offset, output_shape=tuple(shape), order=order, mode=mode
        )
