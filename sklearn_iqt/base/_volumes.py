"""Enhancing the volumes of a cohort one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, Pair, compare_voxel_sizes

__all__ = ["check_foreground", "predict_cohort"]

# Bars that move by parts of a volume. With a single volume a count would only repeat the percents.
PART_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
PARTS_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"


def check_foreground(n_patches: int, background: float, caller: str) -> None:
    """Refuse to learn from no patch at all.

    Parameters
    ----------
    n_patches : int
        Patches that are left to learn from.
    background : float
        The largest fraction of background that a patch may have.
    caller : str
        The class that the message names.

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


def predict_cohort(
    cohort: Cohort,
    predict: Callable[[Pair, Callable[[float], Any]], tuple[NDArray[np.float32], ...]],
    *,
    scale: Sequence[int],
    alignment: str,
    spacing: NDArray[np.float64] | None,
    progress: Callable[..., Any],
) -> Any:
    """Enhance the volumes of a cohort one after another.

    Parameters
    ----------
    cohort : Cohort
        Low volumes, perhaps with masks.
    predict : callable
        Takes a pair and a function to report the part of it that is done; returns one or more
        volumes on the high grid.
    scale : sequence of 3 ints
        High voxels for each low voxel.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    spacing : ndarray of shape (3,) or None
        Voxel size that the estimator has learned from, in mm; None if it is not known.
    progress : callable
        Makes a progress bar.

    Returns
    -------
    ndarray or tuple of ndarray
        What ``predict`` returned, in containers of the kind of the cohort.

    Raises
    ------
    GeometryMismatchError
        If a scan has voxels that are far from those learned from.
    FloatingPointError
        If a prediction is not finite.
    """
    for n in range(len(cohort)):
        _check_spacing(cohort, n, spacing, scale)
    results: list[tuple[NDArray[np.float32], ...]] = []
    style = PARTS_BAR if len(cohort) > 1 else PART_BAR
    with progress(None, "enhancing", total=len(cohort), bar_format=style) as bar:

        def report(done: float) -> None:
            bar.update(len(results) + done - bar.n)

        for n in range(len(cohort)):
            pair = cohort.read(n)
            outputs = predict(pair, report)
            del pair
            if not all(np.isfinite(output).all() for output in outputs):
                raise FloatingPointError(
                    f"{cohort.caller}: the prediction holds NaN or infinite voxels. Fit the model "
                    "again, or check the intensities of the scan."
                )
            results.append(outputs)
            report(0)
    wrapped = [
        cohort.low.wrap(outputs, zoom=scale, alignment=alignment)
        for outputs in zip(*results, strict=True)
    ]
    return tuple(wrapped) if len(wrapped) > 1 else wrapped[0]


def _check_spacing(
    cohort: Cohort, n: int, learned: NDArray[np.float64] | None, scale: Sequence[int]
) -> None:
    affine = cohort.low.grid(n).affine
    if affine is None or learned is None:
        return
    spacing = voxel_sizes(affine)
    _, fault = compare_voxel_sizes(spacing, learned, scale)
    if fault is not None:
        ours, theirs = (" x ".join(f"{size:.4g}" for size in sizes) for sizes in (spacing, learned))
        raise GeometryMismatchError(
            f"{cohort.caller}: {cohort.low.name_of(n)} has voxels of {ours} mm, but those learned "
            f"from had {theirs} mm. {fault}; or, in Python, pass an array, which has no voxel size."
        )
