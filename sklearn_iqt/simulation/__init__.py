"""Simulation of low-field scans from high-quality volumes and their tissue maps."""

from sklearn_iqt.simulation._back_projection import back_project
from sklearn_iqt.simulation._degrade import degrade
from sklearn_iqt.simulation._lesions import insert_lesions
from sklearn_iqt.simulation._maps import tissue_maps_from_labels
from sklearn_iqt.simulation._presets import SNR_PRESETS, get_snr, mahalanobis_distance
from sklearn_iqt.simulation._scans import SimulatedScans
from sklearn_iqt.simulation._simulator import LowFieldSimulator
from sklearn_iqt.simulation._simulators import get_simulator
from sklearn_iqt.simulation._slices import SliceGeometry
from sklearn_iqt.simulation._snr import GaussianSNR, RatioSNR, SNRDistribution
from sklearn_iqt.simulation._tissues import estimate_tissue_maps

__all__ = [
    "SNR_PRESETS",
    "GaussianSNR",
    "LowFieldSimulator",
    "RatioSNR",
    "SNRDistribution",
    "SimulatedScans",
    "SliceGeometry",
    "back_project",
    "degrade",
    "estimate_tissue_maps",
    "get_simulator",
    "get_snr",
    "insert_lesions",
    "mahalanobis_distance",
    "tissue_maps_from_labels",
]
