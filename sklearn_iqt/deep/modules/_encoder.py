"""The code that describes the current atoms to the predictor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sklearn_iqt.patches import per_axis

__all__ = ["CodeEncoder"]


class CodeEncoder(nn.Module):
    """Encode every atom of a dictionary as one number.

    A convolution as large as an atom, with one group for each atom, then ReLU and a convolution of
    size one across the atoms (section 2.2.1 of [1]_).

    Parameters
    ----------
    n_atoms : int
        Number of atoms.
    scale : int or sequence of 3 ints
        Shape of an atom, in high voxels.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.

    Examples
    --------
    >>> import torch
    >>> CodeEncoder(n_atoms=8, scale=(1, 1, 4))(torch.rand(2, 8, 1, 1, 4)).shape
    torch.Size([2, 8])
    """

    def __init__(self, n_atoms: int, scale: int | Sequence[int]) -> None:
        super().__init__()
        scale = per_axis(scale, "scale", "CodeEncoder")
        self.per_atom = nn.Conv3d(n_atoms, n_atoms, scale, groups=n_atoms)
        self.across_atoms = nn.Conv3d(n_atoms, n_atoms, 1)

    def forward(self, atoms: torch.Tensor) -> torch.Tensor:
        """Encode dictionaries.

        Parameters
        ----------
        atoms : Tensor of shape (batch, n_atoms, scale_i, scale_j, scale_k)
            One dictionary for each sample.

        Returns
        -------
        Tensor of shape (batch, n_atoms)
            One number for each atom.
        """
        return self.across_atoms(torch.relu(self.per_atom(atoms))).flatten(1)
