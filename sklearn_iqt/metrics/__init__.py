"""Metrics of 3-D volumes, with scorers and tables."""

from sklearn_iqt.metrics._differences import paired_differences
from sklearn_iqt.metrics._scorers import (
    neg_nrmse_scorer,
    psnr_scorer,
    ssim_scorer,
    volume_scorers,
)
from sklearn_iqt.metrics._table import mean_scores, score_table
from sklearn_iqt.metrics._volume import nrmse, psnr, ssim

__all__ = [
    "mean_scores",
    "neg_nrmse_scorer",
    "nrmse",
    "paired_differences",
    "psnr",
    "psnr_scorer",
    "score_table",
    "ssim",
    "ssim_scorer",
    "volume_scorers",
]
