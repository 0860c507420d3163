"""Metrics of 3-D volumes, with scorers and tables."""

from sklearn_iqt.metrics._data_consistency import DataConsistency, data_consistency
from sklearn_iqt.metrics._differences import paired_differences
from sklearn_iqt.metrics._edges import edge_width, edge_width_error
from sklearn_iqt.metrics._endpoints import endpoint_table
from sklearn_iqt.metrics._lesions import lesion_contrast, lesion_volume
from sklearn_iqt.metrics._rarity import bias_variance_by_rarity
from sklearn_iqt.metrics._scorers import (
    neg_nrmse_scorer,
    psnr_scorer,
    ssim_scorer,
    volume_scorers,
)
from sklearn_iqt.metrics._segment import segment_tissues, tissue_dice, tissue_volume_error
from sklearn_iqt.metrics._shells import fourier_shell_correlation, shell_resolution
from sklearn_iqt.metrics._spectra import coherence, coherence_spectrum
from sklearn_iqt.metrics._table import mean_scores, score_table
from sklearn_iqt.metrics._tissues import (
    contrast_error,
    regression_intercept,
    regression_slope,
    tissue_error,
)
from sklearn_iqt.metrics._volume import nrmse, psnr, ssim

__all__ = [
    "DataConsistency",
    "bias_variance_by_rarity",
    "coherence",
    "coherence_spectrum",
    "contrast_error",
    "data_consistency",
    "edge_width",
    "edge_width_error",
    "endpoint_table",
    "fourier_shell_correlation",
    "lesion_contrast",
    "lesion_volume",
    "mean_scores",
    "neg_nrmse_scorer",
    "nrmse",
    "paired_differences",
    "psnr",
    "psnr_scorer",
    "regression_intercept",
    "regression_slope",
    "score_table",
    "segment_tissues",
    "shell_resolution",
    "ssim",
    "ssim_scorer",
    "tissue_dice",
    "tissue_error",
    "tissue_volume_error",
    "volume_scorers",
]
