"""The slice profile is applied to images and files, too."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.simulation import degrade


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("scale", [2, (1, 1, 4)])
def test_images_and_paths_give_images_in_the_same_place(scale, alignment, tmp_path):
    volume = np.random.default_rng(0).random((8, 8, 9), dtype="f4")
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    image = nibabel.Nifti1Image(volume, affine)
    path = save_volume(image, tmp_path / "high.nii")
    expected = degrade(volume, scale=scale, alignment=alignment)
    for source in (image, path, str(path)):
        low = degrade(source, scale=scale, alignment=alignment)
        np.testing.assert_array_equal(low.get_fdata(dtype="f4"), expected)
        place = scaled_affine(affine, 1 / np.array(scale), alignment)
        np.testing.assert_allclose(low.affine, place, atol=1e-6)
