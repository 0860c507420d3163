"""The trained net as a function of arrays, made faster without changing what it computes."""

from __future__ import annotations

import copy
from itertools import pairwise
from math import prod
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from sklearn_iqt.deep._training import lay_channels_last
from sklearn_iqt.deep.modules import AnisoUNet, ConvReluNorm, ResidualCore

__all__ = ["Predictor", "fold_batch_norm", "multiply_voxels"]


class Predictor:
    """Run a trained net on arrays, in their precision.

    Parameters
    ----------
    module : Module
        Trained net; a copy of it is made.
    dtype : dtype
        Precision of the arrays that will come, float32 or float64.
    mixed_precision : bool
        Whether to compute in bfloat16 where torch deems it safe.
    """

    def __init__(self, module: nn.Module, dtype: np.dtype, *, mixed_precision: bool) -> None:
        module = copy.deepcopy(module).eval()
        self.device = next(module.parameters()).device
        self.mixed_precision = mixed_precision
        module = fold_batch_norm(module.double() if dtype == np.float64 else module)
        if self.device.type == "cpu":
            module = multiply_voxels(lay_channels_last(module))
        self.module = module

    def __call__(self, x: np.ndarray, skip: np.ndarray | None = None) -> np.ndarray:
        inputs = {"x": x} if skip is None else {"x": x, "skip": skip}
        with torch.inference_mode():
            tensors = {
                name: torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
                for name, array in inputs.items()
            }
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
                out = self.module(**tensors)
            return out.to(tensors["x"].dtype).cpu().numpy()


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Put batch normalisation into the weights of convolutions, wherever that is exact.

    A convolution takes up the normalisation that follows it. One that comes after ReLU goes into
    the next convolution, unless that pads with zeros: normalised, they would not be zeros. At the
    end of a residual branch it goes back through the ReLU, if its factors are positive.

    Parameters
    ----------
    module : Module
        Net in evaluation mode, changed in place.

    Returns
    -------
    Module
        The same net, which computes the same function up to rounding.
    """
    for layers in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        for n, (first, second) in enumerate(pairwise(layers)):
            if isinstance(first, nn.Conv3d) and isinstance(second, nn.BatchNorm3d):
                layers[n], layers[n + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
            elif isinstance(first, ConvReluNorm) and isinstance(second, ConvReluNorm):
                conv = cast(nn.Conv3d, second[0])
                if conv.padding_mode == "replicate" or conv.kernel_size == (1, 1, 1):
                    _fold_into_next(cast(nn.BatchNorm3d, first[2]), conv)
                    first[2] = nn.Identity()
    for part in module.modules():
        if isinstance(part, ResidualCore) and len(part.convs):
            _fold_into_branch(part)
        elif isinstance(part, AnisoUNet) and len(part.up):
            finest = cast(ResidualCore, part.up[0])
            _fold_into_next(finest.norm, part.head)
            finest.norm = nn.Identity()  # type: ignore[assignment]
    return module


def multiply_voxels(module: nn.Module) -> nn.Module:
    """Compute convolutions that see a single voxel as matrix products, which torch does not.

    These are kernels of size one, and transposed convolutions that make a block of every voxel. It
    pays where channels lie side by side in memory, on one thread most of all.

    Parameters
    ----------
    module : Module
        Net for inference, changed in place.

    Returns
    -------
    Module
        The same net, which computes the same function up to rounding.
    """
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv3d and layer.kernel_size == (1, 1, 1) and _is_plain(layer):
                setattr(parent, name, _VoxelProduct(layer))
            elif type(layer) is nn.ConvTranspose3d and _is_plain(layer):
                setattr(parent, name, _BlockProduct(layer))
    return module


def _is_plain(layer: nn.Conv3d | nn.ConvTranspose3d) -> bool:
    """Whether the kernels lie side by side, and see every channel and nothing beyond the edge."""
    return (
        layer.kernel_size == layer.stride
        and layer.groups == 1
        and layer.dilation == (1, 1, 1)
        and layer.padding == layer.output_padding == (0, 0, 0)
    )


class _VoxelProduct(nn.Module):
    """A convolution of size one."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = functional.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias)
        return rows.movedim(-1, 1)


class _BlockProduct(nn.Module):
    """A transposed convolution that makes a block of every voxel."""

    def __init__(self, conv: nn.ConvTranspose3d) -> None:
        super().__init__()
        self.block = conv.kernel_size
        self.weight = conv.weight.permute(2, 3, 4, 1, 0).reshape(-1, conv.in_channels)
        self.bias = None if conv.bias is None else conv.bias.repeat(prod(self.block))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, *shape = x.shape
        blocks = functional.linear(x.movedim(1, -1), self.weight, self.bias)
        apart = blocks.reshape(batch, *shape, *self.block, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        high = [size * factor for size, factor in zip(shape, self.block, strict=True)]
        return apart.reshape(batch, *high, -1).movedim(-1, 1)


@torch.no_grad()
def _fold_into_next(norm: nn.BatchNorm3d, conv: nn.Conv3d) -> None:
    factor, shift = _factor_and_shift(norm)
    cast(nn.Parameter, conv.bias).add_(torch.einsum("oiabc,i->o", conv.weight, shift))
    conv.weight.mul_(factor[:, None, None, None])


@torch.no_grad()
def _fold_into_branch(core: ResidualCore) -> None:
    last = cast(ConvReluNorm, core.convs[-1])
    conv, norm = cast(nn.Conv3d, last[0]), cast(nn.BatchNorm3d, last[2])
    factor, shift = _factor_and_shift(norm)
    if (factor > 0).all():
        conv.weight.mul_(factor[:, None, None, None, None])
        cast(nn.Parameter, conv.bias).mul_(factor)
        cast(nn.Parameter, core.shortcut.bias).add_(shift)
        last[2] = nn.Identity()


def _factor_and_shift(norm: nn.BatchNorm3d) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    return factor, norm.bias - mean * factor
