"""Volumes of the viewer, packed as text."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy.fft import dctn

from sklearn_iqt.plotting._slices import Scan

# Voxels of a block along each axis.
_BLOCK = 8
# Steps that the coefficients of the blocks are rounded to, in levels of 256, finest first.
STEPS = (1, 2, 4, 8, 16, 32)
# The order in which coefficients are stored: low frequencies first.
_ORDER = np.argsort(np.indices((_BLOCK,) * 3).sum(axis=0).ravel(), kind="stable")


class Layer(NamedTuple):
    """A volume of the viewer."""

    name: str
    label: str
    note: str
    scan: Scan
    # Intensities of the first and the last level.
    window: tuple[float, float]
    colors: str = "gray"
    # Names of two layers on the same grid. The browser computes their absolute difference, so that
    # it takes no space in the page.
    difference: tuple[str, str] | None = None

    @property
    def coarseness(self) -> int:
        """Factor of the step for this layer. Maps are mostly noise, and need few levels."""
        return 1 if self.colors == "gray" else 4


def describe(layer: Layer, reference: Scan, step: float) -> dict[str, Any]:
    """Return the labels of a layer, and its grid in mm along the axes of the reference."""
    to_reference = np.linalg.inv(reference.affine) @ layer.scan.affine
    sizes = voxel_sizes(reference.affine)
    return {
        "name": layer.name,
        "label": layer.label,
        "note": layer.note,
        "shape": list(layer.scan.voxels.shape),
        "origin": (to_reference[:3, 3] * sizes).tolist(),
        "step": (np.diag(to_reference)[:3] * sizes).tolist(),
        "window": list(layer.window),
        "colors": layer.colors,
        "rounded": step * layer.coarseness,
        "difference": layer.difference,
    }


def pack(layer: Layer, step: float) -> str:
    """Return the voxels as text, or "" for a difference of layers.

    They are compressed like a JPEG, but with blocks in three dimensions. Intensities become levels
    from 0 to 255. Each block of 8 x 8 x 8 voxels becomes the coefficients of its orthonormal cosine
    transform, rounded to multiples of `step`, or of four times `step` for maps. The root mean
    squared error of a level is then at most about this number divided by the root of 12.
    Coefficients are sorted by frequency, their signs are stored in the last bit, and all low bytes
    come before the high bytes. The bytes are compressed by zlib and encoded as base64.
    """
    if layer.difference is not None:
        return ""
    multiples = np.rint(_coefficients(layer) / np.float32(step * layer.coarseness)).astype(np.int16)
    unsigned = ((multiples << 1) ^ (multiples >> 15)).view(np.uint16).T[_ORDER]
    stored = (unsigned & 255).astype(np.uint8).tobytes() + (unsigned >> 8).astype(
        np.uint8
    ).tobytes()
    return base64.b64encode(zlib.compress(stored, 6)).decode("ascii")


def pack_within(layers: Sequence[Layer], n_bytes: float) -> tuple[list[str], float]:
    """Return the packed layers and the finest step with which they take at most `n_bytes`.

    If no step is coarse enough, the coarsest one is used.
    """
    for step in STEPS:
        packed = [pack(layer, step) for layer in layers]
        if sum(map(len, packed)) <= n_bytes:
            break
    return packed, step


def _coefficients(layer: Layer) -> NDArray[np.float32]:
    """Return the cosine transform of each block, one row for each block."""
    first, last = layer.window
    levels = (layer.scan.voxels - np.float32(first)) * np.float32(255 / (last - first))
    levels = np.clip(levels, 0, 255).astype(np.float32, copy=False)
    levels = np.pad(levels, [(0, -n % _BLOCK) for n in levels.shape], mode="edge")
    split = [part for n in levels.shape for part in (n // _BLOCK, _BLOCK)]
    blocks = levels.reshape(split).transpose(0, 2, 4, 1, 3, 5)
    return dctn(blocks, axes=(3, 4, 5), norm="ortho").reshape(-1, _BLOCK**3)
