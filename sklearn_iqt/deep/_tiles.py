"""Predicting a volume by a convolutional net in tiles that overlap by a margin."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

__all__ = ["plan_tiles", "predict_tiles"]


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
        size = max(size // step, 1) * step
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
                f"Memory ran out on tiles of {tuple(tile_size)} voxels; going on with "
                f"{tuple(halved)}. Set tile_size to avoid the attempt.",
                RuntimeWarning,
                stacklevel=2,
            )
            tile_size = tuple(halved)


def _scaled(box: Sequence[slice], scale: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(b.start * f, b.stop * f) for b, f in zip(box, scale, strict=True))


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "memory" in str(error)
