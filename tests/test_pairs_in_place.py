"""Estimators learn from volumes that are in the same place, and name the volumes that are not."""

from __future__ import annotations

import warnings

import nibabel
import numpy as np
import pytest

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor, load_model, save_model
from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError
from sklearn_iqt.io import Cohort, scaled_affine

LOW = nibabel.affines.from_matvec(np.diag([1.0, 1.0, 4.0]), [-10, 5, 3])
HIGH = scaled_affine(LOW, (1, 1, 4))


@pytest.fixture
def image(rng):
    def make(affine, depth):
        return nibabel.Nifti1Image(rng.random((12, 12, depth), np.float32) + 1, affine)

    return make


def moved(affine, millimetres):
    return nibabel.affines.from_matvec(np.eye(3), [millimetres, 0, 0]) @ affine


@pytest.mark.parametrize("model", [InterpolationIQT(), PatchwiseRegressor(max_patches=50)])
@pytest.mark.parametrize(
    ("affine", "advice"),
    [
        (moved(HIGH, 7), "7 mm apart"),
        (np.diag([-1, 1, 1, 1]) @ HIGH, "same order"),
        (scaled_affine(LOW, (1, 1, 4), "corner"), "They fit with alignment='corner'"),
    ],
)
def test_a_high_volume_in_another_place_is_refused(image, model, affine, advice):
    low, high = [image(LOW, 6) for _ in range(2)], [image(HIGH, 24), image(affine, 24)]
    with pytest.raises(GeometryMismatchError, match=r"y\[1\] and X\[1\]") as error:
        model.fit(low, high)
    assert advice in str(error.value)


def test_a_mask_in_another_place_is_refused(image):
    model = PatchwiseRegressor(max_patches=50).fit([image(LOW, 6)], [image(HIGH, 24)])
    with pytest.raises(GeometryMismatchError, match=r"mask\[0\] and X\[0\] lie up to 7 mm"):
        model.predict([image(LOW, 6)], mask=[image(moved(LOW, 7), 6)])


def test_interpolation_needs_no_high_volumes(image):
    scan = image(LOW, 6)
    alone, paired = (
        InterpolationIQT().fit([scan]),
        InterpolationIQT().fit([scan], [image(HIGH, 24)]),
    )
    for model in (alone, paired):
        np.testing.assert_allclose(model.spacing_, [1, 1, 4])
    np.testing.assert_array_equal(*(m.predict([scan])[0].get_fdata() for m in (alone, paired)))
    with pytest.raises(ValueError, match="requires y"):
        InterpolationIQT().fit(np.ones((4, 343)))
    with pytest.raises(ValueError, match="requires y"):
        PatchwiseRegressor().fit([scan])


def test_units_of_high_volumes_that_differ_between_subjects_are_reported(image):
    low = [image(LOW, 6) for _ in range(3)]
    high = [image(HIGH, 24).get_fdata() for _ in range(3)]
    model = PatchwiseRegressor(max_patches=50, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(low, high)
    high[1] = 10 * high[1]
    with pytest.warns(UserWarning, match=r"y\[1\] is .* times as bright as y\["):
        model.fit(low, high)


def test_arrays_have_no_place(image):
    arrays = [image(moved(HIGH, 7), 24).get_fdata()]
    assert len(InterpolationIQT().fit([image(LOW, 6)], arrays).predict([image(LOW, 6)])) == 1


@pytest.mark.parametrize("estimator", [InterpolationIQT(), PatchwiseRegressor(max_patches=50)])
def test_an_image_with_very_different_voxels_is_refused(image, estimator, tmp_path):
    low, high = [image(LOW, 6) for _ in range(2)], [image(HIGH, 24) for _ in range(2)]
    path = save_model(estimator.fit(low, high), tmp_path / "model.iqt")
    for model in (estimator, load_model(path)):
        np.testing.assert_allclose(model.spacing_, [1, 1, 4])
        enhanced = model.predict(low)
        with pytest.raises(GeometryMismatchError, match=r"X\[0\] has .* enhanced already"):
            model.predict(enhanced)
        thick = image(LOW @ np.diag([1, 1, 2.5, 1]), 6)
        with pytest.raises(GeometryMismatchError, match=r"X\[1\] has .* 1 x 1 x 10 mm"):
            model.predict([low[0], thick])
        # Arrays have no voxel size, and a ratio of two is still accepted.
        model.predict([enhanced[0].get_fdata()])
        model.predict([image(LOW @ np.diag([1, 2, 0.5, 1]), 6)])


def test_a_scan_enhanced_by_two_is_refused_and_turned_axes_are_named(image):
    low, high = image(LOW, 6), image(scaled_affine(LOW, (1, 1, 2)), 12)
    model = InterpolationIQT(scale=(1, 1, 2)).fit([low], [high])
    with pytest.raises(GeometryMismatchError, match="enhanced already"):
        model.predict(model.predict([low]))
    turned = image(LOW @ np.diag([4, 1, 0.25, 1]), 6)
    with pytest.raises(GeometryMismatchError, match="another order"):
        model.predict([turned])


def test_the_voxel_size_of_arrays_is_not_known(image, tmp_path):
    low, high = image(LOW, 6), image(HIGH, 24)
    model = PatchwiseRegressor(max_patches=50)
    assert model.fit([low], [high]).spacing_ is not None
    assert model.fit([low.get_fdata()], [high.get_fdata()]).spacing_ is None
    model.predict([high])
    # Voxel sizes come from headers, and a file that cannot be read is named.
    names = [tmp_path / f"{n}.nii" for n in range(2)]
    nibabel.save(low, names[0])
    names[1].write_bytes(b"no scan")
    np.testing.assert_allclose(Cohort(names[:1]).spacing(), [1, 1, 4])
    with pytest.raises(VolumeReadError, match=r"1\.nii"):
        model.fit(names, [high, high])
