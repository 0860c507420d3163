"""Score pairs of volumes, with one pair in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from tqdm.auto import tqdm

from sklearn_iqt.io import Cohort
from sklearn_iqt.metrics._matching import check_match, match_intensities

Measure = Callable[[NDArray, NDArray, "NDArray[np.bool_] | None", str], float]


def score_volumes(
    measure: Measure,
    y_true: Any,
    y_pred: Any,
    mask: Any,
    match: str,
    per_volume: bool,
    verbose: int,
    caller: str,
) -> float | NDArray[np.float64]:
    """Apply a measure to one pair of volumes or to each pair of two collections.

    Parameters
    ----------
    measure : callable
        Takes truth, prediction, mask or None, and the name of the pair for messages.
    y_true, y_pred : volume or collection of volumes
        True and predicted volumes that the user passed.
    mask : volume or collection of volumes or None
        Only voxels above zero count.
    match : {"none", "gain", "affine"}
        How predictions are matched to the unit of their truths.
    per_volume : bool
        Whether to return one score for each pair rather than their mean.
    verbose : int
        Whether to show progress.
    caller : str
        Name of the metric in messages.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The scores.
    """
    check_match(match, caller)
    single = _is_volume(y_true)
    if _is_volume(y_pred) != single:
        raise ValueError(
            f"{caller}: one of y_true and y_pred is a single volume and the other is a collection. "
            "Pass two volumes or two collections."
        )
    make = Cohort.of_one if single else Cohort
    cohort = make(y_true, y_pred, mask, caller=caller, names=("y_true", "y_pred", "mask"))
    scores = np.empty(len(cohort))
    bar = tqdm(cohort, desc=caller, disable=not verbose)
    for index, (truth, prediction, inside, _) in enumerate(bar):
        name = caller if single else f"{caller}, volume {index}"
        matched = match_intensities(truth, prediction, inside, match)
        scores[index] = measure(truth, matched, inside, name)
    return scores if per_volume else float(scores.mean())


def _is_volume(volumes: Any) -> bool:
    if isinstance(volumes, (SpatialImage, str, os.PathLike)):
        return True
    return isinstance(volumes, np.ndarray) and volumes.dtype != object and volumes.ndim == 3
