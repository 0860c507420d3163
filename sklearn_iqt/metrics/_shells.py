"""Fourier shell correlation of estimate and truth, in all directions or in a cone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.utils import Bunch

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes

__all__ = ["fourier_shell_correlation", "shell_resolution"]

# Width in voxels over which the window falls to 0 at the border of the mask or of the volume.
_TAPER = 8
# Half the opening of the cone around an axis, in degrees.
_CONE = 30.0


def fourier_shell_correlation(
    y_true: Any,
    y_pred: Any,
    *,
    axis: int | None = None,
    voxel_size_mm: ArrayLike | None = None,
    n_shells: int | None = None,
    mask: Any = None,
) -> Bunch:
    """Correlate estimate and truth in shells of spatial frequency.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image or path
        The truth and its estimate.
    axis : int, default=None
        Count only frequencies within 30 degrees of this axis, 0, 1 or 2. By default all directions
        count.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the truth; it is required for arrays.
    n_shells : int, default=None
        Number of shells from 0 to the highest frequency that all voxel sizes can represent, or that
        the voxel size along the axis can. By default half the number of voxels along the shortest
        axis, or along the axis.
    mask : array of shape (i, j, k), image or path, default=None
        The volumes are faded out towards the border of the mask.

    Returns
    -------
    sklearn.utils.Bunch
        ``frequency`` of shape (n_shells,), the middle of each shell in cycles per mm, and
        ``correlation`` of the same shape, between -1 and 1, NaN where a volume has no energy.

    Raises
    ------
    ValueError
        If the voxel size of arrays is not given, or a parameter is out of its range.
    GeometryMismatchError
        If the estimate or the mask is not on the grid of the truth.

    See Also
    --------
    shell_resolution : The frequency up to which the two agree, in mm.
    coherence : Coherence along the thick axis, which does not see a shift or a filter.

    Notes
    -----
    With X and Y the 3-D spectra of truth and estimate, the correlation of a shell is
    ``Re(sum(X conj(Y))) / sqrt(sum(|X|**2) sum(|Y|**2))`` [1]_. The mean inside the mask is
    subtracted, and a window rises from 0 at its border to 1 within 8 voxels. Both volumes share
    this window, which correlates neighbouring shells, but adds no correlation to volumes without
    any. A shift of the estimate lowers the correlation at high frequencies.

    References
    ----------
    .. [1] G. Harauz and M. van Heel, "Exact filters for general geometry three dimensional
       reconstruction", Optik 73 (1986).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import fourier_shell_correlation
    >>> truth, noise = np.random.default_rng(0).normal(size=(2, 32, 32, 32))
    >>> shells = fourier_shell_correlation(truth, truth + noise, voxel_size_mm=1)
    >>> shells.frequency[-1].round(3), shells.correlation[8:].mean().round(1)
    (np.float64(0.484), np.float64(0.7))
    """
    found = Bunch()
    measure = _make_measure(found, axis, voxel_size_mm, n_shells, "fourier_shell_correlation")
    score_volumes(measure, y_true, y_pred, caller="fourier_shell_correlation", mask=mask)
    return found


def shell_resolution(
    y_true: Any,
    y_pred: Any,
    *,
    threshold: float = 0.5,
    axis: int | None = None,
    voxel_size_mm: ArrayLike | None = None,
    n_shells: int | None = None,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the finest detail in mm up to which estimate and truth agree.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    threshold : float, default=0.5
        Correlation that counts as agreement, between 0 and 1.
    axis : int, default=None
        Count only frequencies within 30 degrees of this axis, 0, 1 or 2.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the truth; it is required for arrays.
    n_shells : int, default=None
        Number of shells, see :func:`fourier_shell_correlation`.
    mask : volume or collection of volumes, default=None
        The volumes are faded out towards the border of the mask.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`. Neither a gain nor
        an offset changes the result.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        1 / f in mm, where f is the highest frequency at which the correlation reaches the
        threshold, by linear interpolation between shells. Lower is better. At best, f is the
        highest frequency of all, and the result is two voxels. It is infinite if the correlation
        reaches the threshold nowhere.

    Raises
    ------
    ValueError
        As for :func:`fourier_shell_correlation`, or if the threshold is out of its range.
    GeometryMismatchError
        If a prediction or a mask is not on the grid of its truth.

    Notes
    -----
    The first shells hold few frequencies, and a difference in contrast or a bias field lowers their
    correlation. The search therefore starts at the highest frequency, and goes down.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import shell_resolution
    >>> truth = np.random.default_rng(0).normal(size=(32, 32, 32))
    >>> shell_resolution(truth, truth, voxel_size_mm=1.5)
    3.0
    """
    caller = "shell_resolution"
    if not 0 < threshold < 1:
        raise ValueError(f"{caller}: threshold must be between 0 and 1, got {threshold!r}.")
    found = Bunch()
    correlate = _make_measure(found, axis, voxel_size_mm, n_shells, caller)

    def measure(pair: ScoredPair) -> float:
        highest = correlate(pair)
        known = np.isfinite(found.correlation)
        frequency, correlation = found.frequency[known], found.correlation[known]
        if not len(correlation):
            raise ValueError(f"{pair.name}: a volume is constant, so it has no detail to compare.")
        agreeing = np.flatnonzero(correlation >= threshold)
        if not agreeing.size:
            return np.inf
        n = int(agreeing[-1]) + 1
        if n == len(correlation):
            return 1 / highest
        before, after = correlation[n - 1], correlation[n]
        share = (before - threshold) / (before - after)
        return float(1 / (frequency[n - 1] + share * (frequency[n] - frequency[n - 1])))

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller=caller,
        mask=mask,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def _make_measure(
    found: Bunch, axis: int | None, voxel_size_mm: Any, n_shells: int | None, caller: str
) -> Any:
    """Return a measure that writes the curve to ``found`` and returns the highest frequency."""
    if axis not in (None, 0, 1, 2):
        raise ValueError(f"{caller}: axis must be None, 0, 1 or 2, got {axis!r}.")
    if n_shells is not None and not n_shells >= 2:
        raise ValueError(f"{caller}: n_shells must be at least 2, got {n_shells!r}.")

    def measure(pair: ScoredPair) -> float:
        size = pair.size_mm(voxel_size_mm)
        shape = pair.truth.shape
        coarse = int(np.argmax(size)) if axis is None else axis
        highest = float(1 / (2 * size[coarse]))
        count = n_shells or max(2, (min(shape) if axis is None else shape[axis]) // 2)
        window = _window(pair)
        x, y = (_spectrum(volume, window) for volume in (pair.truth, pair.prediction))
        # rfftn leaves out half of the last axis. Its frequencies count twice.
        frequencies = [np.fft.fftfreq(n, d) for n, d in zip(shape[:2], size, strict=False)]
        frequencies.append(np.fft.rfftfreq(shape[2], size[2]))
        twice = np.full(len(frequencies[2]), 2.0)
        twice[0] = 1
        if shape[2] % 2 == 0:
            twice[-1] = 1
        grid = np.meshgrid(*frequencies, indexing="ij", sparse=True)
        radius = np.sqrt(sum(f**2 for f in grid))
        kept = (radius > 0) & (radius <= highest * (1 + 1e-9))
        if axis is not None:
            kept &= np.abs(grid[axis]) >= np.cos(np.deg2rad(_CONE)) * radius
        shell = np.minimum((radius[kept] / highest * count).astype(int), count - 1)
        weights = np.broadcast_to(twice, radius.shape)[kept]
        x, y = x[kept], y[kept]

        def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(shell, weights * values, count).astype(np.float64)

        energy = total(np.abs(x) ** 2) * total(np.abs(y) ** 2)
        product = total((x * y.conj()).real)
        correlation = np.full(count, np.nan)
        np.divide(product, np.sqrt(energy), out=correlation, where=energy > 0)
        found.update(frequency=(np.arange(count) + 0.5) * highest / count, correlation=correlation)
        return highest

    return measure


def _window(pair: ScoredPair) -> NDArray[np.float64]:
    """Return a window that rises from the border of the mask or of the volume."""
    inside = np.ones(pair.truth.shape, bool) if pair.inside is None else pair.inside
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1]
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(depth / _TAPER, 1))


def _spectrum(volume: NDArray, window: NDArray[np.float64]) -> NDArray[np.complex128]:
    mean = np.average(volume, weights=window)
    return np.fft.rfftn(window * (volume.astype(np.float64) - mean))
