"""Oblique scans with thick slices, made from brains."""

from __future__ import annotations

import nibabel
import numpy as np
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from sklearn_iqt.preprocessing import resample_to

SIZE = (1.6, 1.6, 5.0)


def rigid(degrees, shift, center):
    """Return a rotation about a point and a shift, in mm."""
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return from_matvec(rotation, center - rotation @ center + np.array(shift))


def center_of(image):
    return apply_affine(image.affine, (np.array(image.shape) - 1) / 2)


def scan_thickly(high, *, motion=None, gain=0.37, size=SIZE, flips=(-1, -1, -1), tilt=5.0):
    """Scan a brain again, by default in LPI order, tilted, in other units and thick slices."""
    voxels = np.asarray(high.dataobj, dtype=np.float32)
    affine = high.affine if motion is None else motion @ high.affine
    moved = nibabel.Nifti1Image(voxels, affine)
    tilted = Rotation.from_euler("x", tilt, degrees=True).as_matrix()
    axes = tilted @ np.diag(flips) @ np.diag(size)
    shape = np.ceil((np.array(high.shape) + 14) / size).astype(int)
    grid = from_matvec(axes, center_of(moved) + (1, -2, 3) - axes @ ((shape - 1) / 2))
    low = resample_to(moved, (tuple(shape), grid))
    scan = nibabel.Nifti1Image(gain * np.asarray(low.dataobj), low.affine)
    scan.header["descrip"] = b"0.36 T"
    scan.header.set_xyzt_units("mm")
    return scan
