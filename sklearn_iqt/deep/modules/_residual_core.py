"""The residual core of the anisotropic U-Net, and the layers it is made of."""

from __future__ import annotations

import torch
from torch import nn

from sklearn_iqt.deep.modules._padding import PaddingMode

__all__ = ["ConvReluNorm", "ResidualCore", "keras_batch_norm", "keras_init_"]


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
    padding_mode : {"zeros", "replicate"}, default="zeros"
        What the convolution sees beyond the edge.
    """

    def __init__(
        self, n_in: int, n_out: int, size: int = 3, padding_mode: PaddingMode = "zeros"
    ) -> None:
        super().__init__(
            nn.Conv3d(n_in, n_out, size, padding=size // 2, padding_mode=padding_mode),
            nn.ReLU(inplace=True),
            keras_batch_norm(n_out),
        )


class ResidualCore(nn.Module):
    """Add convolutions to a linear shortcut, then ReLU and batch normalisation.

    Parameters
    ----------
    n_in, n_out : int
        Channels before and after.
    n_convs : int, default=2
        Number of 3x3x3 convolutions.
    padding_mode : {"zeros", "replicate"}, default="zeros"
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
        self, n_in: int, n_out: int, n_convs: int = 2, padding_mode: PaddingMode = "zeros"
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
