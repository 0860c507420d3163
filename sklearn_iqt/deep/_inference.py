"""The trained net as a function of arrays, made faster without changing what it computes."""

from __future__ import annotations

import copy
from math import prod

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sklearn_iqt.deep.modules import BaseNet

__all__ = ["Predictor", "lay_channels_last", "multiply_voxels"]


class Predictor:
    """Run a trained net on arrays, in their precision.

    Parameters
    ----------
    net : BaseNet
        Trained net; a copy of it is made.
    dtype : dtype
        Precision of the arrays that will come, float32 or float64.
    mixed_precision : bool
        Whether to compute in bfloat16 where torch deems it safe.
    """

    def __init__(self, net: BaseNet, dtype: np.dtype, *, mixed_precision: bool) -> None:
        net = copy.deepcopy(net).eval()
        if dtype == np.float64:
            net.double()
        net.fold_batch_norm()
        self.device = next(net.parameters()).device
        self.mixed_precision = mixed_precision
        self.net = multiply_voxels(lay_channels_last(net)) if self.device.type == "cpu" else net

    def __call__(self, x: np.ndarray, skip: np.ndarray | None = None) -> np.ndarray:
        inputs = {"x": x} if skip is None else {"x": x, "skip": skip}
        with torch.inference_mode():
            tensors = {
                name: torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
                for name, array in inputs.items()
            }
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
                out = self.net(**tensors)
            return out.to(tensors["x"].dtype).cpu().numpy()


def lay_channels_last(module: nn.Module) -> nn.Module:
    """Keep the channels of convolutions side by side in memory, which is faster on a CPU.

    Parameters
    ----------
    module : Module
        Changed in place; feature maps follow the layout of its weights.

    Returns
    -------
    Module
        The same module.
    """
    for parameter in module.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)
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
    """Say whether the kernels tile the voxels, with all channels and without padding."""
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
