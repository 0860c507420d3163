"""Estimate contrast and noise of a scan, and the consistency of its enhancement."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.isotonic import IsotonicRegression

from sklearn_iqt.io import Cohort, Pair
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.preprocessing import TissueScaler, foreground_mask
from sklearn_iqt.preprocessing._noise import background_noise, tissue_noise

# Depth in mm of the surface of the brain, and of the start of its core.
_SURFACE_MM, _CORE_MM = 4.0, 12.0


class Quality(NamedTuple):
    """Mean intensities of grey and white matter, the noise, and the region it was measured in."""

    gm: float
    wm: float
    noise: float
    source: str

    @property
    def contrast(self) -> float:
        """Ratio of white to grey matter."""
        return self.wm / self.gm

    @property
    def snr(self) -> tuple[float, float]:
        """Signal-to-noise ratios of white and of grey matter."""
        return self.wm / self.noise, self.gm / self.noise


class Consistency(NamedTuple):
    """Differences in the foreground between the scan and the degraded enhancement."""

    raw: float
    mapped: float
    rms: float
    residual: NDArray[np.float32]


def estimate_surface(
    low: NDArray[Any], foreground: NDArray[np.bool_], spacing: Sequence[float]
) -> float:
    """Return the brightness of the surface of the brain relative to its core.

    The surface is cortex and fluid, and the core is white matter. The ratio is about 0.5 to 0.7 in
    T1-weighted, 0.9 in FLAIR and 1.3 in T2-weighted scans. NaN if the foreground has no core.
    """
    depth = ndimage.distance_transform_edt(foreground, sampling=spacing)
    surface, core = low[(depth > 0) & (depth <= _SURFACE_MM)], low[depth > _CORE_MM]
    if not core.size or not np.median(core) > 0:
        return math.nan
    return float(surface.mean() / np.median(core))


def describe_scans(scans: Any, mask: Any = None) -> dict[str, tuple[float, float]]:
    """Measure the contrast and the noise of training scans, for their training card.

    The report measures a scan in the same way, and compares it with these ranges.

    Parameters
    ----------
    scans : array of shape (n, i, j, k), sequence of images or paths
        Low scans that a model is trained on.
    mask : same kind, default=None
        Brain of each scan, where it is above zero.

    Returns
    -------
    dict of str to tuple of 2 floats
        Smallest and largest value of the fields "contrast", "surface", "snr_wm" and "snr_gm" of
        :class:`~sklearn_iqt.persistence.TrainingCard`. A field is left out if it cannot be measured
        in a scan, for example because its tissues cannot be distinguished.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.report import describe_scans
    >>> rng = np.random.default_rng(0)
    >>> radius = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0)
    >>> labels = np.select([radius < 7, radius < 9.5, radius < 11], [3, 2, 1])
    >>> scans = [
    ...     np.array([0, 40, 100, wm])[labels] + rng.normal(size=labels.shape) for wm in (120, 160)
    ... ]
    >>> [round(ratio, 1) for ratio in describe_scans(scans)["contrast"]]
    [1.2, 1.6]
    """
    cohort = Cohort(scans, mask=mask, caller="describe_scans", names=("scans", "", "mask"))
    measured = [_describe_scan(pair) for pair in cohort]
    columns = {name: [scan[name] for scan in measured] for name in measured[0]}
    return {
        name: (min(values), max(values))
        for name, values in columns.items()
        if np.isfinite(values).all()
    }


def _describe_scan(pair: Pair) -> dict[str, float]:
    low = pair.low
    spacing = (1.0, 1.0, 1.0) if pair.affine is None else voxel_sizes(pair.affine).tolist()
    foreground = foreground_mask(low) if pair.mask is None else pair.mask
    contrast, wm, gm = math.nan, math.nan, math.nan
    with contextlib.suppress(ValueError):
        quality = estimate_quality(low, foreground, spacing, pair.mask)
        contrast, (wm, gm) = quality.contrast, quality.snr
    surface = estimate_surface(low, foreground, spacing)
    return {"snr_wm": wm, "snr_gm": gm, "contrast": contrast, "surface": surface}


def estimate_quality(
    low: NDArray[Any],
    foreground: NDArray[np.bool_],
    spacing: Sequence[float],
    mask: NDArray[np.bool_] | None = None,
) -> Quality:
    """Return the contrast and noise of a scan; raise ValueError if they cannot be estimated.

    Tissues are found in the mask of the user. Without one, the scaler estimates its foreground and
    checks whether it can be right.
    """
    with warnings.catch_warnings():
        # A report on tissues that are probably wrong would mislead.
        warnings.simplefilter("error", UserWarning)
        try:
            _, gm, wm = TissueScaler().tissue_means(low, mask)
        except UserWarning as doubt:
            raise ValueError(str(doubt)) from doubt
    noise = background_noise(low, foreground)
    source = "background"
    if noise is None:
        noise = tissue_noise(low, foreground & (low > (gm + wm) / 2), spacing)
        source = "white matter"
    if noise is None or not noise > 0:
        raise ValueError("noise cannot be measured: neither background nor white matter varies")
    return Quality(float(gm), float(wm), float(noise), source)


def measure_consistency(
    low: NDArray[Any], degraded: NDArray[Any], foreground: NDArray[np.bool_]
) -> Consistency:
    """Compare a scan and its degraded enhancement, before and after a monotone map.

    The map of intensities is the monotone function with the least squared difference.
    """
    scan, estimate = low[foreground], degraded[foreground]
    mapped = IsotonicRegression(out_of_bounds="clip").fit_transform(estimate, scan)
    residual = np.zeros(low.shape, np.float32)
    residual[foreground] = np.abs(mapped - scan)
    rms = math.sqrt(np.mean(np.square(residual[foreground], dtype=np.float64)))
    raw = float(nrmse(low, degraded, mask=foreground))
    return Consistency(raw, rms / float(scan.max()), rms, residual)
