"""Volume in, volume out: intensity standardisation, interpolation and resampling."""

from sklearn_iqt.preprocessing._interpolate import interpolation_matrix, upsample
from sklearn_iqt.preprocessing._scaling import foreground_mask, intensity_scale

__all__ = ["foreground_mask", "intensity_scale", "interpolation_matrix", "upsample"]
