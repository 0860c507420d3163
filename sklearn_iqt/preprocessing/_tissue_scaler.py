"""Scale T1-weighted volumes to the contrast between tissues in the training volumes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sklearn_iqt.exceptions import ScanWarning
from sklearn_iqt.preprocessing._standardize import IntensityScaler, Scan, piecewise_linear
from sklearn_iqt.preprocessing._tissue_faults import find_fault
from sklearn_iqt.preprocessing._tissue_mixture import (
    drop_outliers,
    fit_tissue_mixture,
    initial_tissue_means,
)

__all__ = ["TissueScaler"]

# Share of the darkest intensities that are left out, in percent.
_DARKEST = 0.5


class TissueScaler(IntensityScaler):
    """Scale volumes to the ratios between fluid, grey and white matter of the training volumes.

    A mixture of three Gaussians finds the mean intensities of the tissues of a volume. The means
    are changed to the ratios of the training volumes, relative to grey matter. The intensity of
    grey matter does not change, so that a volume keeps its unit.

    Parameters
    ----------
    max_samples : int, default=50_000
        Largest number of intensities of a volume that the mixture is fitted to, at least 100. If
        the foreground has more voxels, the mixture is fitted to this number of quantiles.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    ratios_ : ndarray of shape (3,)
        Intensities of fluid, grey and white matter relative to grey matter, means over the
        training volumes.
    masked_ : bool
        Whether masks were passed to ``fit``. If :meth:`transform` differs, it warns.

    See Also
    --------
    NyulScaler : Match percentiles, without a model of tissues.

    Notes
    -----
    The scaler is made for skull-stripped T1-weighted volumes, in which fluid is darker than grey
    matter and grey matter is darker than white matter.

    The means of a mixture are biased: in simulated scans of four real brains, WM/GM ratios of 1.02
    to 1.20 were estimated as 1.12 to 1.28, and ratios of 1.53 to 1.58 as 1.43 to 1.54. Because
    training volumes have the same bias, a high contrast is corrected well and a low contrast
    hardly. If grey and white matter are almost equal, mostly noise separates them, and this noise
    is amplified.

    The default foreground is the voxels at or above the mean. It holds less fluid if the field of
    view is tighter, so pass masks if fields of view differ. The map is linear between 0 and the
    three tissues, and continues linearly beyond them.

    A warning says if the means are not plausible for a T1-weighted brain: if there is so little air
    that the default foreground leaves out parts of the brain, if the brightest class is much wider
    than white matter, as in scans with a skull, or if it is not deeper in the brain than the middle
    class, as in T2-weighted and FLAIR scans. :doc:`The page on units </performance/units>` has
    the scans on which this was measured.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.preprocessing import TissueScaler
    >>> rng = np.random.default_rng(0)
    >>> radius = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0)
    >>> labels = np.select([radius < 7, radius < 9.5, radius < 11], [3, 2, 1])
    >>> volumes = [
    ...     np.array([0, 40, 100, wm])[labels] + rng.normal(size=labels.shape) for wm in (120, 160)
    ... ]
    >>> scaler = TissueScaler().fit(volumes[:1])
    >>> white = [float(v[labels == 3].mean().round()) for v in scaler.transform(volumes)]
    >>> white
    [120.0, 120.0]
    """

    _parameter_constraints: dict = {
        "max_samples": [Interval(Integral, 100, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(self, max_samples: int = 50_000, *, verbose: int = 0) -> None:
        self.max_samples = max_samples
        self.verbose = verbose

    def tissue_means(self, volume: Any, mask: Any = None) -> NDArray[np.float64]:
        """Return the mean intensities of the three tissues of a volume, also without a fit.

        Parameters
        ----------
        volume : array of shape (i, j, k), nibabel image or path
            The volume.
        mask : array of shape (i, j, k), nibabel image or path, default=None
            Voxels above zero are the foreground. By default the foreground is the voxels at or
            above the mean of the volume.

        Returns
        -------
        ndarray of shape (3,), float64
            Means of fluid, grey and white matter, increasing, in the unit of the volume.

        Raises
        ------
        ValueError
            If the volume is not finite, or three tissues cannot be distinguished.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_iqt.preprocessing import TissueScaler
        >>> rng = np.random.default_rng(0)
        >>> radius = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0)
        >>> labels = np.select([radius < 7, radius < 9.5, radius < 11], [3, 2, 1])
        >>> volume = np.array([0, 40, 100, 120])[labels] + rng.normal(size=labels.shape)
        >>> TissueScaler().tissue_means(volume).round()
        array([ 40., 100., 120.])
        """
        self._validate_params()
        cohort = self._cohort([volume], None if mask is None else [mask])
        (scan,) = self._scans(cohort)
        return self._means(scan)

    def _fit_volumes(self, scans: Iterator[Scan]) -> None:
        means = np.array([self._means(scan) for scan in scans])
        self.ratios_ = np.mean(means / means[:, 1:2], axis=0)

    def _scale(self, scan: Scan) -> NDArray:
        means = self._means(scan)
        return piecewise_linear(scan.volume, [0, *means], [0, *(means[1] * self.ratios_)])

    def _means(self, scan: Scan) -> NDArray[np.float64]:
        """Return the means of the three tissues, and warn if they are not plausible."""
        means, widths = self._tissues(scan)
        if not np.isfinite(means).all():
            foreground = scan.foreground
            raise ValueError(
                f"{scan.name}: fluid, grey and white matter cannot be distinguished in a "
                f"foreground with intensities from {foreground.min():g} to {foreground.max():g}. "
                "Pass a T1-weighted volume, or a mask of its brain."
            )
        fault = find_fault(scan, means, widths)
        if fault is not None:
            source = "the mask" if scan.masked else "the estimated foreground"
            found = ", ".join(f"{mean:.4g}" for mean in means)
            warnings.warn(
                f"{scan.name}: the intensities of fluid, grey and white matter in {source}, "
                f"{found}, are probably wrong, because {fault}",
                ScanWarning,
                stacklevel=4,
            )
        return means

    def _tissues(self, scan: Scan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the means and widths of the three tissues; NaN if they are not distinguished."""
        sample = self._sample(drop_outliers(scan.foreground, _DARKEST))
        means, widths = initial_tissue_means(sample), np.ones(3)
        if means[-1] > 0 and (np.diff(means) > 0).all():
            mixture = fit_tissue_mixture(sample, means, shared_variance=False, random_state=0)
            order = np.argsort(mixture.means_.ravel())
            means = mixture.means_.ravel()[order]
            widths = np.sqrt(mixture.covariances_.ravel()[order])
        if not (means[0] > 0 and (np.diff(means) > 0).all()):
            return np.full(3, np.nan), np.full(3, np.nan)
        return means, widths

    def _sample(self, intensities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all intensities, or ``max_samples`` quantiles if there are more."""
        if intensities.size <= self.max_samples:
            return intensities
        # np.quantile searches for each quantile separately, which can take seconds.
        wanted = (np.arange(self.max_samples) + 0.5) / self.max_samples * (intensities.size - 1)
        return np.interp(wanted, np.arange(intensities.size), np.sort(intensities))
