"""Simulators with names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import clone

from sklearn_iqt.simulation._simulator import LowFieldSimulator
from sklearn_iqt.simulation._slices import SliceGeometry

_WIDE: Mapping[str, Any] = {
    "snr": "wide",
    "noise": ("gaussian", "rician"),
    "background": ("noise", "zero"),
    "csf": (0.5, 1.5),
    "gamma": (0.8, 1.25),
    "bias": (0.0, 0.3),
    "geometry": SliceGeometry(),
}
_PRESETS: Mapping[str, Mapping[str, Any]] = {"narrow": {}, "wide": _WIDE}


def get_simulator(simulator: str | LowFieldSimulator, **params: Any) -> LowFieldSimulator:
    """
    Return a simulator with a name, or the simulator itself.

    Parameters
    ----------
    simulator : str or LowFieldSimulator
        A name from the table below, or a simulator.
    **params : dict
        Parameters of :class:`LowFieldSimulator` that replace those of the preset.

    Returns
    -------
    LowFieldSimulator
        A new simulator.

    Raises
    ------
    ValueError
        If the name or a parameter is unknown.

    Notes
    -----
    ====== =========================================================================================
    name   scans
    ====== =========================================================================================
    narrow the defaults of :class:`LowFieldSimulator`: slices of four voxels with the contrast and
           noise of a 0.36 T scanner
    wide   any scanner: contrast and noise of the SNR distribution "wide" (WM/GM 0.9 to 1.8, SNR 8
           to 90), factor on CSF 0.5 to 1.5, gamma 0.8 to 1.25, bias field up to 30 %, Gaussian or
           Rician noise, background with noise or without, and the slices of :class:`SliceGeometry`
           along any axis. Models have ``scale=1``.
    ====== =========================================================================================

    For a wide range of contrast and noise with fixed slices, pass ``geometry=None`` and a `scale`.

    Gamma, bias field and Rician noise of the wide simulator also occur in families of test scans of
    the benchmarks of this package. A model that was trained on "wide" has seen such changes.

    Examples
    --------
    >>> from sklearn_iqt.simulation import SliceGeometry, get_simulator
    >>> get_simulator("wide", geometry=SliceGeometry(axes=(0, 2))).gamma
    (0.8, 1.25)
    """
    if isinstance(simulator, LowFieldSimulator):
        return clone(simulator).set_params(**params)
    if not isinstance(simulator, str) or simulator not in _PRESETS:
        raise ValueError(
            f"get_simulator: unknown simulator {simulator!r}. Choose one of {sorted(_PRESETS)}, or "
            "pass a LowFieldSimulator."
        )
    return LowFieldSimulator(**_PRESETS[simulator]).set_params(**params)
