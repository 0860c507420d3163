"""Make an enhanced volume agree with its scan, by back-projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from sklearn_iqt._axes import check_alignment, per_axis
from sklearn_iqt.io import read_volume
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._noise import noise_level
from sklearn_iqt.preprocessing._standardize import piecewise_linear
from sklearn_iqt.simulation._degrade import apply_matrix, check_thickness, slice_matrix

__all__ = ["ContrastMap", "back_project", "fit_contrast", "make_consistent"]

# Number of quantiles at which the map of intensities has a knot.
_N_KNOTS = 32
# Bands of frequencies in which the power of a difference is measured.
_N_BANDS = 24
# Directions that the slices hardly measure, relative to those that they measure best, are damped.
_DAMPING = 1e-2


class ContrastMap(NamedTuple):
    """An increasing map between the intensities of an enhanced volume and those of its scan.

    Parameters
    ----------
    enhanced, scan : ndarray of shape (n_knots,)
        Increasing intensities that correspond to each other.
    """

    enhanced: NDArray[np.float64]
    scan: NDArray[np.float64]

    def to_scan(self, volume: NDArray) -> NDArray[np.float64]:
        """Return intensities of the enhanced volume as they would be in the scan."""
        return piecewise_linear(volume, self.enhanced, self.scan)

    def to_enhanced(self, volume: NDArray) -> NDArray[np.float64]:
        """Return intensities of the scan as they would be in the enhanced volume."""
        return piecewise_linear(volume, self.scan, self.enhanced)


def fit_contrast(low: NDArray, degraded: NDArray, inside: NDArray[np.bool_]) -> ContrastMap | None:
    """Fit the increasing map from a degraded enhancement to its scan.

    Parameters
    ----------
    low, degraded : ndarray of shape (i, j, k)
        The scan, and its enhancement after blur and sampling.
    inside : ndarray of bool, shape (i, j, k)
        Foreground.

    Returns
    -------
    ContrastMap or None
        The isotonic regression of the mean intensities of 32 quantiles. None if the two do not
        increase together.
    """
    estimate, scan = degraded[inside].astype(np.float64), low[inside].astype(np.float64)
    if not estimate.size:
        return None
    edges = np.quantile(estimate, np.linspace(0, 1, _N_KNOTS + 1)[1:-1])
    group = np.searchsorted(edges, estimate)
    counts = np.bincount(group, minlength=_N_KNOTS)
    kept = counts > 0
    x, y = (np.bincount(group, v, _N_KNOTS)[kept] / counts[kept] for v in (estimate, scan))
    y = IsotonicRegression().fit(x, y, sample_weight=counts[kept]).predict(x)
    # Of knots with equal intensities, one remains.
    steps = np.diff(y) > 1e-9 * max(np.ptp(y), 1e-300)
    first = np.concatenate([[True], steps & (np.diff(x) > 0)])
    x, y = x[first], y[first]
    return ContrastMap(x, y) if len(x) > 1 else None


def back_project(
    low: ArrayLike,
    enhanced: ArrayLike,
    *,
    scale: int | Sequence[int] = (1, 1, 4),
    thickness: ArrayLike = 3,
    alignment: str = "center",
    mask: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Change an enhanced volume as little as possible, so that it agrees with its scan.

    Parameters
    ----------
    low : array-like of shape (i, j, k)
        The scan.
    enhanced : array-like of shape (i * scale_i, j * scale_j, k * scale_k)
        Its enhancement, in any unit.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        High voxels for each low voxel.
    thickness : float or sequence of 3 floats, default=3
        Full width at half maximum of the slice profile in high voxels, as in :func:`degrade`.
    alignment : {"center", "corner"}, default="center"
        Position of a low voxel, as in :func:`degrade`.
    mask : array-like of shape (i, j, k), default=None
        Foreground of the scan, where it is above zero. By default it is estimated.

    Returns
    -------
    ndarray of shape (i * scale_i, j * scale_j, k * scale_k), float32
        The enhancement with a correction. It is unchanged where it is exactly 0.

    Raises
    ------
    ValueError
        If the volumes do not have matching shapes, or are not finite.

    See Also
    --------
    sklearn_iqt.metrics.data_consistency : Measure how well the two agree.

    Notes
    -----
    The enhancement is degraded, and an increasing map between its intensities and those of the scan
    is fitted, so that a contrast that was changed on purpose stays changed. What then remains of
    the difference is noise and error. Noise has the same power in all bands of spatial frequencies;
    a Wiener filter, whose gain in each band is the part of the power above that of the noise,
    removes it. The filtered difference is added to the enhancement by the damped pseudo-inverse of
    the slice profile, which is back-projection until convergence [1]_.

    References
    ----------
    .. [1] M. Irani and S. Peleg, "Improving resolution by image registration", CVGIP: Graphical
       Models and Image Processing 53 (1991).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import back_project, degrade
    >>> radius = np.linalg.norm(np.indices((32, 32, 64)) - 15.5, axis=0)
    >>> wrong = np.select([radius < 9, radius < 13], [120.0, 80.0])  # without the lesion
    >>> truth = np.where(radius < 5, 60.0, wrong)
    >>> low = degrade(truth) + np.random.default_rng(0).normal(0, 1, (32, 32, 16))
    >>> right = back_project(low, wrong)
    >>> float(wrong[15, 15, 15].round()), float(right[15, 15, 15].round(-1))
    (120.0, 70.0)
    """
    scan, fine = (
        read_volume(volume, name=name, caller="back_project")[0]
        for volume, name in ((low, "low"), (enhanced, "enhanced"))
    )
    steps = per_axis(scale, "scale", "back_project")
    check_alignment(alignment, "back_project")
    if tuple(n // step for n, step in zip(fine.shape, steps, strict=True)) != scan.shape:
        raise ValueError(
            f"back_project: enhanced has shape {fine.shape}, which is not scale={scale} times the "
            f"shape {scan.shape} of low."
        )
    widths = check_thickness(thickness, "back_project")
    profiles = [
        None
        if step == 1
        else slice_matrix(size, size // step, step, (step - 1) / 2 * (alignment == "center"), width)
        for size, step, width in zip(fine.shape, steps, widths, strict=True)
    ]
    inside = foreground_mask(scan) if mask is None else np.asarray(mask) > 0
    return make_consistent(scan, fine, inside, profiles)


def make_consistent(
    low: NDArray,
    enhanced: NDArray,
    inside: NDArray[np.bool_],
    profiles: Sequence[NDArray[np.float64] | None],
) -> NDArray[np.float32]:
    """Back-project an enhancement by the matrices that blur and sample along each axis.

    Parameters
    ----------
    low, enhanced : ndarray of shape (i, j, k)
        The scan, and its enhancement on a finer grid.
    inside : ndarray of bool, shape of `low`
        Foreground of the scan.
    profiles : sequence of 3 ndarray or None
        Matrix of shape (length of the scan, length of the enhancement) along each axis, or None
        where the two have the same voxels.

    Returns
    -------
    ndarray of float32, shape of `enhanced`
        The corrected enhancement, see :func:`back_project`.
    """
    fine = np.asarray(enhanced, np.float32)
    degraded = fine
    for axis, profile in enumerate(profiles):
        if profile is not None:
            degraded = apply_matrix(degraded, profile, axis)
    contrast = fit_contrast(low, degraded, inside)
    if contrast is None:
        return fine
    wanted = contrast.to_enhanced(low)
    noise = noise_level(wanted, inside)
    change: NDArray[np.floating] = _without_noise(
        np.where(inside, wanted - degraded, 0), noise, inside
    )
    for axis, profile in enumerate(profiles):
        if profile is not None:
            product = profile @ profile.T
            damped = product + _DAMPING * np.linalg.eigvalsh(product)[-1] * np.eye(len(product))
            change = apply_matrix(change, profile.T @ np.linalg.inv(damped), axis)
    return np.where(fine == 0, fine, fine + change).astype(np.float32)


def _without_noise(
    difference: NDArray, noise: float, inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a difference without the power that noise has in each band of frequencies."""
    spectrum = np.fft.rfftn(difference)
    frequencies = [np.fft.fftfreq(n) for n in difference.shape[:2]]
    frequencies.append(np.fft.rfftfreq(difference.shape[2]))
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij", sparse=True)))
    band = np.minimum((radius / radius.max() * _N_BANDS).astype(int), _N_BANDS - 1)
    total = np.bincount(band.ravel(), (np.abs(spectrum) ** 2).ravel(), _N_BANDS)
    power = total / np.maximum(np.bincount(band.ravel(), minlength=_N_BANDS), 1)
    expected = noise**2 * inside.sum()
    gain = 1 - np.minimum(expected / np.maximum(power, 1e-300), 1)
    return np.fft.irfftn(spectrum * gain[band], difference.shape, axes=(0, 1, 2))
