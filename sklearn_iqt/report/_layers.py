"""Volumes of at most 256 levels, as text in the page."""

from __future__ import annotations

import base64
import zlib
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes

from sklearn_iqt.plotting._slices import Scan


class Layer(NamedTuple):
    """One volume of the viewer."""

    name: str
    label: str
    note: str
    scan: Scan
    # Intensities of the first and the last level.
    window: tuple[float, float]
    colors: str = "gray"

    @property
    def levels(self) -> int:
        """Number of intensities; fewer for maps, whose noise takes space and shows nothing."""
        return 256 if self.colors == "gray" else 64


def describe(layer: Layer, reference: Scan) -> dict[str, Any]:
    """Return the grid of a layer in mm along the axes of the reference, and its labels."""
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
    """Return the voxels as text: levels, differences from neighbours, zlib, base64.

    The first axis runs fastest. Each voxel is predicted by the mean of the three before it along
    the axes, rounded down, with zeros outside; the difference modulo 256 is stored.
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
