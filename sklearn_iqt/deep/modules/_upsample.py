"""The interpolation baseline as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import nn

from sklearn_iqt._axes import check_alignment, per_axis
from sklearn_iqt.preprocessing import interpolation_matrix

__all__ = ["Upsample"]


class Upsample(nn.Module):
    """Interpolate onto the high-resolution grid, exactly as the interpolation baseline does.

    Nothing is learned. A net that adds this to its output learns what interpolation misses.

    Parameters
    ----------
    scale : int or sequence of 3 ints
        High voxels for each low one.
    order : int, in [0, 5], default=3
        Spline order.
    alignment : {"center", "corner"}, default="center"
        Where low voxels lie on the high grid; see
        :func:`sklearn_iqt.preprocessing.interpolation_matrix`.

    Raises
    ------
    ValueError
        If ``alignment`` is neither of the two.

    Notes
    -----
    A spline of order above 1 looks, faintly, at the whole axis, so the interpolation of a tile is
    not quite the tile of the interpolation near its ends. Who needs them equal interpolates the
    volume once and passes tiles of that to the net.

    The products run in float32 even under autocast: this is the largest part of the output, and
    bfloat16 would keep only three digits of it.

    Examples
    --------
    >>> import torch
    >>> Upsample((1, 1, 2), order=1)(torch.arange(4.0).reshape(1, 1, 1, 1, 4)).flatten()
    tensor([0.0000, 0.2500, 0.7500, 1.2500, 1.7500, 2.2500, 2.7500, 3.0000])
    """

    def __init__(
        self, scale: int | Sequence[int], order: int = 3, alignment: str = "center"
    ) -> None:
        super().__init__()
        self.scale = per_axis(scale, "scale", "Upsample")
        self.order = order
        self.alignment = check_alignment(alignment, "Upsample")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Interpolate.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, i, j, k)
            Low-resolution patches.

        Returns
        -------
        Tensor of shape (batch, channels, i * scale_i, j * scale_j, k * scale_k)
            The same patches on the high grid; float64 for float64, float32 otherwise.
        """
        x = x if x.dtype == torch.float64 else x.float()
        with torch.autocast(x.device.type, enabled=False):
            for axis, factor in zip((-3, -2, -1), self.scale, strict=True):
                if factor > 1:
                    matrix = _matrix(
                        x.shape[axis], factor, self.order, self.alignment, x.dtype, x.device
                    )
                    x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
        return x.contiguous()


@lru_cache(maxsize=64)
def _matrix(
    length: int, factor: int, order: int, alignment: str, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return the interpolation matrix as a tensor that autograd can always use."""
    with torch.inference_mode(False):
        matrix = interpolation_matrix(length, factor, order, alignment)
        return torch.tensor(matrix, dtype=dtype, device=device)
