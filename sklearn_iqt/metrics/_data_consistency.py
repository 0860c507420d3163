"""Agreement of an enhanced volume with its scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, read_volume
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._noise import noise_level
from sklearn_iqt.simulation import degrade
from sklearn_iqt.simulation._back_projection import fit_contrast

__all__ = ["DataConsistency", "data_consistency"]

_CALLER = "data_consistency"


class DataConsistency(NamedTuple):
    """Agreement of an enhancement with its scan.

    Parameters
    ----------
    ratio : float
        Root mean square of the difference in the foreground, in standard deviations of the noise of
        the scan. An enhancement that contains the scan without its noise has about 1.
    rms : float
        The same, in the unit of the scan.
    nrmse : float
        Root mean square of the difference before contrasts were matched, relative to the largest
        intensity of the scan in the foreground.
    noise : float
        Standard deviation of the noise, in the unit of the scan.
    difference : ndarray of shape (i, j, k), float32
        The scan minus the degraded enhancement, after contrasts were matched. It is 0 in the
        background.
    """

    ratio: float
    rms: float
    nrmse: float
    noise: float
    difference: NDArray[np.float32]


def data_consistency(
    low: Any,
    enhanced: Any,
    *,
    scale: int | Sequence[int] = (1, 1, 4),
    thickness: ArrayLike = 3,
    alignment: str = "center",
    mask: Any = None,
) -> DataConsistency:
    """Measure how well an enhancement agrees with its scan.

    The enhancement is blurred and sampled like the scan. What then differs is noise, a contrast
    that was changed on purpose, or an error. The contrast is matched first, by the best increasing
    map of intensities.

    Parameters
    ----------
    low : array of shape (i, j, k), nibabel image or path
        The scan.
    enhanced : array of shape (i * scale_i, j * scale_j, k * scale_k), nibabel image or path
        Its enhancement.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        High voxels for each low voxel.
    thickness : float or sequence of 3 floats, default=3
        Full width at half maximum of the slice profile, in high voxels, at least 1.
    alignment : {"center", "corner"}, default="center"
        Position of a low voxel in its block of high voxels.
    mask : array of shape (i, j, k), nibabel image or path, default=None
        Foreground, where it is above zero. By default it is estimated.

    Returns
    -------
    DataConsistency
        The agreement as numbers and as a map.

    Raises
    ------
    GeometryMismatchError
        If the enhancement does not have ``scale`` voxels for each voxel of the scan.
    ValueError
        If a volume is not finite, or the foreground is empty.

    See Also
    --------
    sklearn_iqt.simulation.degrade : The blur and the sampling.
    sklearn_iqt.simulation.back_project : Make an enhancement agree with its scan.

    Notes
    -----
    Agreement does not mean that the details added between the slices are true. The ratio depends on
    an estimate of the noise, which fine anatomy makes too large in scans with little noise.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import data_consistency
    >>> from sklearn_iqt.simulation import degrade
    >>> rng = np.random.default_rng(0)
    >>> truth = np.zeros((24, 24, 48))
    >>> truth[6:18, 6:18, 12:36] = np.where(np.arange(12) < 6, 60, 100)[:, None, None]
    >>> low = degrade(truth) + rng.normal(0, 2, (24, 24, 12))
    >>> agreement = data_consistency(low, 1.5 * truth)  # another contrast
    >>> 0.8 < agreement.ratio < 1.2, agreement.difference.shape
    (True, (24, 24, 12))
    """
    names = ("low", "", "mask")
    pair = Cohort.of_one(low, mask=mask, caller=_CALLER, names=names).read(0)
    fine, _ = read_volume(enhanced, name="enhanced", caller=_CALLER)
    degraded = degrade(
        np.asarray(fine, np.float32), scale=scale, thickness=thickness, alignment=alignment
    )
    if degraded.shape != pair.low.shape:
        raise GeometryMismatchError(
            f"{_CALLER}: enhanced has shape {fine.shape}, which is not scale={scale} times the "
            f"shape {pair.low.shape} of low. Pass the enhancement of this scan."
        )
    inside = foreground_mask(pair.low) if pair.mask is None else pair.mask
    contrast = fit_contrast(pair.low, degraded, inside)
    matched = degraded if contrast is None else contrast.to_scan(degraded)
    noise = noise_level(pair.low, inside)
    difference = np.where(inside, pair.low - matched, 0).astype(np.float32)
    raw = pair.low[inside].astype(np.float64) - degraded[inside]
    rms = math.sqrt(np.mean(np.square(difference[inside], dtype=np.float64)))
    return DataConsistency(
        ratio=rms / noise if noise > 0 else (math.inf if rms > 0 else 1.0),
        rms=rms,
        nrmse=math.sqrt(np.mean(raw**2)) / float(pair.low[inside].max()),
        noise=noise,
        difference=difference,
    )
