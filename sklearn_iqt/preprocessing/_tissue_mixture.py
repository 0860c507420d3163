"""Mixture of three Gaussians that separates fluid, grey matter and white matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

__all__ = ["drop_outliers", "fit_tissue_mixture", "initial_tissue_means"]

# Percentiles of the intensities at which the means of fluid, grey and white matter start.
_INITIAL_PERCENTILES = (5, 40, 80)


def drop_outliers(
    intensities: NDArray[np.floating], darkest: float = 0.1, brightest: float = 0.2
) -> NDArray[np.float64]:
    """Leave out the darkest and brightest intensities, such as vessels and parts of the skull.

    Parameters
    ----------
    intensities : ndarray of shape (n_voxels,)
        Intensities of the brain.
    darkest, brightest : float, default=0.1 and 0.2
        Share of the voxels to leave out at either end, in percent. Scalers leave out more of the
        darkest voxels, because their foreground ends in partial volume with air.

    Returns
    -------
    ndarray of shape (n_inliers,), float64
        The other intensities, in the same order.
    """
    low, high = np.percentile(intensities, (darkest, 100 - brightest))
    return intensities[(intensities >= low) & (intensities <= high)].astype(np.float64)


def initial_tissue_means(intensities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the intensities at which the means of the three tissues start.

    Parameters
    ----------
    intensities : ndarray of shape (n_voxels,)
        Intensities of the brain.

    Returns
    -------
    ndarray of shape (3,)
        Percentiles of the intensities, for fluid, grey and white matter. They are different unless
        the intensities are almost constant.
    """
    return np.percentile(intensities, _INITIAL_PERCENTILES)


def fit_tissue_mixture(
    intensities: NDArray[np.floating],
    means: NDArray[np.floating],
    *,
    shared_variance: bool,
    random_state: Any = None,
) -> GaussianMixture:
    """Fit three Gaussians to the intensities of a T1-weighted brain.

    Parameters
    ----------
    intensities : ndarray of shape (n_voxels,)
        Intensities of the brain, without outliers, which would bias the means.
    means : ndarray of shape (3,)
        Initial means of fluid, grey and white matter.
    shared_variance : bool
        Whether the tissues share one variance. A segmentation needs this, because the broad class
        of fluid and partial volume would otherwise include voxels of grey matter. With a separate
        variance for each tissue, the means are less biased.
    random_state : int, RandomState instance or None, default=None
        Passed to :class:`sklearn.mixture.GaussianMixture`.

    Returns
    -------
    GaussianMixture
        The fitted mixture, in the unit of the intensities.
    """
    mixture = GaussianMixture(
        3,
        covariance_type="tied" if shared_variance else "full",
        means_init=np.asarray(means)[:, None],
        tol=1e-4,
        max_iter=200,
        # Relative to the intensities, so that the result does not depend on their unit.
        reg_covar=1e-6 * intensities.var(),
        random_state=random_state,
    )
    return mixture.fit(intensities[:, None])
