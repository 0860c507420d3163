"""What a report is made of: images read and checked, their grids, and the enhancement."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import as_volumes, grid_offset, load_volume, scaled_affine
from sklearn_iqt.preprocessing import foreground_mask

CALLER = "write_report"


def read_image(volume: Any, name: str, affine: ArrayLike | None = None) -> tuple[str, Nifti1Image]:
    """Return what a volume is called, and an image of its checked voxels."""
    file = volume if isinstance(volume, (str, os.PathLike)) else None
    if file is not None:
        volume = load_volume(file)
    elif isinstance(volume, SpatialImage):
        file = volume.get_filename()
    voxels, own = as_volumes([volume], name=name, caller=CALLER).read(0)
    if own is None:
        own = np.eye(4) if affine is None else scaled_affine(affine, 1)
    header = volume.header if isinstance(volume, Nifti1Image) else None
    title = "scan" if file is None else os.path.basename(os.fspath(file))
    return title, Nifti1Image(voxels, own, header)


def find_foreground(scan: NDArray[Any], mask: Any) -> NDArray[np.bool_]:
    """Return the voxels that are not background."""
    if mask is None:
        return foreground_mask(scan)
    inside = as_volumes([mask], name="mask", caller=CALLER)[0] > 0
    if inside.shape != scan.shape:
        raise GeometryMismatchError(
            f"{CALLER}: mask has shape {inside.shape} and low {scan.shape}; both must be on one "
            "grid."
        )
    if not inside.any():
        raise ValueError(f"{CALLER}: mask is empty; pass one that covers the brain.")
    return inside


def enhance(model: Any, image: Nifti1Image, mask: NDArray[np.bool_] | None) -> tuple[Any, Any]:
    """Enhance the scan, with the spread of the patches if the model has patches that overlap."""
    masks = None if mask is None else [Nifti1Image(mask.astype(np.uint8), image.affine)]
    try:
        enhanced, spread = model.predict([image], mask=masks, return_std=True)
    except ValueError:  # nets refuse at once; whatever else is wrong is wrong again
        return model.predict([image], mask=masks)[0], None
    return enhanced[0], spread[0]


def on_fine_grid(
    volume: Any, name: str, image: Nifti1Image, alignment: str
) -> tuple[Nifti1Image, tuple[int, ...]]:
    """Return a volume, and how many of its voxels make one of the scan along each axis."""
    _, fine = read_image(volume, name)
    scale = tuple(n // m for n, m in zip(fine.shape, image.shape, strict=True))
    if fine.shape != tuple(s * m for s, m in zip(scale, image.shape, strict=True)) or 0 in scale:
        raise GeometryMismatchError(
            f"{CALLER}: {name} has shape {fine.shape}, which is no multiple of the shape "
            f"{image.shape} of low; pass what the model made of this scan."
        )
    affine = scaled_affine(image.affine, scale, alignment)
    if isinstance(volume, (str, os.PathLike, SpatialImage)):
        offset = grid_offset(fine.shape, affine, fine.affine)
        if offset:
            raise GeometryMismatchError(
                f"{CALLER}: {name} lies {offset:.3g} mm from where low lies by its affine; pass "
                "what the model made of this scan."
            )
    return Nifti1Image(np.asarray(fine.dataobj), affine), scale


def slice_profile(thickness: Any, scale: tuple[int, ...]) -> tuple[float, ...]:
    """Return the width of the slice profile along each axis, 1 where nothing is refined."""
    refined = np.array(scale) > 1
    given = np.maximum(1, np.array(scale) - 1) if thickness is None else np.asarray(thickness)
    if given.shape not in ((), (3,)) or given.dtype.kind not in "fiu" or not (given >= 1).all():
        raise ValueError(
            f"{CALLER}: thickness must be one number or three, of at least 1 voxel of the "
            f"enhancement, got {thickness!r}."
        )
    return tuple(np.where(refined, given, 1).astype(float).tolist())
