"""Volumes of the viewer, packed as text with at most 256 levels."""

from __future__ import annotations

import base64
import zlib
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes

from sklearn_iqt.plotting._slices import Scan


class Layer(NamedTuple):
    """A volume of the viewer."""

    name: str
    label: str
    note: str
    scan: Scan
    # Intensities of the first and the last level.
    window: tuple[float, float]
    colors: str = "gray"

    @property
    def levels(self) -> int:
        """Number of levels. Maps have fewer, because their noise does not compress well."""
        return 256 if self.colors == "gray" else 64


def describe(layer: Layer, reference: Scan) -> dict[str, Any]:
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
        "levels": layer.levels,
    }


def pack(layer: Layer) -> str:
    """Return the voxels as text: levels are replaced by differences, compressed, then encoded.

    Each level is predicted by the mean of its three previous neighbours along the axes, rounded
    down, with zeros outside of the volume. The difference modulo 256 is stored, with the first axis
    fastest. The bytes are compressed by zlib and encoded as base64.
    """
    first, last = layer.window
    top = layer.levels - 1
    levels = (layer.scan.voxels - np.float32(first)) * np.float32(top / (last - first))
    levels = np.rint(np.clip(levels, 0, top)).astype(np.uint8)
    before = np.zeros(levels.shape, np.uint16)
    before[1:] += levels[:-1]
    before[:, 1:] += levels[:, :-1]
    before[:, :, 1:] += levels[:, :, :-1]
    stored = levels - (before // 3).astype(np.uint8)
    return base64.b64encode(zlib.compress(stored.tobytes(order="F"), 6)).decode("ascii")
