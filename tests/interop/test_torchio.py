"""Scans are passed to and from TorchIO, and keep their place."""

from __future__ import annotations

import numpy as np
import torchio as tio
from nibabel.nifti1 import Nifti1Image
from sklearn.base import clone

from sklearn_iqt import load_volume, save_volume


def to_nibabel(image):
    """Return the only channel of a TorchIO image."""
    return Nifti1Image(image.numpy()[0], image.affine)


def test_torchio_reads_a_prediction(enhanced, tmp_path):
    path = save_volume(enhanced, tmp_path / "enhanced.nii.gz")
    from_file = tio.ScalarImage(path)
    from_array = tio.ScalarImage(tensor=np.asarray(enhanced.dataobj)[None], affine=enhanced.affine)
    for image in (from_file, from_array):
        assert image.spatial_shape == enhanced.shape
        np.testing.assert_allclose(image.affine, enhanced.affine, atol=1e-5)
        np.testing.assert_allclose(image.spacing, enhanced.header.get_zooms(), rtol=1e-5)
        np.testing.assert_array_equal(image.numpy()[0], np.asarray(enhanced.dataobj))


def test_a_transformed_scan_can_be_enhanced(model, pairs, enhanced, tmp_path):
    path = save_volume(pairs.low[0], tmp_path / "low.nii.gz")
    noisy = tio.RandomNoise(std=(5, 5))(tio.ScalarImage(path))
    result = model.predict([to_nibabel(noisy)])[0]
    np.testing.assert_allclose(result.affine, enhanced.affine, atol=1e-5)
    difference = np.asarray(result.dataobj) - np.asarray(enhanced.dataobj)
    assert 0 < np.abs(difference).mean() < 20

    # Files that TorchIO writes can be read.
    noisy.save(tmp_path / "noisy.nii.gz")
    again = model.predict([tmp_path / "noisy.nii.gz"])[0]
    np.testing.assert_allclose(again.affine, result.affine, atol=1e-4)
    np.testing.assert_allclose(
        np.asarray(again.dataobj), np.asarray(result.dataobj), rtol=1e-4, atol=1e-2
    )


def test_a_flip_changes_the_voxels_but_not_the_place(model, pairs, enhanced):
    low = tio.ScalarImage(tensor=np.asarray(pairs.low[0].dataobj)[None], affine=pairs.low[0].affine)
    flipped = tio.RandomFlip(axes=0, flip_probability=1)(low)
    result = model.predict([to_nibabel(flipped)])[0]
    np.testing.assert_allclose(result.affine, enhanced.affine, atol=1e-5)
    mirrored = np.asarray(result.dataobj)[::-1]
    assert np.corrcoef(mirrored.ravel(), np.asarray(enhanced.dataobj).ravel())[0, 1] > 0.99


def test_a_crop_moves_the_prediction(model, pairs, enhanced):
    low = tio.ScalarImage(tensor=np.asarray(pairs.low[0].dataobj)[None], affine=pairs.low[0].affine)
    cropped = tio.Crop((4, 0, 6, 0, 1, 0))(low)
    result = model.predict([to_nibabel(cropped)])[0]
    corner = enhanced.affine @ [4, 6, 4, 1]
    np.testing.assert_allclose(result.affine @ [0, 0, 0, 1], corner, atol=1e-4)
    assert result.shape == tuple(np.subtract(enhanced.shape, (4, 6, 4)))


def test_a_transform_accepts_a_prediction_directly(enhanced):
    blurred = tio.RandomBlur(std=(1, 1))(enhanced)
    assert isinstance(blurred, Nifti1Image)
    np.testing.assert_allclose(blurred.affine, enhanced.affine, atol=1e-5)
    assert np.asarray(blurred.dataobj).std() < np.asarray(enhanced.dataobj).std()


def test_a_resampled_prediction_has_the_place_of_the_scan(pairs, enhanced, tmp_path):
    low = tio.ScalarImage(save_volume(pairs.low[0], tmp_path / "low.nii.gz"))
    image = tio.ScalarImage(tensor=np.asarray(enhanced.dataobj)[None], affine=enhanced.affine)
    resampled = tio.Resample(low)(image)
    assert resampled.spatial_shape == low.spatial_shape
    scan = np.asarray(load_volume(tmp_path / "low.nii.gz").dataobj)
    brain = scan > scan.mean()
    assert np.corrcoef(resampled.numpy()[0][brain], scan[brain])[0, 1] > 0.8


def test_training_pairs_can_be_augmented_together(model, pairs):
    augmented = [
        tio.RandomGamma(log_gamma=(0.1, 0.1))(
            tio.Subject(
                low=tio.ScalarImage(tensor=np.asarray(low.dataobj)[None], affine=low.affine),
                high=tio.ScalarImage(tensor=np.asarray(high.dataobj)[None], affine=high.affine),
            )
        )
        for low, high in zip(pairs.low, pairs.high, strict=True)
    ]
    low, high = ([to_nibabel(s[kind]) for s in augmented] for kind in ("low", "high"))
    fitted = clone(model).fit(low, high)
    assert fitted.score(low, high) > 0.5
    assert fitted.predict(low)[0].shape == pairs.high[0].shape
