"""The skip connection that brings an anisotropic level to the isotropic grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.deep.modules._residual_core import ConvReluNorm, fold_chain
from sklearn_iqt.patches import per_axis

__all__ = ["SkipBottleneck"]


class SkipBottleneck(nn.Module):
    """Refine a level in half its channels and upsample it slice-wise.

    Convolutions of size 1, 3 (``n_mappings`` times) and 1, added to the input, and a transposed
    convolution whose kernel and stride are both ``scale``: every voxel becomes a separate block.

    Parameters
    ----------
    n_channels : int
        Channels, even.
    scale : int or sequence of 3 ints
        Upsampling factors; (1, 1, u) for slices.
    n_mappings : int, default=2
        Number of 3x3x3 convolutions.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.

    Notes
    -----
    The "bottleneck block" of [1]_, an FSRCNN in three dimensions. Where all factors are 1 the
    transposed convolution stays, as in the authors' code, as a convolution of size one.

    References
    ----------
    .. [1] Lin et al., "Low-field magnetic resonance image enhancement via stochastic image quality
       transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> import torch
    >>> SkipBottleneck(16, scale=(1, 1, 4))(torch.rand(1, 16, 8, 8, 2)).shape
    torch.Size([1, 16, 8, 8, 8])
    """

    def __init__(
        self,
        n_channels: int,
        scale: int | Sequence[int],
        n_mappings: int = 2,
        padding_mode: PaddingMode = "replicate",
    ) -> None:
        super().__init__()
        narrow = n_channels // 2
        self.mapping = nn.Sequential(
            ConvReluNorm(n_channels, narrow, 1),
            *(ConvReluNorm(narrow, narrow, 3, padding_mode) for _ in range(n_mappings)),
            ConvReluNorm(narrow, n_channels, 1),
        )
        scale = per_axis(scale, "scale", "SkipBottleneck")
        self.upsample = nn.ConvTranspose3d(n_channels, n_channels, scale, stride=scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Refine and upsample.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, i, j, k)
            Feature maps of a level on the way down.

        Returns
        -------
        Tensor of shape (batch, n_channels, i * scale_i, j * scale_j, k * scale_k)
            Feature maps for the same level on the way up.
        """
        return self.upsample(self.mapping(x).add_(x))

    def fold_batch_norm(self) -> None:
        """Fold each normalisation but the last into the next convolution."""
        fold_chain(self.mapping)
