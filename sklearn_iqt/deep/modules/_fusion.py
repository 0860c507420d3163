"""The two reconstructions, centred on each other and fused."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.patches import per_axis

__all__ = ["Fusion"]

SIZE = 5


class Fusion(nn.Module):
    """Fuse a reconstruction with its complement, which hides the edges between blocks.

    The reconstruction is cropped to where its complement lies, a 5x5x5 convolution without padding
    fuses the two, and the result replaces the middle of the reconstruction. The border keeps the
    plain reconstruction.

    Parameters
    ----------
    scale : int or sequence of 3 ints
        Shape of a block, in high voxels.
    kernel : int or sequence of 3 ints
        Kernel of the complementary map, 1 or 2 along each axis.
    init : {"average", "uniform"}, default="average"
        Whether the convolution starts as the mean of its two inputs or at random.

    Attributes
    ----------
    crop : tuple of 3 pairs of ints
        High voxels that the reconstruction loses at the near and the far end of each axis.

    Raises
    ------
    ValueError
        If ``init`` is neither of the two.

    Notes
    -----
    Section 2.2.3 of [1]_. Along an axis with kernel 2 the complement has one block fewer, and its
    blocks lie half a block further on: ``scale // 2`` voxels go at the near end and the rest of
    ``scale`` at the far end. For even factors that centres the two exactly. For odd ones, and for a
    kernel of 2 on an axis that is not upscaled (factor 1: nothing goes at the near end, one voxel
    at the far end), the complement lies half a high voxel before its centre, a shift that the
    convolution has to learn. Kernel 1 crops nothing. For a high patch of 32x32x32, scale (1, 1, 4)
    and kernel (1, 1, 2), the fused region is 28x28x24.

    The paper says nothing about the first weights. "average" is the default because the first
    output is then already the overlapped mean of the two reconstructions, not noise that training
    must undo; "uniform" is the random start that torch gives to any convolution.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.

    Examples
    --------
    >>> import torch
    >>> fusion = Fusion(scale=(1, 1, 4), kernel=(1, 1, 2))
    >>> fusion.region((32, 32, 32))
    (slice(2, 30, None), slice(2, 30, None), slice(4, 28, None))
    >>> fusion(torch.rand(1, 1, 8, 8, 16), torch.rand(1, 1, 8, 8, 12)).shape
    torch.Size([1, 1, 8, 8, 16])
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        kernel: int | Sequence[int],
        init: str = "average",
    ) -> None:
        super().__init__()
        scale = per_axis(scale, "scale", "Fusion")
        kernel = per_axis(kernel, "kernel", "Fusion")
        if init not in ("average", "uniform"):
            raise ValueError(f"Fusion: init must be 'average' or 'uniform'; got {init!r}.")
        self.crop = tuple(
            (factor // 2, factor - factor // 2) if size == 2 else (0, 0)
            for factor, size in zip(scale, kernel, strict=True)
        )
        self.conv = nn.Conv3d(2, 1, SIZE)
        if init == "average":
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
            nn.init.zeros_(self.conv.weight)
            with torch.no_grad():
                self.conv.weight[..., SIZE // 2, SIZE // 2, SIZE // 2] = 0.5

    def region(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """Return where in a reconstruction the fused voxels lie.

        Parameters
        ----------
        shape : sequence of 3 ints
            Shape of the reconstruction, in high voxels.

        Returns
        -------
        tuple of 3 slices
            Empty along an axis that is too short to fuse anything.
        """
        edge = SIZE // 2
        return tuple(
            slice(near + edge, max(near + edge, length - far - edge))
            for length, (near, far) in zip(shape, self.crop, strict=True)
        )

    def forward(self, x: torch.Tensor, complement: torch.Tensor) -> torch.Tensor:
        """Fuse two reconstructions.

        Parameters
        ----------
        x : Tensor of shape (batch, 1, i, j, k)
            Reconstruction.
        complement : Tensor of shape (batch, 1, i - crop_i, j - crop_j, k - crop_k)
            Reconstruction from the complementary maps.

        Returns
        -------
        Tensor of shape (batch, 1, i, j, k)
            Fused in the middle, ``x`` along the border.
        """
        region = self.region(x.shape[2:])
        if any(part.start == part.stop for part in region):
            return x
        i, j, k = (
            slice(near, length - far)
            for length, (near, far) in zip(x.shape[2:], self.crop, strict=True)
        )
        fused = self.conv(torch.cat([x[..., i, j, k], complement], dim=1))
        out = x.clone()
        i, j, k = region
        out[..., i, j, k] = fused.to(out.dtype)
        return out
