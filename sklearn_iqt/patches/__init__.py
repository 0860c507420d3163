"""Patches of volumes: their geometry, cutting, merging, paired sampling and prediction."""

from sklearn_iqt.patches._cut import chunks, cut_patches
from sklearn_iqt.patches._grid import PatchGrid, per_axis
from sklearn_iqt.patches._merge import PatchMerger, patch_window
from sklearn_iqt.patches._prediction import predict_volume, rows_per_chunk
from sklearn_iqt.patches._sampling import foreground_index, join_rows, sample_index, share
from sklearn_iqt.patches._source import PatchSource, ScaledVolume, TrainingPair
from sklearn_iqt.patches._transformer import PatchTransformer

__all__ = [
    "PatchGrid",
    "PatchMerger",
    "PatchSource",
    "PatchTransformer",
    "ScaledVolume",
    "TrainingPair",
    "chunks",
    "cut_patches",
    "foreground_index",
    "join_rows",
    "patch_window",
    "per_axis",
    "predict_volume",
    "rows_per_chunk",
    "sample_index",
    "share",
]
