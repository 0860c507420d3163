"""The interface between a net and the estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.deep.modules._folding import fold_convolutions
from sklearn_iqt.deep.modules._upsample import Upsample
from sklearn_iqt.patches import per_axis

__all__ = ["BaseNet"]


class BaseNet(nn.Module, ABC):
    """Base class of all nets that enhance patches and volumes.

    A net maps low-resolution patches of any size to high-resolution ones, in
    ``forward(x, skip=None)``. It also says how a volume can be cut into tiles (``margin``,
    ``tile_multiple``) and how much memory a tile takes (``bytes_per_voxel``). That is all the
    estimators know about it.

    Parameters
    ----------
    scale : int or sequence of 3 ints
        High voxels for each low one.
    global_skip : bool, default=True
        Whether the interpolated input is added to the output.
    order : int, in [0, 5], default=3
        Spline order of the global skip.
    alignment : {"center", "corner"}, default="center"
        Where low voxels lie on the high grid, for the global skip.

    Attributes
    ----------
    scale : tuple of 3 ints
        High voxels for each low one.
    upsample : Upsample or None
        The interpolation of the global skip.

    Notes
    -----
    Layers that can put their batch normalisation into convolutions have a method
    ``fold_batch_norm()``, which prediction calls once on a copy of the net. Nets and layers without
    that method work too; they are only slower.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> class OneLayer(BaseNet):
    ...     '''Correct the interpolation by one convolution.'''
    ...
    ...     margin = (1, 1, 1)
    ...     tile_multiple = (1, 1, 1)
    ...     bytes_per_voxel = 64.0
    ...
    ...     def __init__(self, scale):
    ...         super().__init__(scale)
    ...         self.conv = nn.Conv3d(1, 1, 3, padding=1)
    ...
    ...     def forward(self, x, skip=None):
    ...         return self.add_skip(self.conv(self.upsample(x)), x, skip)
    >>> OneLayer((1, 1, 4))(torch.rand(1, 1, 8, 8, 2)).shape
    torch.Size([1, 1, 8, 8, 8])
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        *,
        global_skip: bool = True,
        order: int = 3,
        alignment: str = "center",
    ) -> None:
        super().__init__()
        self.scale = per_axis(scale, "scale", type(self).__name__)
        self.upsample = Upsample(self.scale, order, alignment) if global_skip else None

    @property
    @abstractmethod
    def margin(self) -> tuple[int, int, int]:
        """Low voxels at each end of a tile whose result may depend on voxels outside the tile.

        An upper bound. The global skip does not count: prediction interpolates the whole volume
        once and passes tiles of the result.
        """

    @property
    @abstractmethod
    def tile_multiple(self) -> tuple[int, int, int]:
        """Low voxels; the first voxel of a tile must be a multiple of them, for tiles to agree."""

    @property
    @abstractmethod
    def bytes_per_voxel(self) -> float:
        """Memory that prediction takes for each low voxel of a tile, roughly."""

    def add_skip(
        self, out: torch.Tensor, x: torch.Tensor, skip: torch.Tensor | None
    ) -> torch.Tensor:
        """Add the interpolated input to the output, if the net has a global skip.

        Parameters
        ----------
        out : Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k)
            Output of the last layer.
        x : Tensor of shape (batch, 1, i, j, k)
            Input of the net.
        skip : Tensor of the shape of ``out``, or None
            The interpolated input. If it is None, it is computed from ``x``.

        Returns
        -------
        Tensor of the shape of ``out``
            Output of the net.

        Raises
        ------
        ValueError
            If ``skip`` is passed to a net without a global skip.
        """
        if self.upsample is not None:
            return out + (self.upsample(x) if skip is None else skip)
        if skip is not None:
            raise ValueError(
                f"{type(self).__name__}: skip was passed, but the net has no global_skip."
            )
        return out

    def fold_batch_norm(self) -> None:
        """Put batch normalisation into the weights of convolutions, wherever that is exact.

        The net must be in evaluation mode. It is changed in place and computes the same function up
        to rounding.
        """
        for part in list(self.modules())[1:]:
            if isinstance(part, nn.Sequential):
                fold_convolutions(part)
            if callable(fold := getattr(part, "fold_batch_norm", None)):
                fold()
