"""Numbers that describe a scan without labels, so that scans can be compared."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.preprocessing._foreground import foreground_mask
from sklearn_iqt.preprocessing._noise import noise_level
from sklearn_iqt.preprocessing._resample import looks_like_labels
from sklearn_iqt.preprocessing._scaling import intensity_scale
from sklearn_iqt.preprocessing._skull import crossings
from sklearn_iqt.preprocessing._standardize import Scan
from sklearn_iqt.preprocessing._tissue_faults import relative_depth
from sklearn_iqt.preprocessing._tissue_scaler import TissueScaler

__all__ = ["FEATURES", "Feature", "measure_scan"]

# A brain has more voxels than this; less is not measured.
_LEAST_VOXELS = 1000
# Noise is never below this part of the unit of intensity, as in scans made without any.
_LEAST_NOISE = 1e-4
# Number and size of the patches of a scan.
_N_PATCHES, _PATCH = 1000, 3


@dataclass(frozen=True)
class Feature:
    """A number that describes a scan.

    Parameters
    ----------
    topic : str
        What it belongs to, in a word or two.
    words : str
        What it is.
    deviation : float
        Standard deviation between subjects of one study, scanned in one way.
    style : str
        Format of its value.
    is_log : bool
        Whether the natural logarithm is stored, as for lengths and ratios.
    side : {"both", "above", "below"}
        On which side of the training scans a scan is worse.
    refuses : bool
        Whether a scan may be refused by this number alone.
    """

    topic: str
    words: str
    deviation: float
    style: str = ".2f"
    is_log: bool = False
    side: str = "both"
    refuses: bool = True

    def harm(self, deviation: float) -> float:
        """Return how far a value is on the worse side, for its signed deviation."""
        signs = {"both": abs(deviation), "above": deviation, "below": -deviation}
        return max(signs[self.side], 0.0)

    def show(self, value: float) -> str:
        """Return a stored value as text."""
        return format(math.exp(value) if self.is_log else value, self.style)


#: The numbers, by name. The deviations were measured in simulated scans of training and validation
#: subjects of two studies, and rounded up.
FEATURES = {
    "contrast": Feature("contrast", "ratio of white to grey matter", 0.04),
    "fluid": Feature("contrast", "ratio of fluid to grey matter", 0.05),
    "width": Feature(
        "kind of contrast", "width of the brightest tissue relative to grey matter", 0.015
    ),
    "depth": Feature(
        "kind of contrast",
        "depth of the brightest tissue below the surface relative to the next one",
        0.08,
    ),
    "snr": Feature("noise", "signal-to-noise ratio", 0.17, ".0f", is_log=True, side="below"),
    "skull": Feature("skull", "part of the rays from the centre that cross a skull", 0.04),
    "labels": Feature("labels", "whether all voxels are labels (1) or not (0)", 0.01, ".0f"),
    "size": Feature(
        "field of view", "size of the foreground in ml", 0.1, ".0f", is_log=True, refuses=False
    ),
    "sharpness_ij": Feature(
        "sharpness", "detail along i relative to j", 0.035, is_log=True, refuses=False
    ),
    "sharpness_k": Feature(
        "sharpness", "detail along k relative to i and j", 0.06, is_log=True, refuses=False
    ),
    "novelty": Feature(
        "patches",
        "intensity of patches that the patches of training scans do not explain",
        0.09,
        ".3f",
        is_log=True,
        side="above",
    ),
}


def measure_scan(
    volume: NDArray,
    spacing: Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Return numbers that describe a scan, and some of its patches.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        A scan.
    spacing : sequence of 3 floats, default=None
        Voxel size in mm; by default unknown.
    mask : ndarray of bool, shape (i, j, k), default=None
        Its brain. Everything outside is replaced by 0.

    Returns
    -------
    features : dict of str to float
        Values of ``FEATURES``. Those that cannot be measured are left out, and the novelty, which
        depends on other scans.
    patches : ndarray of shape (n_patches, 27), float64
        At most 1000 patches of 3 x 3 x 3 voxels, spread over the foreground, in the unit of
        intensity of the scan. In a scan with less than 1000 voxels of foreground, n_patches is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.preprocessing._scan_features import measure_scan
    >>> rng = np.random.default_rng(0)
    >>> radius = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0)
    >>> labels = np.select([radius < 11, radius < 15, radius < 17], [3, 2, 1])
    >>> scan = np.array([0, 40, 100, 120])[labels] + rng.normal(size=labels.shape)
    >>> features, patches = measure_scan(scan)
    >>> round(features["contrast"], 1), patches.shape
    (1.2, (1000, 27))
    """
    if mask is not None:
        volume = np.where(mask, volume, 0)
    tight = foreground_mask(volume, fill_holes=False)
    features = {"labels": float(looks_like_labels(volume))}
    if tight.sum() < _LEAST_VOXELS or not volume.max() > 0 or tight.all():
        return features, np.empty((0, _PATCH**3))
    inside = ndimage.binary_fill_holes(tight)
    inner = ndimage.binary_erosion(inside)
    unit = intensity_scale(volume, tight)
    features |= _tissues(volume, tight, (1.0,) * 3 if spacing is None else spacing)
    in_plane = (0, 1) if spacing is None else np.argsort(spacing, kind="stable")[:2].tolist()
    noise = noise_level(volume, inside, axes=in_plane) / unit
    features["snr"] = -math.log(max(noise, _LEAST_NOISE))
    features["skull"] = crossings(volume)
    if spacing is not None:
        features["size"] = math.log(inside.sum() * math.prod(spacing) / 1000)
    detail = [_detail(volume, inner, axis) for axis in range(3)]
    if min(detail) > 0:
        features["sharpness_ij"] = math.log(detail[0] / detail[1])
        features["sharpness_k"] = math.log(detail[2] / math.sqrt(detail[0] * detail[1]))
    return features, _patches(volume, inner) / unit


def _patches(volume: NDArray, inner: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return patches around voxels, which are not at the border of the volume."""
    centers = np.flatnonzero(inner)
    # Every nth voxel in the order of memory would lie on stripes.
    order = np.random.RandomState(0).permutation(len(centers))[:_N_PATCHES]
    chosen = np.stack(np.unravel_index(centers[order], volume.shape), axis=1)
    offsets = np.indices((_PATCH,) * 3).reshape(3, -1).T - _PATCH // 2
    places = chosen[:, None] + offsets
    return volume[tuple(np.moveaxis(places, -1, 0))].astype(np.float64)


def _tissues(
    volume: NDArray, tight: NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, float]:
    """Return ratios of the tissues that a mixture finds, or nothing if it finds none."""
    scan = Scan(volume, tight, False, "measure_scan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, about the convergence of the mixture
        means, widths = TissueScaler(10_000)._tissues(scan)
    if not np.isfinite(means).all():
        return {}
    return {
        "contrast": float(means[2] / means[1]),
        "fluid": float(means[0] / means[1]),
        "width": float(widths[2] / means[1]),
        "depth": relative_depth(scan, means, widths, spacing),
    }


def _detail(volume: NDArray, inner: NDArray[np.bool_], axis: int) -> float:
    """Return the mean absolute difference of neighbours along an axis, or 0 without neighbours."""
    ends = [slice(None, -1), slice(1, None)]
    first, second = ((*[slice(None)] * axis, end) for end in ends)
    differences = np.abs(volume[second] - volume[first])[inner[first] & inner[second]]
    return float(differences.mean(dtype=np.float64)) if differences.size else 0.0
