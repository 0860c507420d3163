"""check_scan recognises scans that are not like the training scans of a model."""

import warnings

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from sklearn_iqt import (
    AnyGridIQT,
    InterpolationIQT,
    PatchwiseRegressor,
    TissueScaler,
    check_scan,
    load_model,
    save_model,
)
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.simulation import degrade

T1W, T2W, FLAIR = (0, 60, 100, 125), (0, 190, 100, 75), (0, 40, 110, 92)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


def make_brain(seed, intensities=T1W, noise=2.0, shell=False, size=1.0):
    """Return a high volume of folded shells, which differs between seeds."""
    rng = np.random.default_rng(seed)
    place = np.indices((64, 64, 64)) - np.reshape([31.5] * 3, (3, 1, 1, 1))
    radius = np.sqrt((place**2).sum(axis=0)) / size
    folds = ndimage.gaussian_filter(rng.normal(size=radius.shape), 2.5)
    radius = radius + 1.2 * folds / folds.std()
    labels = np.select([radius < 14.5, radius < 19, radius < 21], [3, 2, 1])
    volume = np.array(intensities, float)[labels]
    if shell:
        volume[(radius > 23.5) & (radius < 25.5)] = 110
    volume += rng.normal(0, noise, volume.shape) * (volume > 0)
    return nibabel.Nifti1Image(volume.astype(np.float32), AFFINE)


def make_scan(seed, axis=2, **brain):
    """Return a scan with slices of 4 mm along an axis."""
    image = make_brain(seed, **brain)
    scale = [4 if n == axis else 1 for n in range(3)]
    return degrade(image, scale=scale, thickness=3)


