"""The trained net as a function of arrays, made faster without changing what it computes."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from sklearn_iqt.deep._training import lay_channels_last
from sklearn_iqt.deep.modules import ConvReluNorm

__all__ = ["Predictor", "fold_batch_norm"]


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
        self.module = lay_channels_last(module) if self.device.type == "cpu" else module

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
    the next convolution, unless that pads with zeros: normalised, they would not be zeros.

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
    return module


@torch.no_grad()
def _fold_into_next(norm: nn.BatchNorm3d, conv: nn.Conv3d) -> None:
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    shift = norm.bias - mean * factor
    cast(nn.Parameter, conv.bias).add_(torch.einsum("oiabc,i->o", conv.weight, shift))
    conv.weight.mul_(factor[:, None, None, None])
