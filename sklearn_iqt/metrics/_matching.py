"""Convert a prediction to the unit of its truth before the two are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MATCHES", "check_match", "match_intensities"]

MATCHES = ("none", "gain", "affine")


def check_match(match: str, caller: str) -> None:
    """Check the parameter ``match`` of a metric.

    Parameters
    ----------
    match : str
        Value that the user passed.
    caller : str
        Metric that the message names.

    Raises
    ------
    ValueError
        If it is not one of :data:`MATCHES`.
    """
    if match not in MATCHES:
        raise ValueError(f"{caller}: match must be one of {MATCHES}, got {match!r}.")


def match_intensities(
    truth: NDArray, prediction: NDArray, inside: NDArray[np.bool_] | None, match: str
) -> NDArray:
    """Return the prediction after the best gain, or the best gain and offset.

    Parameters
    ----------
    truth, prediction : ndarray of shape (i, j, k)
        The two volumes.
    inside : ndarray of bool, shape (i, j, k), or None
        Voxels to fit; all voxels if None.
    match : {"none", "gain", "affine"}
        Whether to multiply by a gain, or to multiply by a gain and add an offset. Both are found by
        least squares. A gain is never negative, so that an inverted contrast remains an error.

    Returns
    -------
    ndarray of shape (i, j, k), float64
        The matched prediction, or the prediction itself for ``"none"``.

    Examples
    --------
    >>> truth = np.arange(8.0).reshape(2, 2, 2)
    >>> bool(np.allclose(match_intensities(truth, 5 * truth, None, "gain"), truth))
    True
    >>> bool(np.allclose(match_intensities(truth, 5 * truth + 3, None, "affine"), truth))
    True
    """
    if match == "none":
        return prediction
    x, y = (
        (volume if inside is None else volume[inside]).astype(np.float64).ravel()
        for volume in (prediction, truth)
    )
    x_mean, y_mean = (x.mean(), y.mean()) if match == "affine" else (0.0, 0.0)
    x, y = x - x_mean, y - y_mean
    energy = x @ x
    # A constant prediction cannot be scaled to the truth. A negative gain would turn an inverted
    # contrast into a perfect one.
    gain = max(float(x @ y), 0.0) / energy if energy > 0 else 0.0 if match == "affine" else 1.0
    return gain * (prediction.astype(np.float64) - x_mean) + y_mean
