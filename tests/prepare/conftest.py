"""Scans of made-up people: a brain at 1 mm, and an oblique scan of it with thick slices."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from made_scans import scan_thickly
from nibabel.affines import from_matvec
from scipy import ndimage

from sklearn_iqt.datasets import make_subjects


@pytest.fixture(scope="session")
def brains():
    """Two small skull-stripped brains of 1 mm, with air around them."""
    subjects = make_subjects(2, shape=(160, 192, 160), random_state=0)
    small = []
    for image in subjects.images:
        voxels = ndimage.zoom(np.asarray(image.dataobj), 0.33, order=1)
        scan = nibabel.Nifti1Image(np.pad(voxels, 3), from_matvec(np.eye(3), (-30, -40, -20)))
        scan.header.set_xyzt_units("mm")
        small.append(scan)
    return small


@pytest.fixture(scope="session")
def pair(brains):
    """A low scan and a high scan of one person, where the affines agree."""
    return scan_thickly(brains[0]), brains[0]


@pytest.fixture
def files(brains, tmp_path):
    """Two folders with scans of two people."""
    paths = {"low": [], "high": []}
    for n, high in enumerate(brains):
        for kind, image in (("low", scan_thickly(high)), ("high", high)):
            path = tmp_path / kind / f"sub-{n}_{kind}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nibabel.save(image, path)
            paths[kind].append(str(path))
    return paths["low"], paths["high"]
