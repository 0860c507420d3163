"""IQT-DL: the anisotropic U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, prod
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sklearn_iqt.deep.modules._base_net import BaseNet
from sklearn_iqt.deep.modules._blocks import interleave, split_blocks
from sklearn_iqt.deep.modules._folding import fold_into_next
from sklearn_iqt.deep.modules._level_plan import plan_levels
from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.deep.modules._residual_core import ResidualCore, keras_init_
from sklearn_iqt.deep.modules._skip_bottleneck import SkipBottleneck
from sklearn_iqt.patches import per_axis

__all__ = ["AnisoUNet"]

# Memory of the feature maps of a slab; a level takes about six times this.
SLAB_BYTES = 3 * 2**27


class AnisoUNet(BaseNet):
    """Enhance low-resolution patches with a U-Net whose two sides live on different grids.

    The way down works on the low grid and pools only the axes that are already fine enough; the way
    up works on the high grid; each skip connection is a bottleneck that refines a level and
    upsamples it from the one to the other.

    Parameters
    ----------
    n_filters : int, default=16
        Channels of the finest level, doubled with every level. Even.
    n_levels : int, default=5
        Number of levels; enough for all axes to meet, see :func:`plan_levels`.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        High voxels for each low one.
    n_convs : int, default=2
        3x3x3 convolutions of each residual core.
    n_mappings : int, default=2
        3x3x3 convolutions of each skip bottleneck.
    global_skip : bool, default=True
        Whether the interpolated input is added to the output. The authors' net does not do this.
        The head starts at zero then, so that the first output is the interpolation.
    order : int, in [0, 5], default=3
        Spline order of the global skip.
    alignment : {"center", "corner"}, default="center"
        Where low voxels lie on the high grid, for the global skip.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge. The authors' code pads with zeros. A repeated
        edge makes the result depend less on how a volume is cut into tiles.
    block_size : int or sequence of 3 ints, default=1
        Voxels along each axis that the net handles together: a block of low voxels becomes the
        channels of one position, and each position of the output becomes a block of high voxels.
        The authors' net has no blocks.

    Notes
    -----
    Section 2.3 of [1]_ and the net of [2]_, with the layers of the authors' code: ReLU before batch
    normalisation, the Keras constants, Glorot-uniform weights. That code takes slice factors of 2,
    4, 6 and 8; any integer for any axis works here. A size that the pooling does not divide is
    padded at its far end by repeating the edge, and the output is cropped.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.
    .. [2] Lin et al., "Low-field magnetic resonance image enhancement via stochastic image quality
       transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> import torch
    >>> net = AnisoUNet(n_filters=4, n_levels=3, scale=(1, 1, 4)).eval()
    >>> with torch.no_grad():
    ...     net(torch.rand(2, 1, 9, 8, 5)).shape
    torch.Size([2, 1, 9, 8, 20])
    >>> sum(p.numel() for p in AnisoUNet(n_filters=4, scale=(1, 1, 8)).parameters())
    607951
    """

    def __init__(
        self,
        n_filters: int = 16,
        n_levels: int = 5,
        scale: int | Sequence[int] = (1, 1, 4),
        *,
        n_convs: int = 2,
        n_mappings: int = 2,
        global_skip: bool = True,
        order: int = 3,
        alignment: str = "center",
        padding_mode: PaddingMode = "replicate",
        block_size: int | Sequence[int] = 1,
    ) -> None:
        super().__init__(scale, global_skip=global_skip, order=order, alignment=alignment)
        self.block_size = per_axis(block_size, "block_size", type(self).__name__)
        self.levels = plan_levels(self.scale, n_levels)
        width = [n_filters * 2**level for level in range(n_levels)]
        self.down = nn.ModuleList(
            ResidualCore(n_in, n_out, n_convs, padding_mode)
            for n_in, n_out in pairwise([prod(self.block_size), *width])
        )
        self.bottom = ResidualCore(width[-1], width[-1], n_convs, padding_mode)
        self.skips = nn.ModuleList(
            SkipBottleneck(channels, level.raise_by, n_mappings, padding_mode)
            for channels, level in zip(width, self.levels[:-1], strict=False)
        )
        self.expand = nn.ModuleList(
            nn.ConvTranspose3d(2 * channels, channels, level.expand, stride=level.expand)
            for channels, level in zip(width, self.levels[:-1], strict=False)
        )
        self.up = nn.ModuleList(
            ResidualCore(2 * channels, channels, n_convs, padding_mode) for channels in width[:-1]
        )
        self.head = nn.Conv3d(n_filters, prod(self.block_size), 1)
        keras_init_(self)
        if global_skip:
            nn.init.zeros_(self.head.weight)

    @property
    def tile_multiple(self) -> tuple[int, int, int]:
        """Low voxels; the first voxel of a tile must be a multiple of them, for tiles to agree."""
        steps = zip(self.block_size, *(level.pool for level in self.levels), strict=True)
        return tuple(map(prod, steps))  # type: ignore[return-value]

    @property
    def margin(self) -> tuple[int, int, int]:
        """Low voxels at each end of a tile whose result may depend on voxels outside the tile."""
        positions = (self._margin_along(axis) for axis in range(3))
        # The blocks that a position sees reach one block less one voxel further.
        reach = ((n + 1) * size - 1 for n, size in zip(positions, self.block_size, strict=True))
        return tuple(reach)  # type: ignore[return-value]

    @property
    def bytes_per_voxel(self) -> float:
        """Memory that prediction takes for each low voxel of a tile, roughly."""
        # Maps of the finest level on the low grid; above that the net works in slabs.
        return 4 * self.head.in_channels * (6 + prod(self.scale) / 4) / prod(self.block_size)

    def fold_batch_norm(self) -> None:
        """Put batch normalisation into convolutions, that of the finest level into the head."""
        super().fold_batch_norm()
        if len(self.up):
            finest = cast(ResidualCore, self.up[0])
            fold_into_next(finest.norm, self.head)
            finest.norm = nn.Identity()  # type: ignore[assignment]

    def _margin_along(self, axis: int) -> int:
        n_convs = len(self.down[0].convs)  # type: ignore[arg-type]
        steps = np.cumprod([1, *(level.pool[axis] for level in self.levels[:-1])])
        reach = 2.0 * n_convs * steps[-1]  # the two cores of the coarsest level
        for level, skip, step in zip(
            reversed(self.levels[:-1]), reversed(self.skips), reversed(steps[:-1]), strict=True
        ):
            n_mappings = len(skip.mapping) - 2  # type: ignore[arg-type]
            # Through the coarser level and the rest of a pooling cell, or through the skip; then a
            # core on the way down and one on the way up, finer while the axis is too coarse.
            reach = max(reach + step * (level.pool[axis] - 1), n_mappings * step)
            reach += n_convs * step * (1 + 1 / level.raise_by[axis])
        return ceil(reach)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Enhance patches.

        Parameters
        ----------
        x : Tensor of shape (batch, 1, i, j, k)
            Low-resolution patches of any size.
        skip : Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k), default=None
            The interpolated input, to add to the output of a net with a global skip. By default it
            is computed from ``x``; passing tiles of the interpolated volume makes it the same for
            any tiling.

        Returns
        -------
        Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k)
            High-resolution patches.

        Raises
        ------
        ValueError
            If ``skip`` is passed to a net without a global skip.
        """
        shape = [size * factor for size, factor in zip(x.shape[2:], self.scale, strict=True)]
        padded = _pad_to_multiple(x, self.tile_multiple)
        features, kept = self.down[0](split_blocks(padded, self.block_size)), []
        for level, core in zip(self.levels, self.down[1:], strict=False):
            kept.append(features)
            features = core(functional.max_pool3d(features, level.pool))
        features = self.bottom(features)
        for number in reversed(range(len(kept))):
            features = self._rise(number, kept.pop(), features)
        if not self.up:
            features = self.head(features)
        out = interleave(features, self.block_size)[..., : shape[0], : shape[1], : shape[2]]
        return self.add_skip(out, x, skip)

    def _rise(self, number: int, kept: torch.Tensor, coarser: torch.Tensor) -> torch.Tensor:
        """Join what a level kept with the coarser level, on the finer grid; the finest ends here.

        Outside of training, large volumes go through in slabs along the first axis. Slabs overlap
        by what the convolutions of one level see, so this costs little and changes nothing; tiles
        for the whole net would have to overlap by its much larger margin.
        """
        level, skip, core = self.levels[number], self.skips[number], self.up[number]

        def joined(kept: torch.Tensor, coarser: torch.Tensor) -> torch.Tensor:
            features = core(torch.cat([self.expand[number](coarser), skip(kept)], dim=1))
            return features if number else self.head(features)

        step, n_rows = level.pool[0], kept.shape[2]
        row_bytes = kept[:, :, 0].nbytes * prod(level.raise_by)
        rows = max(SLAB_BYTES // row_bytes // step, 1) * step
        if self.training or rows >= n_rows:
            return joined(kept, coarser)
        n_convs, n_mappings = len(core.convs), len(skip.mapping) - 2  # type: ignore[arg-type]
        reach = n_mappings + ceil(n_convs / level.raise_by[0])
        halo = -(-reach // step) * step
        slabs = []
        for start in range(0, n_rows, rows):
            first, last = max(start - halo, 0), min(start + rows + halo, n_rows)
            above = slice(*(row * coarser.shape[2] // n_rows for row in (first, last)))
            slab = joined(kept[:, :, first:last], coarser[:, :, above])
            begin, end = start - first, min(start + rows, n_rows) - first
            factor = level.raise_by[0]
            slabs.append(slab[:, :, begin * factor : end * factor])
        return torch.cat(slabs, dim=2)


def _pad_to_multiple(x: torch.Tensor, multiple: Sequence[int]) -> torch.Tensor:
    """Repeat the far edges until every axis is a multiple."""
    missing = [-size % step for size, step in zip(x.shape[2:], multiple, strict=True)]
    if not any(missing):
        return x
    i, j, k = missing
    return functional.pad(x, (0, k, 0, j, 0, i), mode="replicate")
