"""The scans of a cohort to prepare: names, grids, voxels and digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import SpatialImage

from sklearn_iqt.io import Grid, VolumeCollection, as_volumes, load_volume
from sklearn_iqt.io._carry import carried_image, image_header

__all__ = ["Scans"]


class Scans:
    """Scans that have a place in mm.

    Parameters
    ----------
    volumes : sequence of nibabel images or paths
        The scans.
    name : str
        What error messages call the sequence.
    caller : str
        What error messages start with.
    single : bool, default=False
        Whether there is one scan, which messages call by `name` alone.
    nan : {"refuse", "background"}, default="refuse"
        Whether scans with NaN are refused, or NaN is replaced by 0.

    Raises
    ------
    ValueError
        If `volumes` holds anything but images and paths.
    """

    def __init__(
        self, volumes: Any, name: str, caller: str, single: bool = False, nan: str = "refuse"
    ) -> None:
        self._caller = caller
        if single:
            self._volumes = VolumeCollection(
                [volumes], name=name, caller=caller, single=True, nan=nan
            )
        else:
            self._volumes = as_volumes(volumes, name=name, caller=caller, nan=nan)
        self._items: Sequence[Any] = self._volumes._items
        self._nan = nan
        if self._volumes.kind != "images":
            raise ValueError(
                f"{caller}: {name} must hold nibabel images or paths of NIfTI files: an array has "
                "no place in mm."
            )

    def __len__(self) -> int:
        return len(self._items)

    def grid(self, n: int) -> Grid:
        """Return shape and place of a scan, from its header."""
        return self._volumes.grid(n)

    def path(self, n: int) -> str | None:
        """Return the path of a scan, or None for an image in memory."""
        item = self._items[n]
        return os.fspath(item) if isinstance(item, (str, os.PathLike)) else None

    def name_of(self, n: int) -> str:
        """Return the name of a scan in messages."""
        path = self.path(n)
        return self._volumes.name_of(n) if path is None else os.path.basename(path)

    def read(self, n: int) -> nibabel.Nifti1Image:
        """Read a scan as a NIfTI image with finite float voxels."""
        item = self._items[n]
        if not isinstance(item, SpatialImage):
            return load_volume(item, nan=self._nan)
        voxels, _ = self._volumes.read(n)
        header, affine, _ = image_header(item, f"{self._caller}: {self.name_of(n)}")
        return carried_image(voxels, header, affine, affine)

    def describe(self, n: int) -> dict[str, Any]:
        """Return name, digest and grid of a scan for the record.

        The digest is taken of the file, or of the float32 voxels of an image in memory.
        """
        grid, path = self.grid(n), self.path(n)
        if path is None:
            voxels = np.ascontiguousarray(self.read(n).dataobj, dtype="<f4")
            name, digest = None, hashlib.sha256(voxels.data).hexdigest()
        else:
            name, digest = os.path.basename(path), _digest_file(path)
        return {
            "file": name,
            "sha256": digest,
            "shape": [int(length) for length in grid.shape],
            "voxel_size_mm": voxel_sizes(grid.affine).round(6).tolist(),
            "orientation": "".join(nibabel.aff2axcodes(grid.affine)),
        }


def _digest_file(path: str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
