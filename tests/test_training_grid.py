"""Estimators refuse scans on another grid than the training scans, and give advice."""

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


@pytest.fixture
def model(image):
    return InterpolationIQT().fit([image(LOW, 6)], [image(HIGH, 24)])


def turned(order):
    """Return LOW with its axes in another order."""
    return LOW[:, [*order, 3]]


@pytest.mark.parametrize("estimator", [InterpolationIQT(), PatchwiseRegressor(max_patches=50)])
def test_an_image_with_very_different_voxels_is_refused(image, estimator, tmp_path):
    low, high = [image(LOW, 6) for _ in range(2)], [image(HIGH, 24) for _ in range(2)]
    path = save_model(estimator.fit(low, high), tmp_path / "model.iqt")
    for model in (estimator, load_model(path)):
        np.testing.assert_allclose(model.spacing_, [1, 1, 4])
        assert model.orientation_ == "RAS"
        enhanced = model.predict(low)
        with pytest.raises(GeometryMismatchError, match=r"X\[0\] has .* enhanced already"):
            model.predict(enhanced)
        thick = image(LOW @ np.diag([1, 1, 2.5, 1]), 6)
        with pytest.raises(GeometryMismatchError, match=r"X\[1\] has .* 1 x 1 x 10 mm"):
            model.predict([low[0], thick])
        # Arrays have no voxel size, and a ratio of two is still accepted.
        model.predict([enhanced[0].get_fdata()])
        with pytest.warns(UserWarning, match=r"X\[0\] has voxels of 1 x 2 x 3 mm"):
            model.predict([image(LOW @ np.diag([1, 2, 0.75, 1]), 6)])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict([image(LOW @ np.diag([1.05, 1, 0.95, 1]), 6)])


def test_a_scan_enhanced_by_two_is_refused(image):
    low, high = image(LOW, 6), image(scaled_affine(LOW, (1, 1, 2)), 12)
    model = InterpolationIQT(scale=(1, 1, 2)).fit([low], [high])
    with pytest.raises(GeometryMismatchError, match="enhanced already"):
        model.predict(model.predict([low]))


def test_a_scan_with_axes_in_another_order_is_refused(image, model):
    """The numbers of voxels would fit, so that only the affine shows the order."""
    with pytest.raises(GeometryMismatchError, match=r"X\[0\] has axes .*\(ARS\).*AnyGridIQT"):
        model.predict([image(turned([1, 0, 2]), 6)])
    with pytest.raises(GeometryMismatchError, match=r"bottom-top, .*\(SAR\), but the training"):
        model.predict([image(turned([2, 1, 0]), 6)])
    sagittal = image(LOW @ np.diag([4, 1, 0.25, 1]), 6)
    with pytest.raises(GeometryMismatchError, match=r"thick sagittal slices, but .* axial slices"):
        model.predict([sagittal])


def test_the_sense_of_an_axis_is_ignored(image, model):
    flipped = image(LOW @ np.diag([-1, -1, 1, 1]), 6)
    assert nibabel.aff2axcodes(flipped.affine) == tuple("LPS")
    assert nibabel.aff2axcodes(model.predict([flipped])[0].affine) == tuple("LPS")


def test_a_cohort_with_mixed_orders_is_reported_by_name(image):
    scans = [image(LOW, 6), image(turned([2, 0, 1]), 6), image(LOW @ np.diag([-1, 1, 1, 1]), 6)]
    with pytest.warns(UserWarning, match=r"\(RAS\), but not X\[1\] \(SRA\)\. Bring"):
        assert InterpolationIQT().fit(scans).orientation_ == "RAS"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InterpolationIQT().fit(scans[::2])


def test_the_grid_of_arrays_is_not_known(image, tmp_path):
    low, high = image(LOW, 6), image(HIGH, 24)
    model = PatchwiseRegressor(max_patches=50)
    assert model.fit([low], [high]).spacing_ is not None
    assert model.fit([low.get_fdata()], [high.get_fdata()]).spacing_ is None
    assert model.orientation_ is None
    model.predict([image(turned([1, 2, 0]), 6)])
    # Voxel sizes come from headers, and a file that cannot be read is named.
    names = [tmp_path / f"{n}.nii" for n in range(2)]
    nibabel.save(low, names[0])
    names[1].write_bytes(b"no scan")
    np.testing.assert_allclose(Cohort(names[:1]).spacing(), [1, 1, 4])
    with pytest.raises(VolumeReadError, match=r"1\.nii"):
        model.fit(names, [high, high])
