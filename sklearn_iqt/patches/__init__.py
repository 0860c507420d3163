"""The patch engine: geometry, cutting, joining and paired sampling."""

from sklearn_iqt.patches._cut import chunks, cut_patches
from sklearn_iqt.patches._grid import PatchGrid, per_axis
from sklearn_iqt.patches._merge import PatchMerger, patch_window
from sklearn_iqt.patches._sampling import foreground_index, sample_index, sample_pair, share
from sklearn_iqt.patches._transformer import PatchTransformer, check_pair_shapes, check_pairs

__all__ = [
    "PatchGrid",
    "PatchMerger",
    "PatchTransformer",
    "check_pair_shapes",
    "check_pairs",
    "chunks",
    "cut_patches",
    "foreground_index",
    "patch_window",
    "per_axis",
    "sample_index",
    "sample_pair",
    "share",
]
