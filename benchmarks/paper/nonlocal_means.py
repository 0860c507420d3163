"""Baselines that denoise by non-local means: before interpolation, and to upsample.

They are not part of the package, because other software has them. Models with them can be stored
where this module is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.restoration import denoise_nl_means

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.persistence import register_class
from sklearn_iqt.preprocessing._noise import noise_level

__all__ = ["DenoisedInterpolation", "NonLocalUpsampling"]

# Patches of 3 x 3 x 3 voxels are compared within 7 x 7 x 7 voxels, as by Manjon et al.
WINDOWS = {"patch_size": 3, "patch_distance": 3, "fast_mode": True}
# Strengths of the filter, relative to the standard deviation of the scan. Manjon et al. use each
# strength until the volume has converged; here each is used once, which takes a third of the time.
STRENGTHS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)


@register_class
class DenoisedInterpolation(InterpolationIQT):
    """Denoise a scan by non-local means, then interpolate it.

    The standard deviation of the noise is estimated from the scan, and reduces the distances of
    patches.
    """

    def _predict_volume(
        self, volume: np.ndarray, mask: np.ndarray | None, return_std: bool, report_progress: Any
    ) -> tuple[np.ndarray, ...]:
        clean = _denoise(volume.astype(np.float32), mask)
        return super()._predict_volume(clean, mask, return_std, report_progress)


@register_class
class NonLocalUpsampling(InterpolationIQT):
    """Upsample a scan by non-local means, after denoising.

    J. V. Manjon et al., "Non-local MRI upsampling", Medical Image Analysis 14 (2010): the
    interpolated volume is filtered, and after each filter the mean of each block of high voxels is
    set to its low voxel. The strength of the filter is halved each time.
    """

    def _predict_volume(
        self, volume: np.ndarray, mask: np.ndarray | None, return_std: bool, report_progress: Any
    ) -> tuple[np.ndarray, ...]:
        low = _denoise(volume.astype(np.float32), mask)
        (high,) = super()._predict_volume(low, mask, return_std, report_progress)
        spread = float(low[low > 0].std() if mask is None else low[mask].std())
        for strength in STRENGTHS:
            filtered = denoise_nl_means(high, h=strength * spread, **WINDOWS)
            high = _keep_means(filtered, low, self.scale_)
        return (high,)


def _denoise(volume: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Filter by non-local means, with the strength that skimage recommends for this noise."""
    noise = noise_level(volume, mask)
    return denoise_nl_means(volume, h=0.8 * noise, sigma=noise, **WINDOWS) if noise else volume


def _keep_means(high: np.ndarray, low: np.ndarray, scale: tuple[int, int, int]) -> np.ndarray:
    """Set the mean of each block of high voxels to its low voxel."""
    blocks = [n for pair in zip(low.shape, scale, strict=True) for n in pair]
    missing = low - high.reshape(blocks).mean(axis=(1, 3, 5))
    return high + np.kron(missing, np.ones(scale, np.float32))