@pytest.fixture(scope="module")
def pairs():
    return [make_scan(seed) for seed in range(3)], [make_brain(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def ridge(pairs):
    return PatchwiseRegressor(max_patches=2000, random_state=0).fit(*pairs)


@pytest.fixture(scope="module")
def model(ridge):
    return AnyGridIQT(FrozenEstimator(ridge))


def topics(check):
    return [finding.topic for finding in check.findings]


def test_a_scan_like_those_of_the_training_is_ok(model, ridge):
    for seed in (10, 11, 12):
        for checked in (model, ridge):
            check = check_scan(make_scan(seed), checked)
            assert (check.verdict, check.reasons) == ("ok", [])
            assert check.distance < 3


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_the_unit_of_intensity_and_the_order_of_axes_do_not_matter(model, unit):
    scan = make_scan(10)
    turned = reorient(nibabel.Nifti1Image(scan.get_fdata() * unit, scan.affine), "SPL")
    before, after = (check_scan(s, model) for s in (scan, turned))
    assert after.verdict == "ok"
    np.testing.assert_allclose(after.distance, before.distance, rtol=0.05)


@pytest.mark.parametrize(
    ("brain", "topic"),
    [
        ({"intensities": T2W}, "kind of contrast"),
        ({"intensities": FLAIR}, "kind of contrast"),
        ({"intensities": (0, 60, 100, 170)}, "contrast"),
        ({"noise": 12.0}, "noise"),
        ({"shell": True}, "skull"),
    ],
)
def test_a_scan_of_another_kind_is_refused(brain, topic, model):
    check = check_scan(make_scan(10, **brain), model)
    assert check.verdict == "refuse"
    assert topic in topics(check)
    assert check.distance > 4


def test_less_noise_than_in_the_training_is_ok(model):
    assert check_scan(make_scan(10, noise=0.2), model).verdict == "ok"


def test_a_mask_hides_the_skull(model):
    scan = make_scan(10, shell=True)
    brain = make_scan(10).get_fdata() > 20
    assert check_scan(scan, model).verdict == "refuse"
    mask = nibabel.Nifti1Image(brain.astype(np.uint8), scan.affine)
    assert "skull" not in topics(check_scan(scan, model, mask=mask))


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_of_another_direction_are_refused(axis, model):
    check = check_scan(make_scan(10, axis=axis), model)
    assert check.verdict == "refuse"
    assert check.findings[0].topic == "slice direction"
    assert "but the training scans have thick axial slices" in check.reasons[0]
    assert sum("thick" in reason for reason in check.reasons) == 1
    assert check.distance == np.inf
    assert check.to_record()["Distance"] is None


def test_several_directions_of_slices_can_be_learned():
    scans = [make_scan(seed, axis=axis) for seed, axis in ((0, 2), (1, 2), (2, 1))]
    high = [make_brain(seed) for seed in range(3)]
    scans[2] = reorient(scans[2], "RSA")  # its slices along the last axis, as in the others
    high[2] = reorient(high[2], "RSA")
    with pytest.warns(UserWarning, match="order"):
        fitted = PatchwiseRegressor(max_patches=2000, random_state=0).fit(scans, high)
    model = AnyGridIQT(FrozenEstimator(fitted))
    assert "slice direction" not in topics(check_scan(make_scan(10, axis=1), model))
    assert "slice direction" in topics(check_scan(make_scan(10, axis=0), model))


def test_a_grid_that_no_resampling_can_mend_is_refused(model, ridge):
    scan = make_brain(10)
    for checked in (model, ridge):
        check = check_scan(scan, checked)
        assert (check.verdict, topics(check)) == ("refuse", ["grid"])
        assert "voxels of 1 x 1 x 1 mm" in check.reasons[0]


def test_slices_that_are_a_little_thicker_are_a_caution(model, ridge):
    scan = make_scan(10)
    thicker = nibabel.Nifti1Image(scan.get_fdata(), scan.affine @ np.diag([1, 1, 1.2, 1]))
    for checked in (model, ridge):
        check = check_scan(thicker, checked)
        assert check.verdict == "caution"
        assert "voxel size" in topics(check)


def test_a_part_of_a_brain_is_a_caution(model):
    scan = make_scan(10)
    part = nibabel.Nifti1Image(scan.get_fdata()[:, :, 5:9], scan.affine)
    assert "field of view" in topics(check_scan(part, model))
    small = check_scan(make_scan(10, size=0.8), model)
    assert "field of view" in topics(small)
    found = next(f for f in small.findings if f.topic == "field of view")
    assert found.verdict == "caution"


def test_a_label_map_is_refused(model):
    labels = np.rint(make_scan(10, noise=0).get_fdata() / 50)
    check = check_scan(nibabel.Nifti1Image(labels, make_scan(10).affine), model)
    assert check.verdict == "refuse"
    assert "labels" in topics(check)


def test_an_empty_scan_is_refused(model):
    scan = make_scan(10)
    check = check_scan(nibabel.Nifti1Image(np.zeros(scan.shape), scan.affine), model)
    assert check.verdict == "refuse"
    assert check.reasons == ["the scan has no positive voxel"]


def test_a_scaler_that_corrects_the_contrast_is_taken_into_account(pairs):
    scan = make_scan(10, intensities=(0, 60, 100, 150))
    alone = PatchwiseRegressor(max_patches=2000, random_state=0)
    scaled = make_pipeline(TissueScaler(), alone).fit(*pairs)
    assert check_scan(scan, alone.fit(*pairs)).verdict == "refuse"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_scan(scan, scaled).verdict != "refuse"
        flair = check_scan(make_scan(10, intensities=FLAIR), scaled)
    assert flair.verdict == "refuse"
    assert any("white matter is inside grey matter" in reason for reason in flair.reasons)


def test_one_training_scan_is_enough(pairs):
    low, high = pairs
    fitted = PatchwiseRegressor(max_patches=1000, random_state=0).fit(low[:1], high[:1])
    assert check_scan(make_scan(10), fitted).verdict == "ok"
    assert check_scan(make_scan(10, intensities=T2W), fitted).verdict == "refuse"


def test_a_model_of_heads_refuses_a_brain():
    scans = [make_scan(seed, shell=True) for seed in range(3)]
    high = [make_brain(seed, shell=True) for seed in range(3)]
    fitted = PatchwiseRegressor(max_patches=1000, random_state=0).fit(scans, high)
    assert check_scan(make_scan(10, shell=True), fitted).verdict == "ok"
    check = check_scan(make_scan(10), fitted)
    assert check.verdict == "refuse"
    assert "skull" in topics(check)


def test_arrays_have_no_grid(pairs):
    low, high = ([image.get_fdata() for image in part] for part in pairs)
    fitted = PatchwiseRegressor(max_patches=1000, random_state=0).fit(low, high)
    for scan in (make_scan(10), make_scan(10).get_fdata()):
        assert check_scan(scan, fitted).verdict == "ok"
    assert check_scan(make_scan(10, intensities=T2W).get_fdata(), fitted).verdict == "refuse"


def test_interpolation_takes_any_contrast(pairs):
    fitted = AnyGridIQT(FrozenEstimator(InterpolationIQT().fit(*pairs)))
    assert check_scan(make_scan(10, intensities=T2W), fitted).verdict == "ok"
    assert check_scan(make_brain(10), fitted).verdict == "refuse"


def test_a_model_of_rows_does_not_know_its_training_scans(rng):
    rows = rng.random((50, 27))
    fitted = PatchwiseRegressor(patcher=None, random_state=0).fit(rows, rows)
    with pytest.raises(TypeError, match="must be an estimator of sklearn_iqt"):
        check_scan(make_scan(10), "model")
    check = check_scan(make_scan(10), fitted)
    assert (check.verdict, topics(check)) == ("caution", ["training"])


def test_the_training_scans_are_in_the_file_of_a_model(model, tmp_path):
    path = save_model(model, tmp_path / "model.iqt")
    scan = make_scan(10, intensities=T2W)
    assert check_scan(scan, load_model(path)) == check_scan(scan, model)


@pytest.mark.parametrize(
    "described",
    [[1.0], {"contrast": 1.0}, {"contrast": np.ones((2, 2))}, {"contrast": np.empty(0)},
     {"slices": np.array([7.0])}, {"patches": np.ones((3, 3))}],
)  # fmt: skip
def test_a_wrong_description_is_not_stored(described, pairs, tmp_path):
    fitted = PatchwiseRegressor(max_patches=500, random_state=0).fit(*pairs)
    fitted.training_scans_ = described
    with pytest.raises(ValueError, match=r"load_model would refuse the file, .*training_scans_"):
        save_model(fitted, tmp_path / "model.iqt")


def test_a_scan_is_not_modified(model):
    scan = make_scan(10)
    before = scan.get_fdata().copy()
    check_scan(scan, model)
    np.testing.assert_array_equal(scan.get_fdata(), before)
