"""Inserted lesions have the size, the contrast and the place that were requested."""

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from sklearn_iqt import LowFieldSimulator, load_volume
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import lesion_contrast, lesion_volume
from sklearn_iqt.simulation import insert_lesions

SIZE = (0.8, 1.0, 1.25)


@pytest.fixture
def brain():
    """Grey matter around white matter, and its label map."""
    labels = np.full((70, 56, 45), 2)
    labels[8:-8, 6:-6, 5:-5] = 3
    return np.array([0.0, 20, 60, 100])[labels], labels


@pytest.mark.parametrize("diameter", [3.0, 6.0, 12.0])
@pytest.mark.parametrize("contrast", [-0.4, 0.1])
def test_size_and_contrast_are_as_requested(brain, diameter, contrast):
    volume, labels = brain
    found = insert_lesions(
        volume,
        labels,
        diameter_mm=diameter,
        contrast=contrast,
        voxel_size_mm=SIZE,
        random_state=0,
    )
    change = found.volume - volume
    expected = np.pi / 6 * diameter**3
    # The rim fades out over as much volume outside as inside, but for the curvature.
    assert change.sum() * np.prod(SIZE) / (100 * contrast) == pytest.approx(expected, rel=0.15)
    assert (found.lesions > 0).sum() * np.prod(SIZE) == pytest.approx(expected, rel=0.1, abs=4)
    assert change[tuple(found.center[0])] == pytest.approx(100 * contrast)
    assert np.prod(found.diameter_mm) == pytest.approx(diameter**3)
    assert (labels[change != 0] == 3).all()
    assert volume.max() == 100  # the input is not changed


def test_several_lesions_are_apart_and_reproducible(brain):
    options = {"n_lesions": 4, "diameter_mm": (2, 8), "voxel_size_mm": SIZE}
    found = insert_lesions(*brain, random_state=3, **options)
    assert set(np.unique(found.lesions)) == {0, 1, 2, 3, 4}
    assert ndimage.label(found.lesions)[1] == 4
    again, other = (insert_lesions(*brain, random_state=seed, **options) for seed in (3, 4))
    np.testing.assert_array_equal(again.volume, found.volume)
    assert (other.volume != found.volume).any()
    assert ((np.abs(found.contrast) >= 0.1) & (np.abs(found.contrast) <= 0.4)).all()
    for n in range(1, 5):
        near = ndimage.distance_transform_edt(found.lesions != n, sampling=SIZE)
        assert near[(found.lesions > 0) & (found.lesions != n)].min() >= 4


def test_images_keep_their_place(brain):
    volume, labels = brain
    affine = np.diag([*SIZE, 1.0])
    image = nibabel.Nifti1Image(volume.astype("f4"), affine)
    found = insert_lesions(image, nibabel.Nifti1Image(labels.astype("u1"), affine), random_state=0)
    np.testing.assert_allclose(found.volume.affine, affine)
    np.testing.assert_allclose(found.lesions.affine, affine)
    expected = insert_lesions(volume.astype("f4"), labels, voxel_size_mm=SIZE, random_state=0)
    np.testing.assert_allclose(found.volume.get_fdata(), expected.volume)
    np.testing.assert_array_equal(found.lesions.get_fdata(), expected.lesions)


def test_what_cannot_be_inserted_is_refused(brain):
    volume, labels = brain
    for options, message in (
        ({"n_lesions": 0}, "n_lesions must be"),
        ({"diameter_mm": -1}, "diameter_mm must be"),
        ({"diameter_mm": (5, 2)}, "diameter_mm must be"),
        ({"contrast": (-0.4, -0.1)}, "contrast must be"),
        ({"contrast": np.nan}, "contrast must be"),
        ({"rim_mm": -1}, "rim_mm must be"),
        ({"voxel_size_mm": None}, "voxel size of an array is not known"),
        ({"voxel_size_mm": 0}, "voxel_size_mm must be"),
        ({"diameter_mm": 80}, "no place in white matter for lesion 1 of 1"),
    ):
        with pytest.raises(ValueError, match=f"insert_lesions: .*{message}"):
            insert_lesions(volume, labels, **{"voxel_size_mm": SIZE, **options})
    with pytest.raises(ValueError, match="no white matter"):
        insert_lesions(volume, np.minimum(labels, 2), voxel_size_mm=SIZE)
    with pytest.raises(GeometryMismatchError, match="labels"):
        insert_lesions(volume, labels[1:], voxel_size_mm=SIZE)


def test_lesions_in_a_real_brain_are_recovered_in_part(shared_data):
    folder = shared_data / "ds002748"
    image, labels = (
        load_volume(folder / f"sub-13_{kind}.nii.gz").slicer[30:126, 20:112, 60:140]
        for kind in ("T1w", "tissues")
    )
    found = insert_lesions(
        image, labels, n_lesions=3, diameter_mm=(4, 8), contrast=-0.4, random_state=0
    )
    options = {"lesions": found.lesions}
    assert lesion_contrast(found.volume, found.volume, **options) == 1
    assert lesion_volume(found.volume, found.volume, **options) == 1
    assert lesion_contrast(found.volume, image, **options) == pytest.approx(0, abs=0.3)
    simulator = LowFieldSimulator(noise=None, random_state=0)
    pairs = simulator.simulate([found.volume], [labels.get_fdata()])
    assert pairs.low[0].shape[2] == 20
