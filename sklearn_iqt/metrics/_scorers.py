"""The metrics as scikit-learn scorers, for collections of volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import make_scorer

from sklearn_iqt.metrics._lesions import lesion_contrast
from sklearn_iqt.metrics._spectra import coherence
from sklearn_iqt.metrics._tissues import contrast_error, regression_slope, tissue_error
from sklearn_iqt.metrics._volume import nrmse, psnr, ssim

# The metric of each scorer. As in scikit-learn, "neg_" marks an error, where lower is better.
METRICS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"neg_nrmse": nrmse, "psnr": psnr, "ssim": ssim}
)
# Metrics whose best value is in the middle, and this value. Their scorers are minus the mean
# distance from it.
_TISSUE_METRICS: dict[str, tuple[Callable[..., Any], float]] = {
    "neg_tissue_error": (tissue_error, 0.0),
    "neg_contrast_error": (contrast_error, 0.0),
    "neg_slope_error": (regression_slope, 1.0),
}


def volume_scorers(
    *,
    mask: bool | str = False,
    labels: bool | str = False,
    lesions: bool | str = False,
    scale: int | None = None,
    normalization: str = "max",
    match: str = "none",
    voxel_size_mm: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return a scorer for each metric, for ``scoring=`` of scikit-learn's model selection.

    Parameters
    ----------
    mask : bool or str, default=False
        Whether the scorers request ``mask`` by metadata routing, which holds one mask for each
        volume on the grid of its truth. A string requests the masks under that name. Estimators
        take a ``mask`` on the grid of their input, so that the two need different names if the
        grids differ. Metadata routing needs ``sklearn.set_config(enable_metadata_routing=True)``.
    labels : bool or str, default=False
        Whether to add scorers of tissues, which request ``labels``, or metadata of this name: a
        label map for each volume on the grid of its truth.
    lesions : bool or str, default=False
        Whether to add the scorer of lesions, which requests ``lesions``, or metadata of this name:
        a mask of lesions for each volume on the grid of its truth.
    scale : int, default=None
        High voxels in a low voxel along the last axis. It adds the scorer of coherence.
    normalization : {"max", "mean", "range", "p99"}, default="max"
        Normaliser of the NRMSE, see :func:`nrmse`.
    match : {"none", "gain", "affine"}, default="none"
        How predictions are matched to the unit of their truths, see :func:`nrmse`.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm, which the scorer of lesions needs for arrays.

    Returns
    -------
    dict of str to scorer
        New scorers under "neg_nrmse", "psnr" and "ssim"; with a scale "coherence", above the
        Nyquist frequency; with labels "neg_tissue_error" and "neg_slope_error" of grey matter, and
        "neg_contrast_error" between white and grey matter; with lesions
        "neg_lesion_contrast_error". For all of them, higher is better: those of tissues and lesions
        are minus the mean distance from the best value.

    Examples
    --------
    >>> from sklearn_iqt.metrics import volume_scorers
    >>> sorted(volume_scorers())
    ['neg_nrmse', 'psnr', 'ssim']
    """
    options = {"neg_nrmse": {"normalization": normalization}}
    scorers = {
        name: make_scorer(
            metric,
            greater_is_better=not name.startswith("neg_"),
            match=match,
            **options.get(name, {}),
        )
        for name, metric in METRICS.items()
    }
    if scale is not None:
        scorers["coherence"] = make_scorer(coherence, scale=scale, match=match)
    requests: dict[str, dict[str, bool | str]] = {name: {} for name in scorers}
    centered: dict[str, tuple[Callable[..., Any], float, dict[str, Any]]] = {}
    if labels:
        for name, (metric, best) in _TISSUE_METRICS.items():
            centered[name] = metric, best, {}
            requests[name] = {"labels": labels}
    if lesions:
        name = "neg_lesion_contrast_error"
        centered[name] = lesion_contrast, 1.0, {"voxel_size_mm": voxel_size_mm}
        requests[name] = {"lesions": lesions}
    for name, (metric, best, extra) in centered.items():
        scorers[name] = make_scorer(
            _distance, greater_is_better=False, metric=metric, best=best, match=match, **extra
        )
    # A second call of set_score_request would forget the first.
    for name, request in requests.items():
        if mask:
            request["mask"] = mask
        if request:
            scorers[name].set_score_request(**request)
    return scorers


def _distance(y_true: Any, y_pred: Any, *, metric: Any, best: float, **options: Any) -> float:
    """Return the mean distance of a metric from its best value."""
    values = metric(y_true, y_pred, per_volume=True, **options)
    return float(np.abs(values - best).mean())


neg_nrmse_scorer, psnr_scorer, ssim_scorer = volume_scorers().values()
