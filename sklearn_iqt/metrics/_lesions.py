"""Contrast and volume of lesions that an estimate keeps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes

__all__ = ["lesion_contrast", "lesion_volume"]

# Outer border of a shell around a lesion, in mm; its inner border is `gap_mm`.
_SHELL_MM = 2.0


def lesion_contrast(
    y_true: Any,
    y_pred: Any,
    *,
    lesions: Any,
    gap_mm: float = 1.0,
    voxel_size_mm: ArrayLike | None = None,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the share of the contrast of lesions that an estimate keeps.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    lesions : volume or collection of volumes
        Masks of the lesions on the grids of the truths, above zero inside. Each connected part is
        a lesion.
    gap_mm : float, default=1.0
        Distance from a lesion at which its surroundings begin. It must exceed half the width of a
        soft rim.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the truth; it is required for arrays.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count. With a mask of white matter, lesions are compared with white
        matter alone.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        1 is best, and 0 means that lesions have the intensity of their surroundings. Above 1, their
        contrast is exaggerated, and below 0 it is inverted.

    Raises
    ------
    ValueError
        If there is no lesion, a lesion has no surroundings inside the mask, no lesion has a
        contrast in the truth, or a parameter is out of its range.
    GeometryMismatchError
        If a prediction, a mask or the lesions are not on the grid of the truth.

    See Also
    --------
    lesion_volume : The share of the volume.
    sklearn_iqt.simulation.insert_lesions : Lesions of known contrast.

    Notes
    -----
    The contrast of a lesion is its mean minus the mean of the shell of 2 mm around it that starts
    at ``gap_mm``. The result is the slope of the line through 0 that fits the contrasts of the
    estimate to those of the truth by least squares, so that faint lesions, whose ratio is mostly
    noise, weigh little. It does not count lesions that an estimate invents elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import lesion_contrast
    >>> lesions = np.zeros((12, 12, 12))
    >>> lesions[5:7, 5:7, 5:7] = 1
    >>> truth, estimate = 100 - 30 * lesions, 100 - 12 * lesions
    >>> round(lesion_contrast(truth, estimate, lesions=lesions, voxel_size_mm=1), 6)
    0.4
    """
    _check_gap(gap_mm, "lesion_contrast")

    def measure(pair: ScoredPair) -> float:
        contrasts = [
            (found.contrast(pair.truth), found.contrast(pair.prediction))
            for found in _lesions(pair, gap_mm, voxel_size_mm)
        ]
        true, estimated = np.array(contrasts).T
        energy = float(true @ true)
        if not energy > 0:
            raise ValueError(
                f"{pair.name}: no lesion of y_true differs from its surroundings. Check that "
                "lesions and y_true belong together."
            )
        return float(true @ estimated) / energy

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="lesion_contrast",
        mask=mask,
        labels=lesions,
        labels_name="lesions",
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def lesion_volume(
    y_true: Any,
    y_pred: Any,
    *,
    lesions: Any,
    gap_mm: float = 1.0,
    voxel_size_mm: ArrayLike | None = None,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the share of the volume of lesions that an estimate keeps.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    lesions : volume or collection of volumes
        Masks of the lesions on the grids of the truths, above zero inside. Each connected part is
        a lesion.
    gap_mm : float, default=1.0
        Distance from a lesion at which its surroundings begin, see :func:`lesion_contrast`.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the truth; it is required for arrays.
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
        Volume of all lesions in the estimate divided by their volume in the truth. 1 is best, and
        0 means that no lesion is left.

    Raises
    ------
    ValueError
        As for :func:`lesion_contrast`.
    GeometryMismatchError
        If a prediction, a mask or the lesions are not on the grid of the truth.

    See Also
    --------
    lesion_contrast : The share of the contrast.

    Notes
    -----
    In truth and estimate, the volume of a lesion is the number of voxels, inside it and up to
    ``gap_mm`` around it, that differ from their surroundings by more than half of the true
    contrast, in the same direction.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import lesion_volume
    >>> lesions = np.zeros((12, 12, 12))
    >>> lesions[5:7, 5:7, 5:7] = 1
    >>> truth, faint = 100 - 30 * lesions, 100 - 12 * lesions
    >>> lesion_volume(truth, faint, lesions=lesions, voxel_size_mm=1)
    0.0
    """
    _check_gap(gap_mm, "lesion_volume")

    def measure(pair: ScoredPair) -> float:
        sizes = np.zeros(2)
        for found in _lesions(pair, gap_mm, voxel_size_mm):
            contrast = found.contrast(pair.truth)
            sizes += [found.size(v, contrast) for v in (pair.truth, pair.prediction)]
        if not sizes[0] > 0:
            raise ValueError(
                f"{pair.name}: no lesion of y_true differs from its surroundings. Check that "
                "lesions and y_true belong together."
            )
        return float(sizes[1] / sizes[0])

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="lesion_volume",
        mask=mask,
        labels=lesions,
        labels_name="lesions",
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


class _Lesion(NamedTuple):
    """Voxels of a lesion, of its surroundings, and of those that may belong to it."""

    box: tuple[slice, ...]
    inside: NDArray[np.bool_]
    near: NDArray[np.bool_]
    shell: NDArray[np.bool_]

    def contrast(self, volume: NDArray) -> float:
        part = volume[self.box].astype(np.float64)
        return float(part[self.inside].mean() - part[self.shell].mean())

    def size(self, volume: NDArray, contrast: float) -> int:
        part = volume[self.box].astype(np.float64)
        differs = (part - part[self.shell].mean()) * np.sign(contrast) > abs(contrast) / 2
        return int(np.count_nonzero(differs & self.near))


def _check_gap(gap_mm: float, caller: str) -> None:
    if not (np.isfinite(gap_mm) and gap_mm >= 0):
        raise ValueError(f"{caller}: gap_mm must be finite and at least 0, got {gap_mm!r}.")


def _lesions(pair: ScoredPair, gap_mm: float, voxel_size_mm: ArrayLike | None) -> list[_Lesion]:
    """Return the lesions of a pair inside its mask."""
    size = pair.size_mm(voxel_size_mm)
    if pair.labels is None:
        raise ValueError(f"{pair.name}: lesions is None. Pass a mask of lesions for each volume.")
    every = pair.labels > 0
    counted = every if pair.inside is None else every & pair.inside
    numbers, count = ndimage.label(counted, np.ones((3, 3, 3)))
    if not count:
        raise ValueError(f"{pair.name}: there is no lesion inside the mask. Check the mask.")
    found = []
    margin = np.ceil((gap_mm + _SHELL_MM) / size).astype(int) + 1
    for n, part in enumerate(ndimage.find_objects(numbers), start=1):
        box = tuple(
            slice(max(p.start - m, 0), min(p.stop + m, length))
            for p, m, length in zip(part, margin, numbers.shape, strict=True)
        )
        inside = numbers[box] == n
        distance = ndimage.distance_transform_edt(~inside, sampling=size)
        allowed = ~every[box] if pair.inside is None else ~every[box] & pair.inside[box]
        shell = allowed & (distance > gap_mm) & (distance <= gap_mm + _SHELL_MM)
        if not shell.any():
            raise ValueError(
                f"{pair.name}: a lesion at voxel {tuple(p.start for p in part)} has no "
                "surroundings inside the mask. Pass a larger mask or another gap_mm."
            )
        found.append(_Lesion(box, inside, inside | (allowed & (distance <= gap_mm)), shell))
    return found
