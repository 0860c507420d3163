"""The weights of the atoms at every voxel."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sklearn_iqt.deep.modules._padding import PaddingMode

__all__ = ["BottleneckBlock", "PixelPredictor"]


class BottleneckBlock(nn.Module):
    """Add a correction that is computed in a quarter of the channels.

    Convolutions of size 1, 3 and 1 take ``n_channels`` to a quarter, through it, and back, each
    followed by batch normalisation and the first two by ReLU. Nothing follows the sum.

    Parameters
    ----------
    n_channels : int
        Channels, a multiple of 4.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.
    """

    def __init__(self, n_channels: int, padding_mode: PaddingMode = "replicate") -> None:
        super().__init__()
        narrow = n_channels // 4
        self.layers = nn.Sequential(
            nn.Conv3d(n_channels, narrow, 1),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            nn.Conv3d(narrow, narrow, 3, padding=1, padding_mode=padding_mode),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            nn.Conv3d(narrow, n_channels, 1),
            nn.BatchNorm3d(n_channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input plus its correction.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, i, j, k)
            Feature maps.

        Returns
        -------
        Tensor of shape (batch, n_channels, i, j, k)
            Feature maps.
        """
        return self.layers(x).add_(x)


class PixelPredictor(nn.Module):
    """Predict the weights of the atoms from features and the dictionary's code.

    Features and code are joined to 2 * n_atoms channels; ten bottleneck blocks and a convolution,
    under one outer skip, refine them, and a softmax over the atoms gives the weights.

    Parameters
    ----------
    n_atoms : int
        Number of atoms, which is also the number of feature channels. Even.
    n_blocks : int, default=10
        Number of bottleneck blocks.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.

    Notes
    -----
    Section 2.2.2 of [1]_. The code is the same at every voxel, so its half of the first convolution
    is added as a bias and never expanded over the volume; the result and the parameters equal
    those of the concatenation.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.

    Examples
    --------
    >>> import torch
    >>> predictor = PixelPredictor(n_atoms=8)
    >>> predictor(torch.rand(2, 8, 5, 5, 3), torch.rand(1, 8)).sum(dim=1).allclose(torch.ones(1))
    True
    """

    def __init__(
        self, n_atoms: int, n_blocks: int = 10, padding_mode: PaddingMode = "replicate"
    ) -> None:
        super().__init__()
        width = 2 * n_atoms
        self.join = nn.Conv3d(width, width, 1)
        self.body = nn.Sequential(
            *(BottleneckBlock(width, padding_mode) for _ in range(n_blocks)),
            nn.Conv3d(width, width, 1),
        )
        self.head = nn.Conv3d(width, n_atoms, 1)

    def forward(self, features: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """Predict the map of each atom.

        Parameters
        ----------
        features : Tensor of shape (batch, n_atoms, i, j, k)
            What the extractor found.
        code : Tensor of shape (batch or 1, n_atoms)
            Code of each sample's dictionary, or of the one for all.

        Returns
        -------
        Tensor of shape (batch, n_atoms, i, j, k)
            Weights, positive, with sum one at every voxel.
        """
        of_features, of_code = self.join.weight.split([features.shape[1], code.shape[1]], dim=1)
        bias = functional.linear(code, of_code.flatten(1), self.join.bias)
        if features.is_contiguous(memory_format=torch.channels_last_3d):  # keep that layout
            product = functional.linear(features.movedim(1, -1), of_features.flatten(1))
            joined = product.add_(bias[:, None, None, None]).movedim(-1, 1)
        else:
            joined = functional.conv3d(features, of_features).add_(bias[..., None, None, None])
        return torch.softmax(self.head(self.body(joined).add_(joined)), dim=1)
