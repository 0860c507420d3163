"""Simulators with names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from sklearn_iqt.simulation._simulator import LowFieldSimulator
from sklearn_iqt.simulation._slices import SliceGeometry
from sklearn_iqt.simulation._snr import GaussianSNR, check_snr

_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "narrow": {},
    "wide": {
        "snr": "wide",
        "noise": ("gaussian", "rician"),
        "background": ("noise", "zero"),
        "csf": (0.5, 1.5),
        "gamma": (0.8, 1.25),
        "bias": (0.0, 0.3),
        "n_lesions": (0, 3),
        "geometry": SliceGeometry(),
    },
    "measured": {
        "noise": "rician",
        "background": ("noise", "zero"),
        "csf": (0.8, 1.25),
        "gamma": (0.9, 1.1),
        "bias": (0.0, 0.2),
    },
}
# Relative standard deviation of the SNR of a scanner, and correlation of the two tissues, where
# fewer scans were measured than a covariance needs. As at 0.36 T (preset "t1w_036t").
_SPREAD, _CORRELATION = 0.15, 0.94
_FEWEST_SCANS = 4


def get_simulator(simulator: str | LowFieldSimulator, **params: Any) -> LowFieldSimulator:
    """
    Return a simulator with a name, or the simulator itself.

    Parameters
    ----------
    simulator : str or LowFieldSimulator
        A name from the table below, or a simulator.
    **params : dict
        Parameters of :class:`LowFieldSimulator` that replace those of the preset. "measured" needs
        `snr`: the (SNR_WM, SNR_GM) of one scan, or an array of shape (n_scans, 2).

    Returns
    -------
    LowFieldSimulator
        A new simulator.

    Raises
    ------
    ValueError
        If the name or a parameter is unknown, or the measured SNR is not positive.

    Notes
    -----
    ======== =======================================================================================
    name     scans
    ======== =======================================================================================
    narrow   the defaults of :class:`LowFieldSimulator`: slices of four voxels with the contrast and
             noise of a 0.36 T scanner
    wide     any scanner: contrast and noise of the SNR distribution "wide" (WM/GM 0.9 to 1.8, SNR 8
             to 90), factor on CSF 0.5 to 1.5, gamma 0.8 to 1.25, bias field up to 30 %, Gaussian or
             Rician noise, background with noise or without, up to three lesions, and the slices of
             :class:`SliceGeometry` along any axis. Models have ``scale=1``.
    measured one scanner: a Gaussian around the SNR that you measured, factor on CSF 0.8 to 1.25,
             gamma 0.9 to 1.1, bias field up to 20 %, Rician noise, background with noise or
             without, and slices as in "narrow". Pass the `geometry` of your scanner as well, or
             `scale`, `thickness` and `gap`.
    ======== =======================================================================================

    For a wide range of contrast and noise with fixed slices, pass ``geometry=None`` and a `scale`.

    From four scans or more, the Gaussian of "measured" has their mean and covariance. From fewer,
    its standard deviation is 15 % of the mean, with a correlation of 0.94 between the two tissues.
    The 0.36 T distribution of the paper has 14 % and 0.94.

    Gamma, bias field and Rician noise of the wide simulator also occur in families of test scans of
    the benchmarks of this package. A model that was trained on "wide" has seen such changes.

    Examples
    --------
    >>> from sklearn_iqt.simulation import SliceGeometry, get_simulator
    >>> get_simulator("wide", geometry=SliceGeometry(axes=(0, 2))).gamma
    (0.8, 1.25)
    >>> get_simulator("measured", snr=(25, 16)).snr.mean
    (25.0, 16.0)
    """
    if isinstance(simulator, LowFieldSimulator):
        return clone(simulator).set_params(**params)
    if not isinstance(simulator, str) or simulator not in _PRESETS:
        raise ValueError(
            f"get_simulator: unknown simulator {simulator!r}. Choose one of {sorted(_PRESETS)}, or "
            "pass a LowFieldSimulator."
        )
    if simulator == "measured":
        if "snr" not in params:
            raise ValueError(
                "get_simulator: 'measured' needs the SNR of your scanner. Pass snr=(SNR_WM, "
                "SNR_GM), or one such pair for each scan."
            )
        params = {**params, "snr": _measured(params["snr"])}
    return LowFieldSimulator(**_PRESETS[simulator]).set_params(**params)


def _measured(snr: Any) -> GaussianSNR:
    """Return the distribution of pairs that were measured."""
    pairs = check_snr(np.atleast_2d(snr), caller="get_simulator")
    if not (pairs > 0).all():
        raise ValueError(f"get_simulator: the measured SNR must be above 0, got {snr!r}.")
    mean = pairs.mean(axis=0)
    if len(pairs) >= _FEWEST_SCANS:
        covariance = np.cov(pairs.T)
    else:
        deviation = _SPREAD * mean
        covariance = np.outer(deviation, deviation)
        covariance[[0, 1], [1, 0]] *= _CORRELATION
    return GaussianSNR(mean, covariance)  # type: ignore[arg-type]
