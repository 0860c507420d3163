"""Description of the training scans, with which other scans are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.io import Cohort, Pair
from sklearn_iqt.io._orientation import axis_codes, slice_direction
from sklearn_iqt.preprocessing._scan_features import FEATURES, measure_scan

__all__ = ["PATCHES", "SLICES", "Difference", "compare_scan", "describe_scans", "slices_of"]

# Names of what is not a feature: the directions of slices, and moments of patches.
SLICES, PATCHES = "slices", "patches"
_DIRECTIONS = "RAS"
# At most this many scans are measured, which takes a second each.
_MOST_SCANS = 64
# Principal components of patches that count as explained.
_N_COMPONENTS = 8
_LEAST_RESIDUAL = 1e-6


class Difference(NamedTuple):
    """A number of a scan, and of the training scans.

    Parameters
    ----------
    name : str
        Key of ``FEATURES``.
    value : float or None
        Of the scan; None if it cannot be measured.
    learned : tuple of 2 floats
        Smallest and largest of the training scans.
    distance : float
        Distance from the mean of the training scans, in standard deviations between subjects; 0 on
        a side where scans are not worse. Infinite if the number can be measured in the training
        scans and not in this scan.
    """

    name: str
    value: float | None
    learned: tuple[float, float]
    distance: float


def describe_scans(
    cohort: Cohort, previous: Mapping[str, NDArray] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Describe the low scans of a training.

    Parameters
    ----------
    cohort : Cohort
        The training scans.
    previous : mapping, default=None
        Description of earlier training scans, to which these are added.

    Returns
    -------
    dict of str to ndarray of float64
        By feature, the values of all scans in which it could be measured. ``"slices"`` has the
        directions of thick slices: 0 for sagittal, 1 for coronal and 2 for axial ones.
        ``"patches"`` is the sum of second moments of the patches of the scans.

    Notes
    -----
    The novelty of a training scan is measured by the patches of the other training scans.
    """
    chosen = np.arange(len(cohort))
    if len(cohort) > _MOST_SCANS:
        chosen = np.linspace(0, len(cohort) - 1, _MOST_SCANS).astype(int)
    rows, moments = [], []
    for n in chosen:
        mask = None if cohort.masks is None else cohort.masks[int(n)] > 0
        low, affine = cohort.low.read(int(n), None if mask is None else ~mask)
        features, patches = measure_scan(low, _spacing(affine), mask)
        rows.append(features | _slices(affine))
        moments.append(_moments(patches))
    described = {} if previous is None else dict(previous)
    known = [m for m in moments if m is not None]
    total = sum(known, described.get(PATCHES, np.zeros((28, 28))))
    if known:
        described[PATCHES] = total
    for row, own in zip(rows, moments, strict=True):
        if own is not None:
            others = total - own
            row["novelty"] = _novelty(own, others if others[-1, -1] > 0 else total)
    for name in (*FEATURES, SLICES):
        values = [row[name] for row in rows if name in row]
        if values:
            described[name] = np.append(described.get(name, np.empty(0)), values)
    return described


def compare_scan(pair: Pair, learned: Mapping[str, NDArray]) -> list[Difference]:
    """Compare a scan with the training scans.

    Parameters
    ----------
    pair : Pair
        The scan, on the grid of the training scans.
    learned : mapping
        From :func:`describe_scans`.

    Returns
    -------
    list of Difference
        One for each feature that the training scans have.
    """
    measured, patches = measure_scan(pair.low, _spacing(pair.affine), pair.mask)
    moments = _moments(patches)
    if moments is not None and PATCHES in learned:
        measured["novelty"] = _novelty(moments, learned[PATCHES])
    differences = []
    for name, feature in FEATURES.items():
        values = learned.get(name)
        if values is None or (name == "size" and pair.affine is None):
            continue
        value = measured.get(name)
        # Few training scans vary less than subjects do.
        own = values.std(ddof=1) if len(values) > 1 else 0.0
        spread = np.sqrt(feature.deviation**2 * (1 + 1 / len(values)) + own**2)
        distance = np.inf if value is None else feature.harm((value - values.mean()) / spread)
        span = float(values.min()), float(values.max())
        differences.append(Difference(name, value, span, float(distance)))
    return differences


def slices_of(learned: Mapping[str, NDArray]) -> set[str]:
    """Return the directions of thick slices in the training scans, such as {"S"}."""
    return {_DIRECTIONS[int(n)] for n in learned.get(SLICES, ())}


def _slices(affine: NDArray | None) -> dict[str, float]:
    if affine is None:
        return {}
    direction = slice_direction(voxel_sizes(affine), axis_codes(affine))
    return {} if direction is None else {SLICES: float(_DIRECTIONS.index(direction))}


def _spacing(affine: NDArray | None) -> list[float] | None:
    return None if affine is None else voxel_sizes(affine).tolist()


def _moments(patches: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the mean products of voxels, and of each voxel with one, or None without patches."""
    if not len(patches):
        return None
    rows = np.column_stack([patches, np.ones(len(patches))])
    return rows.T @ rows / len(rows)


def _novelty(own: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the logarithm of the intensity that components of other patches do not explain."""
    others = others / others[-1, -1]
    mean = others[:-1, -1]
    _, vectors = np.linalg.eigh(others[:-1, :-1] - np.outer(mean, mean))
    rest = vectors[:, :-_N_COMPONENTS]
    mixed = np.outer(own[:-1, -1], mean)
    around_mean = own[:-1, :-1] - mixed - mixed.T + np.outer(mean, mean)
    variance = np.einsum("ia,ij,ja->", rest, around_mean, rest) / len(mean)
    return float(np.log(max(np.sqrt(max(variance, 0.0)), _LEAST_RESIDUAL)))
