"""Draw figures without a screen, and close them after each test."""

import nibabel
import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _no_screen():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def head(rng):
    """An image of (right, anterior, superior) voxels of 1 x 1.5 x 2 mm, bright at one corner."""
    voxels = rng.random((12, 10, 8)).astype(np.float32)
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    affine[:3, 3] = (-6, -8, -9)
    return nibabel.Nifti1Image(voxels, affine)
