"""Named SNR distributions, and the distance of SNR pairs from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.simulation._snr import GaussianSNR, RatioSNR, SNRDistribution

_T1W_MEAN, _T1W_COVARIANCE = (64.50, 54.14), ((78.47, 71.50), (71.50, 73.91))
# One standard deviation around the mean SNR of white matter, at the noise of the 0.36 T scanner.
_T1W_SNR_WM = (55.64, 73.36)

#: SNR distributions by name, see :func:`get_snr`.
SNR_PRESETS: dict[str, SNRDistribution] = {
    "t1w_036t": GaussianSNR(_T1W_MEAN, _T1W_COVARIANCE),
    "flair_036t": GaussianSNR((35.031, 42.329), ((34.048, 39.850), (39.850, 50.293))),
    "ind1": GaussianSNR(_T1W_MEAN, _T1W_COVARIANCE, max_distance=1.0),
    "ind2": GaussianSNR(_T1W_MEAN, _T1W_COVARIANCE, min_distance=3.0, wm_above_gm=True),
    # From one vendor-reconstructed scan; ratio and SNR are upper bounds, see get_snr.
    "ulf_measured": GaussianSNR((25.0, 16.0), ((16.0, 10.8), (10.8, 9.0))),
    "ulf_physics": RatioSNR(ratio=(1.02, 1.32), snr_wm=(8.0, 25.0)),
    "low_contrast": RatioSNR(ratio=(1.00, 1.10), snr_wm=_T1W_SNR_WM),
    "noisy": GaussianSNR(
        tuple(value / 3 for value in _T1W_MEAN),  # type: ignore[arg-type]
        tuple(tuple(value / 9 for value in row) for row in _T1W_COVARIANCE),  # type: ignore[arg-type]
    ),
    "inverted": RatioSNR(ratio=(0.80, 0.98), snr_wm=_T1W_SNR_WM),
    "low_contrast_noisy": RatioSNR(
        ratio=(1.00, 1.10), snr_wm=(_T1W_SNR_WM[0] / 3, _T1W_SNR_WM[1] / 3)
    ),
    "wide": RatioSNR(ratio=(0.9, 1.8), snr_wm=(8.0, 90.0)),
}


def get_snr(snr: str | SNRDistribution) -> SNRDistribution:
    """
    Return the SNR distribution with a name, or the distribution itself.

    Parameters
    ----------
    snr : str or object with a `sample` method
        A key of `SNR_PRESETS`, or a distribution such as `GaussianSNR` or `RatioSNR`.

    Returns
    -------
    SNRDistribution
        The distribution over (SNR_WM, SNR_GM).

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the object cannot be sampled.

    Notes
    -----
    The last column is the range (5 to 95 %) of the Mahalanobis distance to `t1w_036t`, the
    distribution that a model is usually trained on. The Gaussians at 0.36 T are from [1]_.

    ================== ================================================== ==========
    name               description                                        distance
    ================== ================================================== ==========
    t1w_036t           T1-weighted Gaussian of the 0.36 T scanner         0.3 to 2.4
    flair_036t         the same for FLAIR, where GM is above WM           5.3 to 7.1
    ind1               t1w_036t within distance 1                         0.2 to 1.0
    ind2               t1w_036t beyond distance 3, with WM above GM       3.0 to 3.8
    ulf_measured       one 64 mT scan: mean (25, 16), SD (4, 3), r 0.9    3.9 to 5.2
    ulf_physics        Bloch WM/GM at 50 mT, 1.02 to 1.32, SNR_WM 8 to 25 4.7 to 6.4
    low_contrast       WM/GM 1.00 to 1.10, the noise of t1w_036t          1.7 to 3.5
    noisy              t1w_036t with both SNR divided by 3                4.4 to 5.5
    inverted           WM/GM 0.80 to 0.98, the noise of t1w_036t          4.1 to 8.8
    low_contrast_noisy WM/GM 1.00 to 1.10, SNR_WM divided by 3            4.9 to 5.5
    wide               WM/GM 0.90 to 1.80, SNR_WM 8 to 90                 1.4 to 6.7
    ================== ================================================== ==========

    `ulf_measured` comes from one scan at 64 mT, which the vendor of the scanner had reconstructed.
    Slices of 5 mm mix grey matter with fluid, and the reconstruction hides noise. So its WM/GM of
    1.6 and its SNR are upper bounds, and not estimates for scanners of this field.

    Low contrast, noise and inverted contrast are separate presets, so that the loss of a model can
    be attributed to one of them. The ultra-low-field presets combine them.

    References
    ----------
    .. [1] H. Lin et al., "Low-field magnetic resonance image enhancement via stochastic image
       quality transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> from sklearn_iqt.simulation import get_snr
    >>> get_snr("ind1").max_distance
    1.0
    """
    if isinstance(snr, str):
        if snr not in SNR_PRESETS:
            raise ValueError(
                f"get_snr: unknown SNR distribution {snr!r}. Choose one of "
                f"{sorted(SNR_PRESETS)}, or pass a GaussianSNR or RatioSNR."
            )
        return SNR_PRESETS[snr]
    if isinstance(snr, type) or not isinstance(snr, SNRDistribution):
        raise TypeError(
            "get_snr: snr must be a name or an object with a method sample(n, random_state), got "
            f"{snr!r}. Names are {sorted(SNR_PRESETS)}."
        )
    return snr


def mahalanobis_distance(
    snr: ArrayLike, reference: str | GaussianSNR = "t1w_036t"
) -> NDArray[np.float64]:
    """
    Measure how far SNR pairs lie from a Gaussian of training pairs.

    Parameters
    ----------
    snr : array-like of shape (n, 2)
        SNR of white matter and of grey matter.
    reference : str or GaussianSNR, default="t1w_036t"
        The Gaussian, or the name of one in `SNR_PRESETS`. For a ring, the whole Gaussian is used.

    Returns
    -------
    ndarray of shape (n,), float64
        Mahalanobis distances, at least 0.

    Raises
    ------
    ValueError
        If `snr` is not two columns of finite numbers or `reference` is an unknown name.
    TypeError
        If the reference is not a Gaussian.

    Examples
    --------
    >>> from sklearn_iqt.simulation import mahalanobis_distance
    >>> mahalanobis_distance([[64.5, 54.14], [25, 16]]).round(1)
    array([0. , 4.5])
    """
    gaussian = get_snr(reference)
    if not isinstance(gaussian, GaussianSNR):
        raise TypeError(
            "mahalanobis_distance: reference must be a GaussianSNR or the name of one, got "
            f"{reference!r}."
        )
    return gaussian.mahalanobis(snr)
