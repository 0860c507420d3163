"""Metrics of tissues: error and contrast of their means, and regression to the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes

__all__ = [
    "TISSUES",
    "check_labels",
    "check_tissue",
    "contrast_error",
    "regression_intercept",
    "regression_slope",
    "tissue_error",
]

# Labels of the tissues; 0 is background.
TISSUES = {"csf": 1, "gm": 2, "wm": 3}


def tissue_error(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any,
    tissue: str = "gm",
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the signed error of the mean intensity of a tissue.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    labels : volume or collection of volumes
        Label maps on the grids of the truths: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    tissue : {"csf", "gm", "wm"}, default="gm"
        Tissue to measure.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Mean of estimate minus truth in the tissue, divided by the mean of the truth in white
        matter. 0 is best, and a positive value means that the tissue is too bright.

    Raises
    ------
    ValueError
        If a label map holds other values, or the tissue or white matter has no voxel in it, or the
        mean of the truth in white matter is not positive.
    GeometryMismatchError
        If a prediction, a label map or a mask is not on the grid of its truth.

    Notes
    -----
    Errors of opposite sign cancel inside a tissue. The error of a mean says nothing about detail.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import tissue_error
    >>> labels = np.arange(64).reshape(4, 4, 4) % 4
    >>> truth = np.array([0.0, 30.0, 70.0, 100.0])[labels]
    >>> tissue_error(truth, truth + 5 * (labels == 2), labels=labels, tissue="gm")
    0.05
    """
    check_tissue(tissue, "tissue_error")

    def measure(pair: ScoredPair) -> float:
        (region,) = _regions(pair, tissue)
        difference = np.subtract(pair.prediction[region], pair.truth[region], dtype=np.float64)
        return float(difference.mean()) / _white_matter(pair)

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="tissue_error",
        mask=mask,
        labels=labels,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def contrast_error(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any,
    tissues: tuple[str, str] = ("wm", "gm"),
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the relative error of the ratio between the intensities of two tissues.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    labels : volume or collection of volumes
        Label maps on the grids of the truths: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    tissues : tuple of 2 str, default=("wm", "gm")
        The mean in the first tissue is divided by the mean in the second, each one of "csf", "gm"
        and "wm".
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`. A gain does not
        change the result.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Ratio in the estimate divided by the ratio in the truth, minus 1. 0 is best, and a negative
        value means that the ratio is too low.

    Raises
    ------
    ValueError
        If a label map holds other values, or a tissue has no voxel in it, or a mean is not
        positive, so that the ratio has no meaning.
    GeometryMismatchError
        If a prediction, a label map or a mask is not on the grid of its truth.

    Notes
    -----
    Blur lowers the ratio as well, because the voxels at the border of a tissue mix with those of
    the other tissue. A correction of contrast alone can make this error 0 without any new detail.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import contrast_error
    >>> labels = np.arange(64).reshape(4, 4, 4) % 4
    >>> truth = np.array([0.0, 30.0, 80.0, 120.0])[labels]
    >>> estimate = np.array([0.0, 30.0, 80.0, 90.0])[labels]
    >>> contrast_error(truth, 7 * estimate, labels=labels)
    -0.25
    """
    if len(tissues) != 2 or tissues[0] == tissues[1]:
        raise ValueError(f"contrast_error: tissues must be two different tissues, got {tissues!r}.")
    for tissue in tissues:
        check_tissue(tissue, "contrast_error")

    def measure(pair: ScoredPair) -> float:
        regions = _regions(pair, *tissues)
        ratios = []
        for name, volume in (("y_true", pair.truth), ("y_pred", pair.prediction)):
            means = [float(volume[region].mean(dtype=np.float64)) for region in regions]
            if not min(means) > 0:
                raise ValueError(
                    f"{pair.name}: {name} has the means {means[0]:.3g} and {means[1]:.3g} in "
                    f"{tissues[0]} and {tissues[1]}, so that their ratio has no meaning. Use "
                    "tissue_error, or volumes with positive intensities."
                )
            ratios.append(means[0] / means[1])
        return ratios[1] / ratios[0] - 1

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="contrast_error",
        mask=mask,
        labels=labels,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def regression_slope(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any,
    tissue: str = "gm",
    truth_noise: float = 0.0,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the slope of the estimate on the truth over the voxels of a tissue.

    A method that pulls what is unusual towards the mean has a slope below 1.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    labels : volume or collection of volumes
        Label maps on the grids of the truths: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    tissue : {"csf", "gm", "wm"}, default="gm"
        Tissue to measure.
    truth_noise : float, default=0.0
        Standard deviation of the noise of the truth, in its unit. Its square is subtracted from
        the variance of the truth, see the notes.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The slope of the least-squares line. 1 is best; it is 0 if the estimate has the same
        expectation everywhere in the tissue.

    Raises
    ------
    ValueError
        If a label map holds other values, the tissue has no voxel in it, the truth does not vary in
        the tissue, or its noise varies as much as the truth.
    GeometryMismatchError
        If a prediction, a label map or a mask is not on the grid of its truth.

    See Also
    --------
    regression_intercept : The other parameter of the line.
    bias_variance_by_rarity : Regression to the mean for rare patches.

    Notes
    -----
    The line is fitted with errors in the variable: noise of the truth, which no estimate can
    predict, multiplies the slope by var(signal) / (var(signal) + noise**2). A slope below 1 is
    therefore no proof of regression to the mean, unless the noise is known and passed. Differences
    between methods on the same truth are not affected.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import regression_slope
    >>> truth = np.random.default_rng(0).random((8, 8, 8))
    >>> labels = np.full((8, 8, 8), 2)
    >>> round(regression_slope(truth, 0.7 * truth + 0.3 * truth.mean(), labels=labels), 3)
    0.7
    """
    return _regression("regression_slope", 0, tissue, truth_noise)(
        y_true, y_pred, labels, mask, match, per_volume, verbose
    )


def regression_intercept(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any,
    tissue: str = "gm",
    truth_noise: float = 0.0,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the intercept of the estimate on the truth over the voxels of a tissue.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    labels : volume or collection of volumes
        Label maps on the grids of the truths: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    tissue : {"csf", "gm", "wm"}, default="gm"
        Tissue to measure.
    truth_noise : float, default=0.0
        Standard deviation of the noise of the truth, see :func:`regression_slope`.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The intercept of the least-squares line, divided by the mean of the truth in white matter.
        0 is best.

    Raises
    ------
    ValueError
        As for :func:`regression_slope`, or if there is no white matter with a positive mean.
    GeometryMismatchError
        If a prediction, a label map or a mask is not on the grid of its truth.

    See Also
    --------
    regression_slope : The slope of the line, and the effect of noise on it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import regression_intercept
    >>> truth = 1 + np.random.default_rng(0).random((8, 8, 8))
    >>> labels = np.full((8, 8, 8), 3)
    >>> wm = {"labels": labels, "tissue": "wm"}
    >>> round(regression_intercept(truth, 0.5 * truth + 0.5 * truth.mean(), **wm), 3)
    0.5
    """
    return _regression("regression_intercept", 1, tissue, truth_noise)(
        y_true, y_pred, labels, mask, match, per_volume, verbose
    )


def check_labels(labels: NDArray, name: str) -> NDArray:
    """Return a label map, after a check that it holds no other labels.

    Parameters
    ----------
    labels : ndarray of shape (i, j, k)
        Label map.
    name : str
        Name of the pair in messages.

    Returns
    -------
    ndarray of shape (i, j, k)
        The same array.

    Raises
    ------
    ValueError
        If it holds another value than 0, 1, 2 and 3.
    """
    n_other = int(np.count_nonzero(~np.isin(labels, (0, *TISSUES.values()))))
    if n_other:
        raise ValueError(
            f"{name}: {n_other} voxels have other labels than 0 (background), 1 (CSF), "
            "2 (GM) and 3 (WM). Change these labels."
        )
    return labels


def check_tissue(tissue: str, caller: str) -> None:
    """Check the parameter ``tissue`` of a metric.

    Parameters
    ----------
    tissue : str
        Value that the user passed.
    caller : str
        Metric that the message names.

    Raises
    ------
    ValueError
        If it is not the name of a tissue.
    """
    if tissue not in TISSUES:
        raise ValueError(f"{caller}: a tissue must be one of {list(TISSUES)}, got {tissue!r}.")


def _regions(pair: ScoredPair, *tissues: str) -> list[NDArray[np.bool_]]:
    """Return the voxels of tissues inside the mask."""
    if pair.labels is None:
        raise ValueError(f"{pair.name}: labels is None. Pass a label map for each volume.")
    labels = check_labels(pair.labels, pair.name)
    regions = []
    for tissue in tissues:
        region = labels == TISSUES[tissue]
        if pair.inside is not None:
            region &= pair.inside
        if not region.any():
            raise ValueError(
                f"{pair.name}: labels have no voxel of {tissue} ({TISSUES[tissue]}) inside the "
                "mask. Check the label map and the mask."
            )
        regions.append(region)
    return regions


def _white_matter(pair: ScoredPair) -> float:
    """Return the mean of the truth in white matter."""
    (region,) = _regions(pair, "wm")
    mean = float(pair.truth[region].mean(dtype=np.float64))
    if not mean > 0:
        raise ValueError(
            f"{pair.name}: the mean of y_true in white matter is {mean:.3g}, so there is nothing "
            "to divide by. Check the label map, or add a constant to both volumes."
        )
    return mean


def _regression(caller: str, which: int, tissue: str, truth_noise: float) -> Any:
    """Return a function that computes slope (0) or intercept (1) of collections."""
    check_tissue(tissue, caller)
    if not (np.isfinite(truth_noise) and truth_noise >= 0):
        raise ValueError(
            f"{caller}: truth_noise must be finite and at least 0, got {truth_noise!r}."
        )

    def measure(pair: ScoredPair) -> float:
        (region,) = _regions(pair, tissue)
        x, y = (volume[region].astype(np.float64) for volume in (pair.truth, pair.prediction))
        x_mean, y_mean = x.mean(), y.mean()
        variance = x.var() - truth_noise**2
        if not variance > 0:
            raise ValueError(
                f"{pair.name}: y_true has the standard deviation {x.std():.3g} in {tissue}, and "
                f"truth_noise is {truth_noise:g}, so that no signal is left to fit. Pass less "
                "noise."
            )
        slope = float(((x - x_mean) @ (y - y_mean)) / x.size / variance)
        return slope if which == 0 else float(y_mean - slope * x_mean) / _white_matter(pair)

    def score(
        y_true: Any, y_pred: Any, labels: Any, mask: Any, match: str, per_volume: bool, verbose: int
    ) -> Any:
        return score_volumes(
            measure,
            y_true,
            y_pred,
            caller=caller,
            mask=mask,
            labels=labels,
            match=match,
            per_volume=per_volume,
            verbose=verbose,
        )

    return score
