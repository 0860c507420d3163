"""Enhance the volumes of a cohort one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, Pair, compare_voxel_sizes

__all__ = ["check_foreground", "predict_cohort"]

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
        Takes a pair and a function that reports the fraction of the volume that is done. Returns
        one or more volumes on the high grid.
    scale : sequence of 3 ints
        High voxels for each low voxel.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    spacing : ndarray of shape (3,) or None
        Voxel size of the training images, in mm; None if it is not known.
    progress : callable
        Returns a progress bar.

    Returns
    -------
    ndarray or tuple of ndarray
        Results of ``predict``, in containers of the kind that the user passed.

    Raises
    ------
    GeometryMismatchError
        If the voxel size of a scan is very different from the training images.
    FloatingPointError
        If a prediction is not finite.
    """
    for n in range(len(cohort)):
        _check_spacing(cohort, n, spacing, scale)
    results: list[tuple[NDArray[np.float32], ...]] = []
    style = BAR_OF_SEVERAL if len(cohort) > 1 else BAR_OF_ONE
    with progress(None, "enhancing", total=len(cohort), bar_format=style) as bar:

        def report(done: float) -> None:
            bar.update(len(results) + done - bar.n)

        for n in range(len(cohort)):
            pair = cohort.read(n)
            outputs = predict(pair, report)
            del pair
            if not all(np.isfinite(output).all() for output in outputs):
                raise FloatingPointError(
                    f"{cohort.caller}: the prediction has NaN or infinite voxels. Check the "
                    "intensities of the scan, or fit the model again."
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
            f"{cohort.caller}: {cohort.low.name_of(n)} has voxels of {ours} mm, but the training "
            f"images have voxels of {theirs} mm. {fault}, or, in Python, pass an array, which has "
            "no voxel size."
        )
