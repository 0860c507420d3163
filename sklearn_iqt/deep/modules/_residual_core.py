"""The residual core of the anisotropic U-Net, and the layers it is made of."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn

from sklearn_iqt.deep.modules._folding import factor_and_shift, fold_into_next
from sklearn_iqt.deep.modules._padding import PaddingMode

__all__ = ["ConvReluNorm", "ResidualCore", "fold_chain", "keras_batch_norm", "keras_init_"]


def keras_batch_norm(n_channels: int) -> nn.BatchNorm3d:
    """Build batch normalisation with the defaults of Keras.

    Parameters
    ----------
    n_channels : int
        Channels.

    Returns
    -------
    BatchNorm3d
        Epsilon 1e-3 and a running mean that keeps 99 % at each step, which torch calls 0.01.
    """
    return nn.BatchNorm3d(n_channels, eps=1e-3, momentum=0.01)


def keras_init_(net: nn.Module) -> None:
    """Initialise the convolutions of a net as Keras does, in place.

    Parameters
    ----------
    net : Module
        Every convolution in it, transposed or not, gets Glorot-uniform weights and no bias.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ConvReluNorm(nn.Sequential):
    """Convolve to the same size, then ReLU, then batch normalisation.

    Parameters
    ----------
    n_in, n_out : int
        Channels before and after.
    size : int, default=3
        Kernel size, odd.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What the convolution sees beyond the edge.
    """

    def __init__(
        self, n_in: int, n_out: int, size: int = 3, padding_mode: PaddingMode = "replicate"
    ) -> None:
        super().__init__(
            nn.Conv3d(n_in, n_out, size, padding=size // 2, padding_mode=padding_mode),
            nn.ReLU(inplace=True),
            keras_batch_norm(n_out),
        )


def fold_chain(layers: nn.Sequential) -> None:
    """Fold each normalisation of a chain of convolutions into the next convolution.

    A normalisation is left unchanged if the next convolution pads with zeros, which would not be
    zeros after the normalisation. The last normalisation is also left unchanged.

    Parameters
    ----------
    layers : Sequential of ConvReluNorm
        In evaluation mode; changed in place.
    """
    for first, second in pairwise(cast("list[ConvReluNorm]", list(layers))):
        conv = cast(nn.Conv3d, second[0])
        if conv.padding_mode == "replicate" or conv.kernel_size == (1, 1, 1):
            fold_into_next(cast(nn.BatchNorm3d, first[2]), conv)
            first[2] = nn.Identity()


class ResidualCore(nn.Module):
    """Add convolutions to a linear shortcut, then ReLU and batch normalisation.

    Parameters
    ----------
    n_in, n_out : int
        Channels before and after.
    n_convs : int, default=2
        Number of 3x3x3 convolutions.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.

    Notes
    -----
    The building block on every level of the anisotropic U-Net of [1]_, with the normalisation after
    the activation as in the authors' code.

    References
    ----------
    .. [1] Lin et al., "Low-field magnetic resonance image enhancement via stochastic image quality
       transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> import torch
    >>> ResidualCore(1, 16)(torch.rand(1, 1, 8, 8, 4)).shape
    torch.Size([1, 16, 8, 8, 4])
    """

    def __init__(
        self, n_in: int, n_out: int, n_convs: int = 2, padding_mode: PaddingMode = "replicate"
    ) -> None:
        super().__init__()
        self.shortcut = nn.Conv3d(n_in, n_out, 1)
        self.convs = nn.Sequential(
            *(ConvReluNorm(n_out if n else n_in, n_out, 3, padding_mode) for n in range(n_convs))
        )
        self.norm = keras_batch_norm(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the core.

        Parameters
        ----------
        x : Tensor of shape (batch, n_in, i, j, k)
            Feature maps.

        Returns
        -------
        Tensor of shape (batch, n_out, i, j, k)
            Feature maps.
        """
        return self.norm(self.shortcut(x).add_(self.convs(x)).relu_())

    @torch.no_grad()
    def fold_batch_norm(self) -> None:
        """Fold the normalisations of the branch, the last one back through its ReLU.

        ReLU and a positive factor can change places, so the last normalisation goes into the
        convolution before it and the shortcut. If a factor is negative, the
        normalisation is left unchanged.
        """
        fold_chain(self.convs)
        if not len(self.convs):
            return
        last = cast(ConvReluNorm, self.convs[-1])
        conv, norm = cast(nn.Conv3d, last[0]), cast(nn.BatchNorm3d, last[2])
        factor, shift = factor_and_shift(norm)
        if (factor > 0).all():
            conv.weight.mul_(factor[:, None, None, None, None])
            cast(nn.Parameter, conv.bias).mul_(factor)
            cast(nn.Parameter, self.shortcut.bias).add_(shift)
            last[2] = nn.Identity()
