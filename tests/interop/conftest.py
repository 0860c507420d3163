"""A model, and scans with an oblique, flipped and shifted grid."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from scipy.spatial.transform import Rotation

from sklearn_iqt import LowFieldSimulator, PatchwiseRegressor
from sklearn_iqt.datasets import make_subjects


@pytest.fixture(scope="session")
def pairs():
    """Simulated scans of two brains, as images with an oblique affine."""
    brains = make_subjects(2, shape=(40, 48, 24), random_state=0)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [8, -5, 3], degrees=True).as_matrix()
    affine[:3, :3] *= [-1, 1, 1.2]
    affine[:3, 3] = [18.5, -30.25, 7]
    images = [Nifti1Image(np.asarray(image.dataobj), affine) for image in brains.images]
    return LowFieldSimulator(random_state=0).simulate(images, brains.tissues)


@pytest.fixture(scope="session")
def model(pairs):
    return PatchwiseRegressor(max_patches=400, random_state=0).fit(pairs.low, pairs.high)


@pytest.fixture(scope="session")
def enhanced(model, pairs):
    """The prediction of the model for the first scan."""
    return model.predict(pairs.low[:1])[0]
