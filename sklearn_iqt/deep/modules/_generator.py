"""The tree that grows the atoms of a dictionary out of one noise vector."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from sklearn_iqt.patches import per_axis

__all__ = ["DictionaryGenerator", "TreeLevel"]


class TreeLevel(nn.Module):
    """All nodes at one depth of the tree, each with separate weights for two children.

    A node is a convolution of size one, ReLU, a second one and an activation, on a single voxel:
    two small matrix products. The nodes of a level do not see each other, so the level is two
    batched products.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    n_channels : int
        Values that a node takes and gives.
    activation : {"relu", "tanh"}
        What follows the second product.
    """

    def __init__(self, n_nodes: int, n_channels: int, activation: str = "relu") -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(2, n_nodes, n_channels, n_channels))
        self.biases = nn.Parameter(torch.empty(2, n_nodes, 1, n_channels))
        self.activation = torch.tanh if activation == "tanh" else torch.relu
        # The range torch gives to a convolution of size one.
        bound = n_channels**-0.5
        nn.init.uniform_(self.weights, -bound, bound)
        nn.init.uniform_(self.biases, -bound, bound)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply every node to its own values.

        Parameters
        ----------
        values : Tensor of shape (n_nodes, batch, n_channels)
            Inputs of the nodes.

        Returns
        -------
        Tensor of shape (n_nodes, batch, n_channels)
            Outputs of the nodes.
        """
        hidden = torch.relu(torch.baddbmm(self.biases[0], values, self.weights[0]))
        return self.activation(torch.baddbmm(self.biases[1], hidden, self.weights[1]))


class DictionaryGenerator(nn.Module):
    """Grow a dictionary of high-resolution atoms from a noise vector.

    Level d of a binary tree has 2^d nodes; every node's output feeds two nodes of the next level,
    and each of the log2(n_atoms) levels has separate weights. The leaves end in Tanh, and a pixel
    shuffle turns the prod(scale) values of a leaf into one atom.

    Parameters
    ----------
    n_atoms : int, default=64
        Number of atoms, a power of two and at least 2.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        Shape of an atom in high voxels, which is the upscaling factor of each axis.

    Raises
    ------
    ValueError
        If ``n_atoms`` is not a power of two.

    Notes
    -----
    Section 2.2.1 of [1]_, where 2 * n_atoms - 2 nodes hold
    (2 * n_atoms - 2) * 2 * (C^2 + C) parameters, C = prod(scale). Any fixed order of the shuffle is
    as good as any other, because the generator is learned; this one is C order.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.

    Examples
    --------
    >>> import torch
    >>> generator = DictionaryGenerator(n_atoms=64, scale=(1, 1, 4))
    >>> generator(torch.randn(2, generator.n_noise)).shape
    torch.Size([2, 64, 1, 1, 4])
    """

    def __init__(self, n_atoms: int = 64, scale: int | Sequence[int] = (1, 1, 4)) -> None:
        super().__init__()
        if n_atoms < 2 or n_atoms & (n_atoms - 1):
            raise ValueError(
                f"DictionaryGenerator: n_atoms must be a power of two (2, 4, 8, ...), because the "
                f"atoms are the leaves of a binary tree; got {n_atoms!r}."
            )
        self.scale = per_axis(scale, "scale", "DictionaryGenerator")
        self.n_noise = prod(self.scale)
        depth = n_atoms.bit_length() - 1
        self.levels = nn.ModuleList(
            TreeLevel(2**d, self.n_noise, "tanh" if d == depth else "relu")
            for d in range(1, depth + 1)
        )

    def forward(self, noise: torch.Tensor, shuffle: bool = False) -> torch.Tensor:
        """Grow one dictionary for each noise vector.

        Parameters
        ----------
        noise : Tensor of shape (batch, prod(scale))
            Drawn from a standard Gaussian.
        shuffle : bool, default=False
            Whether to put the atoms in a random order, the same one for the whole batch. Training
            does so at first, to keep the predictor from leaning on an order that still moves.

        Returns
        -------
        Tensor of shape (batch, n_atoms, scale_i, scale_j, scale_k)
            Atoms, with values in (-1, 1).
        """
        values = noise[None]
        for level in self.levels:
            values = level(values.repeat_interleave(2, dim=0))
        if shuffle:
            values = values[torch.randperm(len(values), device=values.device)]
        return values.transpose(0, 1).unflatten(2, self.scale)
