"""Volumes of 8 bits that a page carries in its text."""

from __future__ import annotations

import base64
import zlib
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.plotting._slices import Scan


class Layer(NamedTuple):
    """One volume of the viewer."""

    name: str
    label: str
    scan: Scan
    # Intensities of the first and the last of 256 levels.
    window: tuple[float, float]
    colors: str = "gray"


def describe(layer: Layer, reference: Scan) -> dict[str, Any]:
    """Return what the viewer must know of a layer: its grid in mm along the reference's axes."""
    to_reference = np.linalg.inv(reference.affine) @ layer.scan.affine
    sizes = voxel_sizes(reference.affine)
    return {
        "name": layer.name,
        "label": layer.label,
        "shape": list(layer.scan.voxels.shape),
        "origin": (to_reference[:3, 3] * sizes).tolist(),
        "step": (np.diag(to_reference)[:3] * sizes).tolist(),
        "window": list(layer.window),
        "colors": layer.colors,
    }


def pack(layer: Layer) -> str:
    """Return the voxels as text: 8 bits, differences from neighbours, zlib, base64.

    The first axis runs fastest. Each voxel is predicted by the mean of the three before it along
    the axes, rounded down, with zeros outside; what is stored is the difference modulo 256.
    """
    first, last = layer.window
    levels = (layer.scan.voxels - np.float32(first)) * np.float32(255 / (last - first))
    levels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    before = np.zeros(levels.shape, np.uint16)
    before[1:] += levels[:-1]
    before[:, 1:] += levels[:, :-1]
    before[:, :, 1:] += levels[:, :, :-1]
    stored = levels - (before // 3).astype(np.uint8)
    return base64.b64encode(zlib.compress(stored.tobytes(order="F"), 6)).decode("ascii")


def unpack(text: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the voxels that :func:`pack` stored, as the page does."""
    stored = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    levels = np.zeros([n + 1 for n in shape], np.uint8)
    differences = stored.reshape(shape, order="F")
    for i, j, k in np.ndindex(*shape):
        neighbours = (levels[i, j + 1, k + 1], levels[i + 1, j, k + 1], levels[i + 1, j + 1, k])
        predicted = sum(map(int, neighbours)) // 3
        levels[i + 1, j + 1, k + 1] = (int(differences[i, j, k]) + predicted) % 256
    return levels[1:, 1:, 1:]
