"""Dictionary and code together: the part of the deep dictionary that trains at its own rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.deep.modules._encoder import CodeEncoder
from sklearn_iqt.deep.modules._generator import DictionaryGenerator

__all__ = ["DeepDictionary"]


class DeepDictionary(nn.Module):
    """Turn noise into a dictionary and its code.

    The two share a learning rate and a schedule, and freeze together near the end of training;
    hence one module.

    Parameters
    ----------
    n_atoms : int
        Number of atoms, a power of two.
    scale : int or sequence of 3 ints
        Shape of an atom, in high voxels.

    Examples
    --------
    >>> import torch
    >>> atoms, code = DeepDictionary(n_atoms=8, scale=(1, 1, 4))(torch.randn(2, 4))
    >>> atoms.shape, code.shape
    (torch.Size([2, 8, 1, 1, 4]), torch.Size([2, 8]))
    """

    def __init__(self, n_atoms: int, scale: int | Sequence[int]) -> None:
        super().__init__()
        self.generator = DictionaryGenerator(n_atoms, scale)
        self.encoder = CodeEncoder(n_atoms, scale)

    def forward(
        self, noise: torch.Tensor, shuffle: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Generate dictionaries and encode them.

        Parameters
        ----------
        noise : Tensor of shape (batch, prod(scale))
            Drawn from a standard Gaussian.
        shuffle : bool, default=False
            Whether to put the atoms, and with them the code, in a random order.

        Returns
        -------
        atoms : Tensor of shape (batch, n_atoms, scale_i, scale_j, scale_k)
            Values in (-1, 1).
        code : Tensor of shape (batch, n_atoms)
            One number for each atom.
        """
        atoms = self.generator(noise, shuffle)
        return atoms, self.encoder(atoms)
