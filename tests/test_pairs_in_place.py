"""Estimators learn from volumes that are in the same place, and name the volumes that are not."""

from __future__ import annotations

import warnings

import nibabel
import numpy as np
import pytest

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import scaled_affine

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
        (scaled_affine(LOW, (1, 1, 4), "corner"), "They fit with the alignment 'corner'"),
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
