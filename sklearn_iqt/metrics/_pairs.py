"""Score pairs of volumes, with one pair in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from sklearn_iqt.io import Cohort
from sklearn_iqt.metrics._matching import check_match, match_intensities


class ScoredPair(NamedTuple):
    """A truth, its estimate, and what a measure may need to know about them.

    Parameters
    ----------
    truth, prediction : ndarray of shape (i, j, k)
        The two volumes; the prediction is in the unit that ``match`` gives it.
    inside : ndarray of bool, shape (i, j, k), or None
        Voxels that count, or None for all.
    labels : ndarray of shape (i, j, k) or None
        Label map on the same grid, if the measure takes one.
    voxel_size_mm : ndarray of shape (3,) or None
        Voxel size in mm; None for arrays.
    name : str
        Name of the pair in messages.
    """

    truth: NDArray
    prediction: NDArray
    inside: NDArray[np.bool_] | None
    labels: NDArray | None
    voxel_size_mm: NDArray[np.float64] | None
    name: str

    def size_mm(self, voxel_size_mm: ArrayLike | None) -> NDArray[np.float64]:
        """Return the voxel size of the user if there is one, or else that of the affine.

        Parameters
        ----------
        voxel_size_mm : float or array-like of shape (3,), or None
            What the user passed.

        Returns
        -------
        ndarray of shape (3,), float64
            Voxel size in mm.

        Raises
        ------
        ValueError
            If it is not known or not positive.
        """
        given = self.voxel_size_mm if voxel_size_mm is None else voxel_size_mm
        if given is None:
            raise ValueError(
                f"{self.name}: the voxel size of an array is not known. Pass voxel_size_mm, or "
                "images with an affine."
            )
        size = np.asarray(given, dtype=np.float64)
        if size.shape not in ((), (3,)) or not (np.isfinite(size) & (size > 0)).all():
            raise ValueError(
                f"{self.name}: voxel_size_mm must be one positive number or three, got {given!r}."
            )
        return np.broadcast_to(size, 3).copy()


Measure = Callable[[ScoredPair], float]


def score_volumes(
    measure: Measure,
    y_true: Any,
    y_pred: Any,
    *,
    caller: str,
    mask: Any = None,
    labels: Any = None,
    labels_name: str = "labels",
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Apply a measure to one pair of volumes or to each pair of two collections.

    Parameters
    ----------
    measure : callable
        Takes a :class:`ScoredPair` and returns a number.
    y_true, y_pred : volume or collection of volumes
        True and predicted volumes that the user passed.
    caller : str
        Name of the metric in messages.
    mask : volume or collection of volumes or None
        Only voxels above zero count.
    labels : volume or collection of volumes or None
        Label maps on the grids of the truths.
    labels_name : str
        Their name in messages.
    match : {"none", "gain", "affine"}
        How predictions are matched to the unit of their truths.
    per_volume : bool
        Whether to return one score for each pair rather than their mean.
    verbose : int
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        The scores.
    """
    check_match(match, caller)
    single = _is_volume(y_true)
    for name, other in (("y_pred", y_pred), (labels_name, labels)):
        if other is not None and _is_volume(other) != single:
            raise ValueError(
                f"{caller}: one of y_true and {name} is a single volume and the other is a "
                "collection. Pass two volumes or two collections."
            )
    make = Cohort.of_one if single else Cohort
    cohort = make(y_true, y_pred, mask, caller=caller, names=("y_true", "y_pred", "mask"))
    maps = None
    if labels is not None:
        maps = make(y_true, labels, caller=caller, names=("y_true", labels_name, "mask")).high
    scores = np.empty(len(cohort))
    bar = tqdm(cohort, desc=caller, disable=not verbose)
    for index, (truth, prediction, inside, affine) in enumerate(bar):
        scores[index] = measure(
            ScoredPair(
                truth,
                match_intensities(truth, prediction, inside, match),
                inside,
                None if maps is None else maps[index],
                None if affine is None else voxel_sizes(affine),
                caller if single else f"{caller}, volume {index}",
            )
        )
    return scores if per_volume else float(scores.mean())


def _is_volume(volumes: Any) -> bool:
    if isinstance(volumes, (SpatialImage, str, os.PathLike)):
        return True
    return isinstance(volumes, np.ndarray) and volumes.dtype != object and volumes.ndim == 3
