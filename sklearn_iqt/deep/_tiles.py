"""Predicting a volume by a convolutional net in tiles that overlap by a margin."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

from sklearn_iqt.deep._memory import reused_memory

__all__ = ["choose_tile_size", "plan_tiles", "predict_tiles"]

# Tiles may compute each voxel so often, on average, before they take more memory instead.
MOST_WORK = 4


def plan_tiles(
    shape: Sequence[int], tile_size: Sequence[int], margin: Sequence[int], multiple: Sequence[int]
) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Divide a volume among tiles.

    Parameters
    ----------
    shape : sequence of 3 ints
        Shape of the low volume, in voxels.
    tile_size : sequence of 3 ints
        Voxels that each tile contributes.
    margin : sequence of 3 ints
        Voxels that are read around these, and thrown away again.
    multiple : sequence of 3 ints
        Tiles are read from multiples of these, so that the net pools the same voxels together in
        every tiling.

    Returns
    -------
    list of (read, kept)
        For each tile the voxels that are read, and those of them that are kept, both as slices of
        the low volume. The kept parts cover every voxel exactly once.

    Examples
    --------
    >>> for read, kept in plan_tiles((4, 4, 9), (4, 4, 6), (2, 2, 2), (1, 1, 2)):
    ...     print(read[2], kept[2])
    slice(0, 8, None) slice(0, 6, None)
    slice(4, 9, None) slice(6, 9, None)
    """
    along_axes = []
    for length, size, edge, step in zip(shape, tile_size, margin, multiple, strict=True):
        size = length if size >= length else max(size // step, 1) * step
        edge = -(-edge // step) * step
        along_axes.append(
            [
                (
                    slice(max(start - edge, 0), min(start + size + edge, length)),
                    slice(start, min(start + size, length)),
                )
                for start in range(0, length, size)
            ]
        )
    tiles = itertools.product(*along_axes)
    return [tuple(zip(*tile, strict=True)) for tile in tiles]  # type: ignore[misc]


def choose_tile_size(
    shape: Sequence[int], margin: Sequence[int], multiple: Sequence[int], most_voxels: float
) -> tuple[int, ...]:
    """Choose tiles that are read in one piece of memory and overlap little.

    Parameters
    ----------
    shape : sequence of 3 ints
        Shape of the low volume, in voxels.
    margin, multiple : sequence of 3 ints
        See :func:`plan_tiles`.
    most_voxels : float
        Voxels that a tile may read.

    Returns
    -------
    tuple of 3 ints
        The least work among tiles that read no more than ``most_voxels``. Where even these would
        compute every voxel more than four times, the smallest tiles that do not.

    Examples
    --------
    >>> choose_tile_size((96, 96, 32), (8, 8, 4), (4, 4, 4), 200_000)
    (96, 48, 32)
    >>> choose_tile_size((96, 96, 32), (90, 90, 4), (4, 4, 4), 1000)
    (96, 96, 4)
    """
    choices = []
    for parts in itertools.product(range(1, 9), repeat=3):
        size = [
            -(-length // (n * step)) * step
            for length, n, step in zip(shape, parts, multiple, strict=True)
        ]
        work, most = 1.0, 1
        for length, tile, edge, step in zip(shape, size, margin, multiple, strict=True):
            edge = -(-edge // step) * step
            reads = [
                min(start + tile + edge, length) - max(start - edge, 0)
                for start in range(0, length, tile)
            ]
            work, most = work * sum(reads) / length, most * max(reads)
        tiles = tuple(map(min, size, shape))
        choices.append((work, most, tiles))
    bearable = [choice for choice in choices if choice[0] <= MOST_WORK]
    small = [choice for choice in bearable if choice[1] <= most_voxels]
    if small:
        return min(small, key=lambda choice: (choice[0], choice[1]))[2]
    return min(bearable, key=lambda choice: (choice[1], choice[0]))[2]


def predict_tiles(
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    low: np.ndarray,
    baseline: np.ndarray,
    *,
    scale: Sequence[int],
    tile_size: Sequence[int],
    margin: Sequence[int],
    multiple: Sequence[int],
) -> np.ndarray:
    """Enhance a volume tile by tile.

    Parameters
    ----------
    predict : callable
        Takes a tile of the low volume and of the baseline, returns the high tile.
    low : ndarray of shape (i, j, k)
        Scaled low volume.
    baseline : ndarray of shape (i * scale_i, j * scale_j, k * scale_k)
        Interpolated volume.
    scale : sequence of 3 ints
        High voxels for each low one.
    tile_size, margin, multiple : sequence of 3 ints
        See :func:`plan_tiles`. When memory runs out, the longest side of the tiles is halved, with
        a warning, and the tile is tried again.

    Returns
    -------
    ndarray of float32, shape of ``baseline``
        The enhanced volume.
    """
    out = np.empty_like(baseline)
    tile_size = tuple(map(min, tile_size, low.shape))
    while True:
        try:
            with reused_memory():
                for read, kept in plan_tiles(low.shape, tile_size, margin, multiple):
                    high = predict(low[read], baseline[_scaled(read, scale)])
                    inside = [
                        slice(k.start - r.start, k.stop - r.start)
                        for r, k in zip(read, kept, strict=True)
                    ]
                    out[_scaled(kept, scale)] = high[_scaled(inside, scale)]
            return out
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            longest = int(np.argmax(np.asarray(tile_size) / multiple))
            if not _is_out_of_memory(error) or tile_size[longest] <= multiple[longest]:
                raise
            halved = list(tile_size)
            halved[longest] = max(halved[longest] // 2, multiple[longest])
            warnings.warn(
                f"Memory ran out on tiles of {tuple(tile_size)} voxels. Prediction continues with "
                f"tiles of {tuple(halved)}. Set tile_size to avoid the attempt.",
                RuntimeWarning,
                stacklevel=2,
            )
            tile_size = tuple(halved)


def _scaled(box: Sequence[slice], scale: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(b.start * f, b.stop * f) for b, f in zip(box, scale, strict=True))


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "memory" in str(error)
