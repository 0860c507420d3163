"""Preprocessing of volumes: standardisation of intensities, interpolation and resampling."""

from sklearn_iqt.preprocessing._foreground import foreground_mask
from sklearn_iqt.preprocessing._interpolate import interpolation_matrix, upsample
from sklearn_iqt.preprocessing._resample import (
    looks_like_labels,
    resample_to,
    resample_to_voxel_size,
)
from sklearn_iqt.preprocessing._scaling import intensity_scale
from sklearn_iqt.preprocessing._skull import has_skull
from sklearn_iqt.preprocessing._standardize import NyulScaler, PercentileScaler
from sklearn_iqt.preprocessing._tissue_scaler import TissueScaler

__all__ = [
    "NyulScaler",
    "PercentileScaler",
    "TissueScaler",
    "foreground_mask",
    "has_skull",
    "intensity_scale",
    "interpolation_matrix",
    "looks_like_labels",
    "resample_to",
    "resample_to_voxel_size",
    "upsample",
]
