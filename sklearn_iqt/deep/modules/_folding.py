"""Batch normalisation that goes into the weights of the convolutions around it."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

__all__ = ["factor_and_shift", "fold_convolutions", "fold_into_next"]


def fold_convolutions(layers: nn.Sequential) -> None:
    """Fold every normalisation that directly follows a convolution into that convolution.

    Parameters
    ----------
    layers : Sequential
        In evaluation mode; changed in place.
    """
    for n, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Conv3d) and isinstance(second, nn.BatchNorm3d):
            layers[n], layers[n + 1] = fuse_conv_bn_eval(first, second), nn.Identity()


@torch.no_grad()
def fold_into_next(norm: nn.BatchNorm3d, conv: nn.Conv3d) -> None:
    """Fold a normalisation into the convolution that follows it.

    This is exact unless the convolution pads with zeros, which would not be zeros after the
    normalisation.

    Parameters
    ----------
    norm : BatchNorm3d
        In evaluation mode. It must be removed afterwards.
    conv : Conv3d
        Changed in place.
    """
    factor, shift = factor_and_shift(norm)
    cast(nn.Parameter, conv.bias).add_(torch.einsum("oiabc,i->o", conv.weight, shift))
    conv.weight.mul_(factor[:, None, None, None])


def factor_and_shift(norm: nn.BatchNorm3d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factor and the shift of each channel in evaluation mode.

    Parameters
    ----------
    norm : BatchNorm3d
        With running statistics and learned factors.

    Returns
    -------
    factor, shift : Tensor of shape (channels,)
        The normalisation is ``factor * x + shift``.
    """
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    return factor, norm.bias - mean * factor
