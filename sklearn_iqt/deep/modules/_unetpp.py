"""The nested U-Net that extracts features, with pooling that respects short slice axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import torch
from torch import nn
from torch.nn import functional

from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.patches import per_axis

__all__ = ["ConvBlock", "UNetPlusPlus", "pooling_plan"]


def pooling_plan(
    patch_size: int | Sequence[int], depth: int = 3, min_size: int = 2
) -> tuple[tuple[int, int, int], ...]:
    """Plan which axes each level of a U-Net pools.

    An axis is halved as long as at least ``min_size`` voxels remain of a training patch.

    Parameters
    ----------
    patch_size : int or sequence of 3 ints
        Shape of a training patch, in low voxels.
    depth : int, default=3
        Number of poolings.
    min_size : int, default=2
        Fewest voxels that a pooled axis may keep. The default of 2 stops a slice axis before the
        3x3x3 convolutions see nothing but their own padding along it; 1 pools as long as there is
        anything to pool, like the two-dimensional original.

    Returns
    -------
    tuple of ``depth`` tuples of 3 ints
        Pooling factors, 1 or 2.

    Notes
    -----
    The plan comes from the training patch and is then fixed: pooling that followed the size of
    each input would make a net behave differently on a large tile than on the patches that taught
    it.

    Examples
    --------
    >>> pooling_plan((32, 32, 8))
    ((2, 2, 2), (2, 2, 2), (2, 2, 1))
    >>> pooling_plan((16, 16, 4))
    ((2, 2, 2), (2, 2, 1), (2, 2, 1))
    """
    sizes = list(per_axis(patch_size, "patch_size", "pooling_plan"))
    plan = []
    for _ in range(depth):
        factors = tuple(2 if size >= 2 * min_size else 1 for size in sizes)
        sizes = [ceil(size / factor) for size, factor in zip(sizes, factors, strict=True)]
        plan.append(factors)
    return tuple(plan)  # type: ignore[arg-type]


class ConvBlock(nn.Sequential):
    """Convolve twice, each time 3x3x3, batch normalisation, ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Channels before and after.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.
    """

    def __init__(self, n_in: int, n_out: int, padding_mode: PaddingMode = "replicate") -> None:
        layers: list[nn.Module] = []
        for channels in (n_in, n_out):
            layers += [
                nn.Conv3d(channels, n_out, 3, padding=1, padding_mode=padding_mode),
                nn.BatchNorm3d(n_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNetPlusPlus(nn.Module):
    """Extract features with a nested U-Net and one long skip connection.

    Node (l, n) of the nested grid takes all earlier nodes of its level and the upsampled node
    (l + 1, n - 1). The last node of the finest level is joined with a convolution of the input, the
    long skip, and a final convolution without activation gives the features.

    Parameters
    ----------
    n_features : int
        Channels of the finest level and of the result; they double with every level. Even.
    pool_sizes : sequence of tuples of 3 ints, default=((2, 2, 2), (2, 2, 2), (2, 2, 2))
        Pooling factor of each axis between a level and the next; see :func:`pooling_plan`.
    n_channels : int, default=1
        Channels of the input.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge.

    Notes
    -----
    Section 2.2.2 of [1]_, "the UNet++ [2]_ ... with depth of three, and a long skip connection is
    added"; the layers follow the two-dimensional reference [3]_ with 3x3x3 kernels. Pooling
    keeps a partial last cell (an axis of 5 becomes 3), and upsampling is linear by the pooling
    factor, cropped to the level that it joins. So every cell stays where it was, regardless of the
    size, and nothing needs padding.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.
    .. [2] Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA
       2018.
    .. [3] Maeda, "Image Super-Resolution with Deep Dictionary", ECCV 2022.

    Examples
    --------
    >>> import torch
    >>> extractor = UNetPlusPlus(n_features=8, pool_sizes=pooling_plan((32, 32, 8)))
    >>> extractor(torch.rand(1, 1, 13, 16, 5)).shape
    torch.Size([1, 8, 13, 16, 5])
    """

    def __init__(
        self,
        n_features: int,
        pool_sizes: Sequence[tuple[int, int, int]] = ((2, 2, 2),) * 3,
        n_channels: int = 1,
        padding_mode: PaddingMode = "replicate",
    ) -> None:
        super().__init__()
        self.pool_sizes = tuple(per_axis(p, "pool_sizes", "UNetPlusPlus") for p in pool_sizes)
        depth = len(self.pool_sizes)
        width = [n_features * 2**level for level in range(depth + 1)]
        self.long_skip = nn.Conv3d(
            n_channels, n_features // 2, 3, padding=1, padding_mode=padding_mode
        )
        # nodes[level][n], the columns of the nested grid.
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                ConvBlock(
                    n * width[level] + width[level + 1]
                    if n
                    else (width[level - 1] if level else n_channels),
                    width[level],
                    padding_mode,
                )
                for n in range(depth - level + 1)
            )
            for level in range(depth + 1)
        )
        self.head = nn.Conv3d(
            n_features + n_features // 2, n_features, 3, padding=1, padding_mode=padding_mode
        )

    @property
    def tile_multiple(self) -> tuple[int, int, int]:
        """Voxels; the first voxel of a tile must be a multiple of them, for tiles to agree."""
        return tuple(map(prod, zip(*self.pool_sizes, strict=True)))  # type: ignore[return-value]

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels at each end of a tile whose features may depend on voxels outside the tile."""
        return tuple(self._margin_along(axis) for axis in range(3))  # type: ignore[return-value]

    def _margin_along(self, axis: int) -> int:
        """Follow the deepest path back from each kind of voxel, first to last that it reads."""
        factors = [pools[axis] for pools in self.pool_sizes]
        reach = 0
        for voxel in range(prod(factors)):
            first, last = voxel - 3, voxel + 3  # the head and the two convolutions of a node
            for f in factors:
                if f > 1:  # linear interpolation reads the neighbour too
                    first, last = (2 * first + 1 - f) // (2 * f), (2 * last + 1 - f) // (2 * f) + 1
                first, last = first - 2, last + 2
            for f in reversed(factors):
                first, last = first * f - 2, last * f + f - 1 + 2
            reach = max(reach, voxel - first, last - voxel)
        return reach

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Extract features.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, i, j, k)
            Low-resolution patches.

        Returns
        -------
        Tensor of shape (batch, n_features, i, j, k)
            Features, of either sign.
        """
        column = [self.nodes[0][0](x)]  # type: ignore[index]
        for level, pools in enumerate(self.pool_sizes, start=1):
            pooled = functional.max_pool3d(column[-1], pools, ceil_mode=True)
            column.append(self.nodes[level][0](pooled))  # type: ignore[index]
        levels = [[node] for node in column]
        for n in range(1, len(levels)):
            for level, pools in enumerate(self.pool_sizes[: len(levels) - n]):
                raised = _raise_to(levels[level + 1][n - 1], pools, levels[level][0].shape[2:])
                joined = torch.cat([*levels[level], raised], dim=1)
                levels[level].append(self.nodes[level][n](joined))  # type: ignore[index]
        return self.head(torch.cat([levels[0][-1], self.long_skip(x)], dim=1))


def _raise_to(x: torch.Tensor, factors: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Interpolate by ``factors`` and drop what a partial last cell adds."""
    if any(factor > 1 for factor in factors):
        factor = tuple(map(float, factors))
        x = functional.interpolate(x, scale_factor=factor, mode="trilinear", align_corners=False)
    return x[..., : shape[0], : shape[1], : shape[2]]
