"""Low-field scans simulated from high-quality volumes and their tissue maps."""

from sklearn_iqt.simulation._simulator import LowFieldSimulator, tissue_maps_from_labels
from sklearn_iqt.simulation._snr import (
    SNR_PRESETS,
    GaussianSNR,
    RatioSNR,
    SNRDistribution,
    get_snr,
    mahalanobis_distance,
)
from sklearn_iqt.simulation._tissues import estimate_tissue_maps

__all__ = [
    "SNR_PRESETS",
    "GaussianSNR",
    "LowFieldSimulator",
    "RatioSNR",
    "SNRDistribution",
    "estimate_tissue_maps",
    "get_snr",
    "mahalanobis_distance",
    "tissue_maps_from_labels",
]
