"""Maskers, resampling and plots of nilearn accept predictions."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from nilearn.image import resample_to_img
from nilearn.maskers import NiftiMasker
from nilearn.plotting import plot_anat
from scipy.ndimage import center_of_mass

from sklearn_iqt import save_volume


@pytest.fixture(autouse=True)
def no_windows():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def mask(pairs, enhanced):
    """The brain, on the grid of the enhanced scan."""
    brain = np.asarray(pairs.high[0].dataobj) > 0
    return Nifti1Image(brain.astype(np.uint8), enhanced.affine)


def test_a_masker_reads_and_restores_the_voxels_of_a_prediction(enhanced, mask):
    masker = NiftiMasker(mask, standardize=None).fit()
    row = masker.transform(enhanced)
    voxels, inside = np.asarray(enhanced.dataobj), np.asarray(mask.dataobj) > 0
    np.testing.assert_allclose(row.ravel(), voxels[inside], rtol=1e-6)
    back = masker.inverse_transform(row)
    np.testing.assert_allclose(back.affine, enhanced.affine)
    np.testing.assert_allclose(np.squeeze(back.get_fdata()), np.where(inside, voxels, 0), rtol=1e-6)


def test_a_masker_finds_the_brain_in_predictions(model, pairs, mask):
    masker = NiftiMasker(mask_strategy="background", standardize=None)
    rows = masker.fit_transform(list(model.predict(pairs.low)))
    found = np.asarray(masker.mask_img_.dataobj) > 0
    assert np.vstack(rows).shape == (2, np.count_nonzero(found))
    brain = np.asarray(mask.dataobj) > 0
    overlap = np.count_nonzero(found & brain) / np.count_nonzero(brain)
    assert overlap > 0.9


def test_a_masker_accepts_a_saved_file(enhanced, mask, tmp_path):
    path = save_volume(enhanced, tmp_path / "enhanced.nii.gz")
    from_file, from_image = (
        NiftiMasker(mask, standardize=None).fit().transform(x) for x in (str(path), enhanced)
    )
    np.testing.assert_allclose(from_file, from_image, rtol=1e-6)


def test_a_resampled_prediction_has_the_place_of_the_scan(pairs, enhanced):
    low, high = pairs.low[0], pairs.high[0]
    np.testing.assert_allclose(enhanced.affine, high.affine, atol=1e-5)
    resampled = resample_to_img(enhanced, low, force_resample=True, copy_header=True)
    inner = (slice(1, -1),) * 3  # rounding moves the outermost voxels out of the field of view
    ours, scan = (np.asarray(image.dataobj)[inner] for image in (resampled, low))
    assert np.corrcoef(ours.ravel(), scan.ravel())[0, 1] > 0.95


def test_plot_anat_draws_a_prediction_with_the_brain_in_the_middle(enhanced, tmp_path):
    path = tmp_path / "anat.png"
    plain = {"draw_cross": False, "annotate": False, "colorbar": False}
    display = plot_anat(enhanced, cut_coords=(0, 0, 20), vmin=0, black_bg=True, **plain)
    assert set(display.axes) == {"x", "y", "z"}
    display.savefig(path)
    picture = plt.imread(path)[..., :3].mean(axis=-1)
    for direction, drawn in display.axes.items():
        left, bottom, right, top = drawn.ax.get_position().extents
        n_rows, n_columns = picture.shape
        rows = slice(round((1 - top) * n_rows), round((1 - bottom) * n_rows))
        panel = picture[rows, round(left * n_columns) : round(right * n_columns)]
        bright = panel > 0.2
        assert 0.3 < bright.mean() < 0.95, direction
        middle = np.divide(center_of_mass(bright), panel.shape)
        np.testing.assert_allclose(middle, 0.5, atol=0.1, err_msg=direction)
    display.close()


def test_plot_anat_accepts_a_file_and_cuts_it_near_its_centre(enhanced, tmp_path):
    path = save_volume(enhanced, tmp_path / "enhanced.nii.gz")
    display = plot_anat(str(path))
    center = enhanced.affine @ [*(np.asarray(enhanced.shape) / 2), 1]
    cuts = [display.axes[axis].coord for axis in "xyz"]
    assert np.abs(cuts - center[:3]).max() < 20  # mm
    display.close()
