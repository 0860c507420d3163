"""Metrics between two 3-D volumes: NRMSE, PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes

# Wang et al. 2004, section III-B.
_K1, _K2 = 0.01, 0.03
# Slices of the SSIM map that are computed at a time, which limits memory to a few such slabs.
_SLAB = 24


def nrmse(
    y_true: Any,
    y_pred: Any,
    *,
    mask: Any = None,
    match: str = "none",
    normalization: str = "max",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the normalised root mean squared error between volumes.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count, for the normaliser as well.
    match : {"none", "gain", "affine"}, default="none"
        Multiply each prediction by the gain, or by the gain and add the offset, that brings
        it closest to its truth, before they are compared. Use it if the units of predictions are
        arbitrary, for example between two scanners.
    normalization : {"max", "mean", "range", "p99"}, default="max"
        Divide by the largest, the mean, the largest minus the smallest, or the 99th percentile of
        the true intensities.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The error, 0 for equal volumes. Lower is better.

    Raises
    ------
    ValueError
        If a volume is not finite, a mask is empty, or the normaliser is not positive.
    GeometryMismatchError
        If the shapes or affines of a pair differ.

    Notes
    -----
    ``"max"`` is equation 7 of [1]_. Values with different normalisations cannot be compared,
    because their scales differ.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", MELBA
       2024:027.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import nrmse
    >>> truth = np.arange(64.0).reshape(4, 4, 4)
    >>> round(nrmse(truth, truth + 6.3), 4)
    0.1
    >>> nrmse([truth, truth], [truth, truth + 6.3], per_volume=True).round(4)
    array([0. , 0.1])
    """
    normalizers: dict[str, Callable[[NDArray], Any]] = {
        "max": np.max,
        "mean": np.mean,
        "range": np.ptp,
        "p99": lambda intensities: np.percentile(intensities, 99),
    }
    if normalization not in normalizers:
        raise ValueError(
            f"nrmse: normalization must be one of {sorted(normalizers)}, got {normalization!r}."
        )

    def measure(pair: ScoredPair) -> float:
        truth, prediction, inside = pair[:3]
        rmse = np.sqrt(_mean_squared_error(truth, prediction, inside))
        intensities = truth if inside is None else truth[inside]
        normalizer = float(normalizers[normalization](intensities.astype(np.float64, copy=False)))
        if not normalizer > 0:
            raise ValueError(
                f"{pair.name}: the {normalization} of y_true is {normalizer:g}, so there is "
                "nothing to normalise by. Check for a constant or empty volume, or use another "
                "normalization."
            )
        return rmse / normalizer

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="nrmse",
        mask=mask,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def psnr(
    y_true: Any,
    y_pred: Any,
    *,
    mask: Any = None,
    match: str = "none",
    data_range: float | None = None,
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the peak signal-to-noise ratio of volumes in decibel.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Multiply each prediction by the gain, or by the gain and add the offset, that brings
        it closest to its truth, before they are compared. Use it if the units of predictions are
        arbitrary, for example between two scanners.
    data_range : float, default=None
        Peak-to-peak intensity. By default the largest minus the smallest true intensity inside
        the mask, for each volume.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The ratio in dB, infinite for equal volumes. Higher is better.

    Raises
    ------
    ValueError
        If a volume is not finite, a mask is empty, or the range is not positive.
    GeometryMismatchError
        If the shapes or affines of a pair differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import psnr
    >>> truth = np.arange(64.0).reshape(4, 4, 4)
    >>> round(psnr(truth, truth + 6.3), 2)
    20.0
    """
    _check_data_range(data_range, "psnr")

    def measure(pair: ScoredPair) -> float:
        truth, prediction, inside = pair[:3]
        peak = _data_range(truth, inside, data_range, pair.name)
        error = _mean_squared_error(truth, prediction, inside)
        return np.inf if error == 0 else 20 * np.log10(peak) - 10 * np.log10(error)

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="psnr",
        mask=mask,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def ssim(
    y_true: Any,
    y_pred: Any,
    *,
    mask: Any = None,
    match: str = "none",
    data_range: float | None = None,
    sigma: float = 1.5,
    truncate: float = 3.5,
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the mean structural similarity of volumes in a 3-D Gaussian window.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    mask : volume or collection of volumes, default=None
        The similarity is averaged over the voxels above zero. Their windows include voxels outside
        the mask.
    match : {"none", "gain", "affine"}, default="none"
        Multiply each prediction by the gain, or by the gain and add the offset, that brings
        it closest to its truth, before they are compared. Use it if the units of predictions are
        arbitrary, for example between two scanners.
    data_range : float, default=None
        Peak-to-peak intensity. By default the largest minus the smallest true intensity inside
        the mask, for each volume.
    sigma : float, default=1.5
        Standard deviation of the window in voxels.
    truncate : float, default=3.5
        Radius of the window in standard deviations; with the default sigma it is 11 voxels wide.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The similarity, which is 1 for equal volumes and lower for others. Higher is better.

    Raises
    ------
    ValueError
        If a volume is not finite or is smaller than the window, if all windows of the voxels of a
        mask reach over the border of the volume, or if the range is not positive.
    GeometryMismatchError
        If the shapes or affines of a pair differ.

    Notes
    -----
    Equation 13 of [1]_ with K1 = 0.01, K2 = 0.03 and population covariances. Voxels whose window
    reaches over the border of the volume are left out, with or without a mask. Without a mask
    this is ``skimage.metrics.structural_similarity(gaussian_weights=True,
    use_sample_covariance=False)``.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment:
       from error visibility to structural similarity", IEEE Trans. Image Process. 13 (2004).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import ssim
    >>> truth = np.random.default_rng(0).random((16, 16, 12))
    >>> ssim(truth, truth)
    1.0
    >>> ssim(truth, truth + 0.1) < 1
    True
    """
    _check_data_range(data_range, "ssim")
    for name, parameter in (("sigma", sigma), ("truncate", truncate)):
        if not (isinstance(parameter, Real) and 0 < parameter < np.inf):
            raise ValueError(f"ssim: {name} must be a positive finite number, got {parameter!r}.")
    radius = _radius(sigma, truncate)

    def measure(pair: ScoredPair) -> float:
        truth, prediction, inside = pair[:3]
        if min(truth.shape) < 2 * radius + 1:
            raise ValueError(
                f"{pair.name}: the volume of shape {truth.shape} is smaller than the window of "
                f"{2 * radius + 1} voxels. Pass a smaller sigma or truncate, or a larger volume."
            )
        peak = _data_range(truth, inside, data_range, pair.name)
        return _mean_ssim(truth, prediction, inside, peak, sigma, truncate, pair.name)

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="ssim",
        mask=mask,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def _check_data_range(data_range: float | None, caller: str) -> None:
    if data_range is not None and not (np.isfinite(data_range) and data_range > 0):
        raise ValueError(f"{caller}: data_range must be positive and finite, got {data_range!r}.")


def _data_range(
    truth: NDArray, inside: NDArray[np.bool_] | None, data_range: float | None, pair: str
) -> float:
    if data_range is not None:
        return float(data_range)
    peak = float(np.ptp((truth if inside is None else truth[inside]).astype(np.float64)))
    if not peak > 0:
        raise ValueError(
            f"{pair}: y_true is constant, so it has no intensity range. Pass data_range, or check "
            "for an empty volume."
        )
    return peak


def _mean_squared_error(
    truth: NDArray, prediction: NDArray, inside: NDArray[np.bool_] | None
) -> float:
    if inside is not None:
        truth, prediction = truth[inside], prediction[inside]
    error = np.subtract(truth, prediction, dtype=np.float64).ravel()
    return float(error @ error) / error.size


def _radius(sigma: float, truncate: float) -> int:
    """Return the radius in voxels that scipy.ndimage.gaussian_filter uses."""
    return int(truncate * sigma + 0.5)


def _mean_ssim(
    truth: NDArray,
    prediction: NDArray,
    inside: NDArray[np.bool_] | None,
    peak: float,
    sigma: float,
    truncate: float,
    pair: str,
) -> float:
    """Return the mean of the SSIM map over its valid part, slab by slab along the first axis."""
    radius = _radius(sigma, truncate)
    valid = tuple(slice(radius, n - radius) for n in truth.shape)
    weights = None if inside is None else inside[valid]
    if weights is not None and not weights.any():
        raise ValueError(
            f"{pair}: every voxel of the mask lies within {radius} voxels of the border of the "
            "volume, where SSIM is not defined. Pass a smaller sigma or truncate."
        )
    total = 0.0
    for start in range(0, truth.shape[0] - 2 * radius, _SLAB):
        stop = min(start + _SLAB, truth.shape[0] - 2 * radius)
        # With a margin of `radius` the border of the slab does not affect the voxels that are kept.
        slab = slice(start, stop + 2 * radius)
        similarity = _ssim_map(truth[slab], prediction[slab], peak, sigma, truncate)
        total += float(
            similarity.sum() if weights is None else similarity[weights[start:stop]].sum()
        )
    count = np.prod([n - 2 * radius for n in truth.shape]) if weights is None else weights.sum()
    return total / float(count)


def _ssim_map(
    truth: NDArray, prediction: NDArray, peak: float, sigma: float, truncate: float
) -> NDArray[np.float64]:
    """Return the SSIM of the voxels whose window lies in the slab."""
    radius = _radius(sigma, truncate)
    valid = tuple(slice(radius, n - radius) for n in truth.shape)

    def local_mean(intensities: NDArray[np.float64]) -> NDArray[np.float64]:
        return ndimage.gaussian_filter(intensities, sigma, truncate=truncate)[valid]

    x, y = truth.astype(np.float64), prediction.astype(np.float64)
    mean_x, mean_y = local_mean(x), local_mean(y)
    mean_xy = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    variances = local_mean(x * x + y * y) - squares
    covariance = local_mean(x * y) - mean_xy
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    return ((2 * mean_xy + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))
