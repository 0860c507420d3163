"""Enhance the volumes of a cohort one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from sklearn_iqt.base._training_grid import TrainingGrid
from sklearn_iqt.io import Cohort, Pair
from sklearn_iqt.preprocessing import upsample

__all__ = ["check_foreground", "predict_cohort", "r2_of_volumes", "refuse_nonfinite"]

# Formats of progress bars that move within a volume. For a single volume a count of volumes would
# only repeat the percentage.
BAR_OF_ONE = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
BAR_OF_SEVERAL = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"


def check_foreground(n_patches: int, background: float, caller: str) -> None:
    """Refuse a training without any patch of foreground.

    Parameters
    ----------
    n_patches : int
        Number of patches that are not mostly background.
    background : float
        Largest fraction of background that a patch may have.
    caller : str
        Class that the message names.

    Raises
    ------
    ValueError
        If there is no patch.
    """
    if not n_patches:
        raise ValueError(
            f"{caller}: every patch of every volume is more than {background:.0%} background. "
            "Check the volumes and masks, or raise background."
        )


def r2_of_volumes(predicted: Any, y: Any, sample_weight: Any, *, caller: str) -> float:
    """Return the mean coefficient of determination of predicted volumes.

    Parameters
    ----------
    predicted, y : volumes
        Predicted and true high-quality volumes.
    sample_weight : array-like of shape (n,) or None
        Weight of each volume.
    caller : str
        Class that error messages name.

    Returns
    -------
    float
        R² of the voxels. The best score is 1.
    """
    cohort = Cohort(predicted, y, caller=caller, names=("X", "y", "mask"))
    scores = [r2_score(pair.high.ravel(), pair.low.ravel()) for pair in cohort]
    return float(np.average(scores, weights=sample_weight))


def predict_cohort(
    cohort: Cohort,
    predict: Callable[[Pair, Callable[[float], Any]], tuple[NDArray[np.float32], ...]],
    *,
    scale: Sequence[int],
    alignment: str,
    trained_on: TrainingGrid | None,
    keep_zeros: bool,
    progress: Callable[..., Any],
) -> Any:
    """Enhance the volumes of a cohort one after another.

    Parameters
    ----------
    cohort : Cohort
        Low volumes, perhaps with masks.
    predict : callable
        Takes a pair and a function that reports the fraction of the volume that is done. Returns
        one or more volumes on the high grid.
    scale : sequence of 3 ints
        High voxels for each low voxel.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    trained_on : TrainingGrid or None
        Grid of the training images; None if it is not known.
    keep_zeros : bool
        Whether results are 0 where a scan is exactly 0, and not negative unless the scan is.
    progress : callable
        Returns a progress bar.

    Returns
    -------
    ndarray or tuple of ndarray
        Results of ``predict``, in containers of the kind that the user passed.

    Raises
    ------
    GeometryMismatchError
        If the voxel size or the order of axes of a scan is not the same as in training.
    FloatingPointError
        If a prediction is not finite.
    """
    for n in range(len(cohort)):
        affine = cohort.low.grid(n).affine
        if trained_on is not None and affine is not None and not cohort.low.turns:
            trained_on.check(affine, f"{cohort.caller}: {cohort.low.name_of(n)}")
    results: list[tuple[NDArray[np.float32], ...]] = []
    style = BAR_OF_SEVERAL if len(cohort) > 1 else BAR_OF_ONE
    with progress(None, "enhancing", total=len(cohort), bar_format=style) as bar:

        def report(done: float) -> None:
            bar.update(len(results) + done - bar.n)

        for n in range(len(cohort)):
            pair = cohort.read(n)
            outputs = predict(pair, report)
            if keep_zeros:
                outputs = _keep_zeros(pair.low, outputs, scale, alignment)
            for output in outputs:
                refuse_nonfinite(output, cohort.caller)
            del pair
            results.append(outputs)
            report(0)
    wrapped = [
        cohort.low.wrap(outputs, zoom=scale, alignment=alignment)
        for outputs in zip(*results, strict=True)
    ]
    return tuple(wrapped) if len(wrapped) > 1 else wrapped[0]


def refuse_nonfinite(prediction: NDArray, caller: str) -> None:
    """Raise FloatingPointError if a prediction of a volume or of rows is not finite."""
    if not np.isfinite(prediction).all():
        raise FloatingPointError(
            f"{caller}: the prediction has NaN or infinite values. Check the intensities of the "
            "scan, or fit the model again."
        )


def _keep_zeros(
    low: NDArray, outputs: Sequence[NDArray[np.float32]], scale: Sequence[int], alignment: str
) -> tuple[NDArray[np.float32], ...]:
    """Set the results to 0 where the scan is 0, and clip the prediction if the scan has no sign.

    A high voxel is background where linear interpolation finds more background than foreground, as
    in :func:`sklearn_iqt.preprocessing.resample_to`.
    """
    prediction, *others = outputs
    if low.min() >= 0:
        prediction = np.maximum(prediction, 0)
    foreground = low != 0
    if not foreground.all():
        weight = upsample(foreground.astype(np.float32), scale, order=1, alignment=alignment)
        inside = weight >= 0.5
        prediction, *others = (np.where(inside, part, 0) for part in (prediction, *others))
    return prediction, *others
