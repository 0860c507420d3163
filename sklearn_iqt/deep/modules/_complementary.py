"""Second weights, between the voxels, for the edges between blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.patches import per_axis

__all__ = ["ComplementaryMap", "complementary_kernel"]


def complementary_kernel(
    complementary: int | str | Sequence[int], scale: int | Sequence[int]
) -> tuple[int, int, int]:
    """Return the kernel of the complementary map along each axis.

    Parameters
    ----------
    complementary : "auto", 1, 2, or a sequence of 3 of these numbers
        "auto" is 2 along axes that are upscaled and 1 along the others.
    scale : int or sequence of 3 ints
        Upscaling factors.

    Returns
    -------
    tuple of 3 ints
        1 or 2 for each axis.

    Raises
    ------
    ValueError
        If ``complementary`` is anything else.

    Examples
    --------
    >>> complementary_kernel("auto", (1, 1, 4)), complementary_kernel(2, (1, 1, 4))
    ((1, 1, 2), (2, 2, 2))
    """
    caller = "complementary_kernel"
    scale = per_axis(scale, "scale", caller)
    if isinstance(complementary, str) and complementary == "auto":
        return tuple(2 if factor > 1 else 1 for factor in scale)  # type: ignore[return-value]
    if not isinstance(complementary, str):
        kernel = per_axis(complementary, "complementary", caller)
        if set(kernel) <= {1, 2}:
            return kernel
    raise ValueError(
        f"{caller}: complementary must be 'auto', 1, 2 or a tuple of three of these numbers; got "
        f"{complementary!r}."
    )


class ComplementaryMap(nn.Module):
    """Predict weights for blocks that lie across the edges of the first ones.

    A convolution without padding over each pair of neighbours, ReLU, a convolution of size one and
    a softmax over the atoms.

    Parameters
    ----------
    n_atoms : int
        Number of atoms.
    kernel : int or sequence of 3 ints
        1 or 2 along each axis; see :func:`complementary_kernel`.

    Notes
    -----
    Section 2.2.2 of [1]_ names only the 2x2x2 convolution; ReLU, second convolution and softmax
    come from the two-dimensional reference [2]_. The softmax turns the result into weights.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.
    .. [2] Maeda, "Image Super-Resolution with Deep Dictionary", ECCV 2022.

    Examples
    --------
    >>> import torch
    >>> ComplementaryMap(8, kernel=(1, 1, 2))(torch.rand(1, 8, 5, 5, 3)).shape
    torch.Size([1, 8, 5, 5, 2])
    """

    def __init__(self, n_atoms: int, kernel: int | Sequence[int]) -> None:
        super().__init__()
        self.kernel = per_axis(kernel, "kernel", "ComplementaryMap")
        self.layers = nn.Sequential(
            nn.Conv3d(n_atoms, n_atoms, self.kernel),
            nn.ReLU(inplace=True),
            nn.Conv3d(n_atoms, n_atoms, 1),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Predict the complementary maps.

        Parameters
        ----------
        maps : Tensor of shape (batch, n_atoms, i, j, k)
            Weights of the atoms, at least as large as the kernel.

        Returns
        -------
        Tensor of shape (batch, n_atoms, i - kernel_i + 1, j - kernel_j + 1, k - kernel_k + 1)
            Weights, positive, with sum one at every voxel.
        """
        return torch.softmax(self.layers(maps), dim=1)
