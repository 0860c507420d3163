"""A scan is enhanced by what its own in-plane patches show."""

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge

from sklearn_iqt import (
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
    SelfSupervisedIQT,
    load_model,
    load_volume,
)
from sklearn_iqt.cli import main
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import save_volume
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.preprocessing._noise import noise_level
from sklearn_iqt.simulation import degrade


def blobs(shape=(48, 48, 48), sigma=2, seed=0):
    """Return a bright volume of smooth blobs that look the same along each axis."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    texture = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return (100 + 15 * texture / texture.std()).astype(np.float32)


def error(truth, estimate):
    return nrmse(truth[6:-6, 6:-6, 8:-8], estimate[6:-6, 6:-6, 8:-8])


def test_blur_along_the_slices_is_undone_without_any_high_volume():
    truth = blobs()
    low = degrade(truth)
    model = SelfSupervisedIQT(thickness=3, random_state=0).fit([low])
    interpolated = InterpolationIQT().fit([low]).predict([low])[0]
    (enhanced,) = model.predict([low])
    assert error(truth, enhanced) < 0.95 * error(truth, interpolated)
    taught = PatchwiseRegressor(patcher=PatchTransformer((1, 9, 5)), random_state=0)
    assert error(truth, enhanced) < 1.1 * error(truth, taught.fit([low], [truth]).predict([low])[0])
    narrow = model.set_params(thickness=1).fit([low])
    assert error(truth, enhanced) < error(truth, narrow.predict([low])[0])


@pytest.mark.parametrize("thick", [0, 1])
def test_slices_may_lie_along_any_axis(thick):
    order = {0: (2, 0, 1), 1: (0, 2, 1)}[thick]
    low = degrade(blobs((24, 28, 24)))
    expected = SelfSupervisedIQT(random_state=0).fit([low]).predict([low])[0]
    scale = np.where(np.arange(3) == thick, 4, 1).tolist()
    turned = low.transpose(order)
    (enhanced,) = SelfSupervisedIQT(scale=scale, random_state=0).fit([turned]).predict([turned])
    np.testing.assert_allclose(enhanced, expected.transpose(order), rtol=0.02)


def test_only_sharp_axes_are_learned_from():
    truth = blobs()
    low = degrade(truth)
    smeared = ndimage.gaussian_filter1d(truth, 3, axis=1)
    blurred = degrade(smeared)
    model = SelfSupervisedIQT(thickness=3, random_state=0).fit([low])
    errors = {
        axis: error(smeared, model.set_params(sharp_axes=axis).fit([low]).predict([blurred])[0])
        for axis in "ij"
    }
    assert errors["i"] < 0.9 * errors["j"]


def test_voxels_in_plane_may_have_another_length_than_in_the_result():
    """The same object in voxels of 2 mm along i and j, and slices of 4 mm for results of 1 mm."""
    truth = blobs((80, 80, 64), sigma=3)
    fine = degrade(truth)
    coarse = degrade(truth, scale=(2, 2, 4), thickness=(1.5, 1.5, 3))
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    model = SelfSupervisedIQT(thickness=3, random_state=0)
    expected = degrade(model.fit([fine]).predict([fine])[0], scale=(2, 2, 1), thickness=1.5)
    image = nibabel.Nifti1Image(coarse, affine)
    known = model.fit([image]).predict([image])[0].get_fdata()
    unknown = model.fit([coarse]).predict([coarse])[0]
    assert error(expected, known) < error(expected, unknown)
    assert error(expected, known) < 0.03


@pytest.mark.parametrize(
    "change", [{"sharp_axes": "i"}, {"thickness": 1}, {"max_patches": 10}, {"estimator": Ridge(9)}]
)
def test_parameters_that_are_set_after_fit_need_another_fit(change):
    low = degrade(blobs((24, 28, 24)))
    model = SelfSupervisedIQT(thickness=3, random_state=0).fit([low])
    (before,) = model.predict([low])
    with pytest.raises(ValueError, match=f"{next(iter(change))}.* changed after fit"):
        model.set_params(**change).predict([low])
    assert not np.array_equal(model.fit([low]).predict([low])[0], before)


def test_a_mask_that_is_too_small_to_learn_from_is_refused():
    low = degrade(blobs((24, 24, 24)))
    mask = np.zeros(low.shape)
    mask[12, 12, 3] = 1
    with pytest.raises(ValueError, match="SelfSupervisedIQT: the mask is too small to learn from"):
        SelfSupervisedIQT().fit([low]).predict([low], mask=[mask])


def test_noise_is_not_amplified():
    truth = blobs()
    low = degrade(truth) + np.random.default_rng(1).normal(0, 10, (48, 48, 12)).astype(np.float32)
    (enhanced,) = SelfSupervisedIQT(random_state=0).fit([low]).predict([low])
    assert error(truth, enhanced) < error(truth, InterpolationIQT().fit([low]).predict([low])[0])


def test_the_noise_level_of_smooth_volumes_is_found():
    volume = blobs(sigma=4) + np.random.default_rng(1).normal(0, 3, (48, 48, 48))
    assert noise_level(volume, np.ones(volume.shape, bool)) == pytest.approx(3, rel=0.05)


def test_predictions_are_repeated_and_leave_the_estimator_unchanged():
    low = degrade(blobs((24, 24, 24)))
    model = SelfSupervisedIQT(ExtraTreesRegressor(3), max_patches=500).fit([low])
    before = {**vars(model)}
    first, spread = model.predict([low], return_std=True)
    np.testing.assert_array_equal(model.predict([low])[0], first[0])
    assert vars(model) == before
    assert spread[0].max() > 0


def test_a_mask_sets_the_patches_and_the_unit():
    low = degrade(blobs())
    mask = np.ones(low.shape)
    mask[:, 24:] = 0
    spoiled = np.where(mask > 0, low, np.random.default_rng(0).uniform(0, 300, low.shape))
    model = SelfSupervisedIQT(random_state=0).fit([low])
    clean, masked, plain = (
        model.predict([volume], mask=inside)[0][:, :18]
        for volume, inside in ((low, [mask]), (spoiled, [mask]), (spoiled, None))
    )
    assert error(clean, masked) < 0.7 * error(clean, plain)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scale": (2, 1, 4)}, "exactly one axis"),
        ({"scale": 1}, "exactly one axis"),
        ({"sharp_axes": ["k"]}, "one or both of 'i' and 'j'"),
        ({"sharp_axes": []}, "one or both of 'i' and 'j'"),
        ({"scale": (4, 1, 1), "sharp_axes": "i"}, "one or both of 'j' and 'k'"),
        ({"thickness": 0.5}, "'thickness' parameter"),
    ],
)
def test_impossible_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        SelfSupervisedIQT(**params).fit([np.ones((8, 8, 8))])


def test_scans_that_are_not_sharp_in_plane_are_refused():
    image = nibabel.Nifti1Image(np.ones((8, 8, 8), np.float32), np.diag([1.0, 3.0, 2.0, 1.0]))
    with pytest.raises(GeometryMismatchError, match="3 mm long along j"):
        SelfSupervisedIQT().fit([image])
    SelfSupervisedIQT(sharp_axes=["i"]).fit([image])
    model = SelfSupervisedIQT().fit([np.ones((8, 8, 8))])
    with pytest.raises(GeometryMismatchError, match="along j the scan has 3 voxels"):
        model.predict([100 + np.arange(96.0).reshape(8, 3, 4)])


def test_the_command_needs_no_high_scans(tmp_path, capsys):
    low, path, out = (tmp_path / name for name in ("low.nii.gz", "model.iqt", "out.nii.gz"))
    save_volume(degrade(blobs((16, 16, 16))), low, affine=np.diag([1.0, 1.0, 4.0, 1.0]))
    fit = ["fit", "--low", low, "--output", path, "--quiet"]
    assert main([str(a) for a in [*fit, "--method", "self-supervised", "-p", "thickness=3"]]) == 0
    assert load_model(path).thickness == 3
    assert main(list(map(str, ["enhance", "--model", path, low, "--output", out]))) == 0
    assert load_volume(out).shape == (16, 16, 16)
    assert main([str(a) for a in [*fit, "--method", "ridge", "--force"]]) == 2
    assert "1 low scans and 0 high scans" in capsys.readouterr().err
