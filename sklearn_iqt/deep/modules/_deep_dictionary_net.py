"""IQT-DDL: a deep dictionary, its weights at every voxel, and the volume they make."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch

from sklearn_iqt.deep.modules._base_net import BaseNet
from sklearn_iqt.deep.modules._blocks import reconstruct
from sklearn_iqt.deep.modules._complementary import ComplementaryMap, complementary_kernel
from sklearn_iqt.deep.modules._dictionary import DeepDictionary
from sklearn_iqt.deep.modules._fusion import Fusion
from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.deep.modules._predictor import PixelPredictor
from sklearn_iqt.deep.modules._unetpp import UNetPlusPlus, pooling_plan

__all__ = ["DeepDictionaryNet"]


class DeepDictionaryNet(BaseNet):
    """Enhance low-resolution patches by image quality transfer with a deep dictionary.

    Noise grows into a dictionary of high-resolution atoms and its code; a UNet++ and a per-voxel
    predictor weigh the atoms at every low voxel; their sum is the output, fused with a second one
    from complementary weights that lies across the edges of the first one's blocks.

    Parameters
    ----------
    n_atoms : int, default=64
        Number of atoms N, a power of two; the width of all layers follows it. The paper has 64 and
        128.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        High voxels for each low one.
    complementary : "auto", 1, 2 or a sequence of 3 ints, default="auto"
        Kernel of the complementary map. The paper has 2 on every axis. The default "auto" has 2
        only along upscaled axes: elsewhere an atom is one voxel thick, there is no edge between
        blocks to hide, and a kernel of 2 would shift the complement by half a voxel. 1, and "auto"
        when no axis is upscaled, leave the complementary branch out.
    global_skip : bool, default=True
        Whether the interpolated input is added to the output, as in the two-dimensional reference.
        The paper does not mention it. It is the default because a weighted mean of atoms in
        (-1, 1) can carry a residual of any contrast, but intensities only if they are scaled into
        that range.
    order : int, in [0, 5], default=3
        Spline order of the global skip.
    alignment : {"center", "corner"}, default="center"
        Where low voxels lie on the high grid, for the global skip.
    noise : {"per_sample", "shared"}, default="per_sample"
        Whether a training step draws one dictionary for each sample, as the reference does, or one
        for the batch, which is cheaper and hardly different.
    patch_size : int or sequence of 3 ints, default=(32, 32, 8)
        Shape of the training patches in low voxels, from which the pooling follows; see
        :func:`pooling_plan`. Other sizes are welcome at any time.
    min_pool_size : int, default=2
        Fewest voxels of a training patch that pooling may leave along an axis.
    n_blocks : int, default=10
        Bottleneck blocks of the per-voxel predictor.
    fusion_init : {"average", "uniform"}, default="average"
        First weights of the fusion; see :class:`Fusion`.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What 3x3x3 convolutions see beyond the edge. The reference pads with zeros. A repeated edge
        makes the result depend less on how a volume is cut into tiles.

    Attributes
    ----------
    eval_noise : Tensor of shape (1, prod(scale))
        The noise behind the one dictionary of evaluation mode, saved with the weights.

    Notes
    -----
    Section 2.2 of [1]_; details that it leaves open follow the two-dimensional reference
    [2]_. In training mode every call draws fresh noise. In evaluation mode the dictionary always
    grows from ``eval_noise``, so equal inputs give equal outputs, and validation during training
    does not flicker; :meth:`fix_dictionary` replaces that noise.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.
    .. [2] Maeda, "Image Super-Resolution with Deep Dictionary", ECCV 2022.

    Examples
    --------
    >>> import torch
    >>> net = DeepDictionaryNet(n_atoms=8, scale=(1, 1, 4)).eval()
    >>> with torch.no_grad():
    ...     net(torch.rand(2, 1, 16, 15, 5)).shape
    torch.Size([2, 1, 16, 15, 20])
    >>> sum(p.numel() for p in DeepDictionaryNet(8, complementary=2).parameters())
    430867
    """

    eval_noise: torch.Tensor

    def __init__(
        self,
        n_atoms: int = 64,
        scale: int | Sequence[int] = (1, 1, 4),
        *,
        complementary: int | str | Sequence[int] = "auto",
        global_skip: bool = True,
        order: int = 3,
        alignment: str = "center",
        noise: str = "per_sample",
        patch_size: int | Sequence[int] = (32, 32, 8),
        min_pool_size: int = 2,
        n_blocks: int = 10,
        fusion_init: str = "average",
        padding_mode: PaddingMode = "replicate",
    ) -> None:
        super().__init__(scale, global_skip=global_skip, order=order, alignment=alignment)
        if noise not in ("per_sample", "shared"):
            raise ValueError(
                f"DeepDictionaryNet: noise must be 'per_sample' or 'shared'; got {noise!r}."
            )
        self.noise = noise
        self.dictionary = DeepDictionary(n_atoms, self.scale)
        self.extractor = UNetPlusPlus(
            n_atoms, pooling_plan(patch_size, 3, min_pool_size), padding_mode=padding_mode
        )
        self.predictor = PixelPredictor(n_atoms, n_blocks, padding_mode)
        self.kernel = complementary_kernel(complementary, self.scale)
        self.complementary: ComplementaryMap | None = None
        self.fusion: Fusion | None = None
        if max(self.kernel) > 1:
            self.complementary = ComplementaryMap(n_atoms, self.kernel)
            self.fusion = Fusion(self.scale, self.kernel, fusion_init)
        self.register_buffer("eval_noise", torch.randn(1, self.dictionary.generator.n_noise))

    @property
    def tile_multiple(self) -> tuple[int, int, int]:
        """Low voxels; the first voxel of a tile must be a multiple of them, for tiles to agree."""
        return self.extractor.tile_multiple

    @property
    def margin(self) -> tuple[int, int, int]:
        """Low voxels at each end of a tile whose result may depend on voxels outside the tile."""
        reach = [side + len(self.predictor.body) - 1 for side in self.extractor.margin]
        if self.fusion is not None:
            reach = [
                side + ceil((far + 2) / factor)
                for side, factor, (_, far) in zip(reach, self.scale, self.fusion.crop, strict=True)
            ]
        return tuple(reach)  # type: ignore[return-value]

    @property
    def bytes_per_voxel(self) -> float:
        """Memory that prediction takes for each low voxel of a tile, roughly."""
        # The finest level of the UNet++ joins five maps of n_atoms channels and makes as many.
        return 4 * 12 * self.predictor.head.out_channels

    def fix_dictionary(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose the noise, and with it the dictionary, of evaluation mode.

        Parameters
        ----------
        noise : Tensor of shape (prod(scale),) or (1, prod(scale))
            Drawn from a standard Gaussian.

        Returns
        -------
        atoms : Tensor of shape (n_atoms, scale_i, scale_j, scale_k)
            The dictionary, as the weights stand now.
        code : Tensor of shape (n_atoms,)
            Its code.
        """
        with torch.no_grad():
            self.eval_noise.copy_(noise.reshape(self.eval_noise.shape))
            atoms, code = self.dictionary(self.eval_noise)
        return atoms[0], code[0]

    def forward(
        self,
        x: torch.Tensor,
        noise: torch.Tensor | None = None,
        shuffle: bool = False,
        skip: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Enhance patches.

        Parameters
        ----------
        x : Tensor of shape (batch, 1, i, j, k)
            Low-resolution patches of any size.
        noise : Tensor of shape (batch or 1, prod(scale)), default=None
            What the dictionary grows from. By default fresh noise in training mode and
            ``eval_noise`` in evaluation mode.
        shuffle : bool, default=False
            Whether to put the atoms in a random order, as the first steps of training do.
        skip : Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k), default=None
            The interpolated input, to add to the output. By default it is computed from ``x``;
            passing tiles of the interpolated volume makes it the same for any tiling.

        Returns
        -------
        Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k)
            High-resolution patches.

        Raises
        ------
        ValueError
            If ``skip`` is passed to a net without a global skip.
        """
        if noise is None:
            noise = self._draw_noise(len(x)) if self.training else self.eval_noise
        atoms, code = self.dictionary(noise, shuffle)
        maps = self.predictor(self.extractor(x), code)
        out = reconstruct(maps, atoms)
        if self.complementary is not None and self.fusion is not None and self._has_edges(maps):
            out = self.fusion(out, reconstruct(self.complementary(maps), atoms))
        return self.add_skip(out, x, skip)

    def _has_edges(self, maps: torch.Tensor) -> bool:
        """Say whether every axis is long enough for the kernel of the complementary map."""
        return all(n >= size for n, size in zip(maps.shape[2:], self.kernel, strict=True))

    def _draw_noise(self, n_samples: int) -> torch.Tensor:
        n_draws = 1 if self.noise == "shared" else n_samples
        return torch.randn_like(self.eval_noise.expand(n_draws, -1))
