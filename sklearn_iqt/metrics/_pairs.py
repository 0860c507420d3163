"""Walk through pairs of volumes, one in memory at a time, and score each."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from tqdm.auto import tqdm

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import VolumeCollection, as_volumes, grid_offset

Measure = Callable[[NDArray, NDArray, "NDArray[np.bool_] | None", str], float]


def score_volumes(
    measure: Measure,
    y_true: Any,
    y_pred: Any,
    mask: Any,
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
        What the user passed.
    mask : volume or collection of volumes or None
        Voxels above zero count.
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
    single = _is_volume(y_true)
    if _is_volume(y_pred) != single:
        raise ValueError(
            f"{caller}: one of y_true and y_pred is a single volume and the other a collection. "
            "Pass two volumes or two collections."
        )
    truths, predictions = (
        _collection(y_true, "y_true", caller),
        _collection(y_pred, "y_pred", caller),
    )
    masks = None if mask is None else _collection(mask, "mask", caller)
    for other, name in ((predictions, "y_pred"), (masks, "mask")):
        if other is not None and len(other) != len(truths):
            raise ValueError(
                f"{caller}: y_true holds {len(truths)} volumes and {name} {len(other)}. "
                "Pass one for each."
            )
    scores = np.empty(len(truths))
    for index in tqdm(range(len(truths)), desc=caller, disable=not verbose):
        pair = caller if single else f"{caller}, volume {index}"
        truth, prediction = _read_pair(truths, predictions, index, pair)
        inside = None if masks is None else _read_mask(masks, index, truth.shape, pair)
        scores[index] = measure(truth, prediction, inside, pair)
    return scores if per_volume else float(scores.mean())


def _is_volume(volumes: Any) -> bool:
    if isinstance(volumes, (SpatialImage, str, os.PathLike)):
        return True
    return isinstance(volumes, np.ndarray) and volumes.dtype != object and volumes.ndim == 3


def _collection(volumes: Any, name: str, caller: str) -> VolumeCollection:
    return as_volumes([volumes] if _is_volume(volumes) else volumes, name=name, caller=caller)


def _read_pair(
    truths: VolumeCollection, predictions: VolumeCollection, index: int, pair: str
) -> tuple[NDArray, NDArray]:
    truth, truth_affine = truths.read(index)
    prediction, affine = predictions.read(index)
    if truth.shape != prediction.shape:
        raise GeometryMismatchError(
            f"{pair}: y_true has shape {truth.shape} and y_pred {prediction.shape}. Bring the "
            "prediction onto the grid of the truth, for example by preprocessing.resample_to."
        )
    if truth_affine is not None and affine is not None:
        offset = grid_offset(truth.shape, truth_affine, affine)
        if offset:
            raise GeometryMismatchError(
                f"{pair}: y_true and y_pred have the same shape but lie up to {offset:.3g} mm "
                "apart. Resample one onto the other, or pass arrays if the affines are wrong."
            )
    return truth, prediction


def _read_mask(
    masks: VolumeCollection, index: int, shape: tuple[int, ...], pair: str
) -> NDArray[np.bool_]:
    inside = masks[index] > 0
    if inside.shape != shape:
        raise GeometryMismatchError(
            f"{pair}: the mask has shape {inside.shape} and y_true {shape}. Pass a mask on the "
            "grid of the truth."
        )
    if not inside.any():
        raise ValueError(f"{pair}: the mask is empty. Pass a mask with voxels above zero.")
    return inside
