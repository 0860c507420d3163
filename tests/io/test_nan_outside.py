"""NaN outside the field of view counts as background where a mask or a parameter says so."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import as_volumes, load_volume
from sklearn_iqt.metrics import nrmse

SCALE = (1, 1, 2)
HIGH = np.random.default_rng(0).uniform(1, 2, (10, 10, 20)).astype("f4")
LOW = HIGH.reshape(10, 10, 10, 2).mean(axis=-1)
MASK = np.zeros(LOW.shape, dtype=bool)
MASK[2:, 2:] = True
OUTSIDE, HIGH_OUTSIDE = np.s_[:2], np.s_[:2, :, :]


def with_value(value):
    low, high = LOW.copy(), HIGH.copy()
    low[OUTSIDE], high[HIGH_OUTSIDE] = value, value
    return low, high


def as_kind(kind, volume, folder):
    if kind == "array":
        return volume
    affine = np.diag([1.0, 1.0, 20 / volume.shape[2], 1.0])
    affine[2, 3] = 10 / volume.shape[2]  # all volumes cover the same field of view
    image = nibabel.Nifti1Image(volume, affine)
    if kind == "image":
        return image
    path = folder / f"{id(volume)}.nii"
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("kind", ["array", "image", "file"])
def test_nan_that_a_mask_excludes_is_background(kind, tmp_path):
    low, high = with_value(np.nan)
    X, y = [as_kind(kind, low, tmp_path)], [as_kind(kind, high, tmp_path)]
    mask = [as_kind(kind, MASK.astype("f4"), tmp_path)]
    model = PatchwiseRegressor(scale=SCALE, max_patches=50, random_state=0)
    expected = model.fit([with_value(0)[0]], [with_value(0)[1]], mask=[MASK])
    expected = expected.predict([with_value(0)[0]], mask=[MASK])[0]
    found = model.fit(X, y, mask=mask).predict(X, mask=mask)[0]
    found = found if kind == "array" else found.get_fdata()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert nrmse(y, y, mask=[as_kind(kind, np.repeat(MASK, 2, axis=2) * 1.0, tmp_path)]) == 0
    assert np.isnan(low).any()  # inputs are not modified
    with pytest.raises(ValueError, match=r"(?s)NaN.*mask"):
        model.predict(X)


def test_nan_inside_the_mask_and_infinite_voxels_are_refused():
    low, _ = with_value(np.nan)
    model = InterpolationIQT(scale=SCALE).fit([LOW])
    low[5, 5, 5] = np.nan
    with pytest.raises(ValueError, match=r": 1 of \d+ voxels are NaN"):
        model.predict([low], mask=[MASK])
    with pytest.raises(ValueError, match=r"200 of \d+ voxels are NaN, infinite"):
        model.predict([with_value(np.inf)[0]], mask=[MASK])


def test_nan_is_read_as_background_on_request(tmp_path):
    low, _ = with_value(np.nan)
    path = as_kind("file", low, tmp_path)
    with pytest.raises(VolumeReadError, match="nan='background'"):
        load_volume(path)
    expected = with_value(0)[0]
    np.testing.assert_array_equal(load_volume(path, nan="background").get_fdata(), expected)
    for kind in ("array", "image", "file"):
        volumes = as_volumes([as_kind(kind, low, tmp_path)], nan="background")
        np.testing.assert_array_equal(volumes[:1][0], expected)
        result = InterpolationIQT(scale=SCALE).fit(volumes).predict(volumes)[0]
        assert np.isfinite(result if kind == "array" else result.get_fdata()).all()
    with pytest.raises(ValueError, match="nan must be 'refuse' or 'background', got 'drop'"):
        load_volume(path, nan="drop")
