"""Blocks of high-resolution voxels, one for each low-resolution voxel, and the grid they tile."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

__all__ = ["interleave", "reconstruct", "split_blocks"]


def interleave(blocks: torch.Tensor, scale: Sequence[int]) -> torch.Tensor:
    """Lay the block of every low voxel out on the high-resolution grid.

    This is the pixel shuffle in three dimensions, with one factor for each axis.

    Parameters
    ----------
    blocks : Tensor of shape (batch, prod(scale), i, j, k)
        The voxels of each low voxel's block, in C order, along the channels.
    scale : sequence of 3 ints
        Shape of a block, in high voxels.

    Returns
    -------
    Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k)
        High voxels ``scale * low`` to ``scale * (low + 1) - 1`` hold the block of voxel ``low``.

    Examples
    --------
    >>> import torch
    >>> interleave(torch.tensor([[0, 10, 20], [1, 11, 21]]).reshape(1, 2, 1, 1, 3), (1, 1, 2))
    tensor([[[[[ 0,  1, 10, 11, 20, 21]]]]])
    """
    batch, _, i, j, k = blocks.shape
    si, sj, sk = scale
    apart = blocks.reshape(batch, si, sj, sk, i, j, k)
    return apart.permute(0, 4, 1, 5, 2, 6, 3).reshape(batch, 1, i * si, j * sj, k * sk)


def reconstruct(maps: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    """Sum the atoms of a dictionary, weighted voxel by voxel.

    Parameters
    ----------
    maps : Tensor of shape (batch, n_atoms, i, j, k)
        Weights of the atoms at every low voxel.
    atoms : Tensor of shape (batch or 1, n_atoms, scale_i, scale_j, scale_k)
        Dictionary of each sample, or one for all.

    Returns
    -------
    Tensor of shape (batch, 1, i * scale_i, j * scale_j, k * scale_k)
        The weighted sum.

    Notes
    -----
    Equations (5) and (6) of [1]_ repeat the maps and the atoms over the high grid, multiply and
    sum. Both repetitions are constant within a block, so the sum is one product of the
    (prod(scale), n_atoms) dictionary with the maps, and nothing of n_atoms times the high volume is
    ever held.

    References
    ----------
    .. [1] Eldaly et al., "Alternative Learning Paradigms for Image Quality Transfer", Machine
       Learning for Biomedical Imaging 2024:027.

    Examples
    --------
    >>> import torch
    >>> atoms = torch.tensor([[1.0, 2.0], [10.0, 20.0]]).reshape(1, 2, 1, 1, 2)
    >>> maps = torch.tensor([[1.0, 0.5], [0.0, 0.5]]).reshape(1, 2, 1, 1, 2)
    >>> reconstruct(maps, atoms)
    tensor([[[[[ 1.0000,  2.0000,  5.5000, 11.0000]]]]])
    """
    blocks = atoms.flatten(2).transpose(1, 2) @ maps.flatten(2)
    return interleave(blocks.unflatten(2, maps.shape[2:]), atoms.shape[2:])


def split_blocks(volume: torch.Tensor, block: Sequence[int]) -> torch.Tensor:
    """Put the voxels of each block side by side along the channels.

    Parameters
    ----------
    volume : Tensor of shape (batch, 1, i * block_i, j * block_j, k * block_k)
        Voxels.
    block : sequence of 3 ints
        Shape of a block, in voxels.

    Returns
    -------
    Tensor of shape (batch, prod(block), i, j, k)
        The voxels of each block, in C order, which :func:`interleave` puts back.

    Examples
    --------
    >>> import torch
    >>> split_blocks(torch.arange(6).reshape(1, 1, 1, 1, 6), (1, 1, 2)).flatten(2)
    tensor([[[0, 2, 4],
             [1, 3, 5]]])
    """
    if prod(block) == 1:
        return volume
    sizes = zip(volume.shape[2:], block, strict=True)
    apart = volume.reshape(-1, *(n for size, step in sizes for n in (size // step, step)))
    channels = apart.permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3)
    return channels.contiguous(memory_format=torch.channels_last_3d)
