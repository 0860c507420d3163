"""Headers are read, carried over to another grid, and written again."""

import warnings

import nibabel
import numpy as np
import pytest
from nifti_bytes import SHAPE, nifti_bytes, small_volume

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.io import as_volumes, load_volume, save_volume
from sklearn_iqt.preprocessing import resample_to, resample_to_voxel_size

NAN = float("nan")
SFORM = np.diag([1.0, 1.5, 4.0, 1.0])
QFORM = np.array([[1.0, 0, 0, 5], [0, 0, -4.0, 7], [0, 1.5, 0, 9], [0, 0, 0, 1]])
CODES = [(1, 1), (1, 0), (4, 4), (1, 4), (0, 0)]


def coded_image(codes):
    """Return an image with a qform, perhaps of another space, and fields of its slices."""
    image = nibabel.Nifti1Image(small_volume("f4"), SFORM)
    image.set_qform(QFORM if codes == (1, 4) else SFORM, codes[0])
    image.set_sform(SFORM, codes[1])
    image.header["slice_end"], image.header["slice_code"] = SHAPE[2] - 1, 1
    image.header["slice_duration"] = 0.1
    return image


def predicted(image, scale):
    return InterpolationIQT(scale=scale).fit([image]).predict([image])[0]


def resampled(image, scale):
    return resample_to_voxel_size(image, np.array([1.0, 1.5, 4.0]) / scale, order=0)


def resampled_to(image, scale):
    shape = tuple(n * factor for n, factor in zip(SHAPE, scale, strict=True))
    return resample_to(image, (shape, resampled(image, scale).affine), order=0)


@pytest.mark.parametrize("codes", CODES, ids="q{0[0]}s{0[1]}".format)
@pytest.mark.parametrize("make", [predicted, resampled, resampled_to])
def test_a_finer_grid_has_the_header_that_save_volume_writes(make, codes, tmp_path):
    image = coded_image(codes)
    path = save_volume(np.zeros((5, 4, 12)), tmp_path / "v.nii", like=image, zoom=(1, 1, 4))
    expected, found = nibabel.load(path).header, make(image, (1, 1, 4)).header
    for field in ("qform_code", "sform_code", "slice_end", "slice_code", "slice_duration",
                  "xyzt_units", "pixdim"):  # fmt: skip
        np.testing.assert_allclose(found[field], expected[field], atol=1e-6, err_msg=field)
    np.testing.assert_allclose(found.get_best_affine(), expected.get_best_affine(), atol=1e-5)
    if codes[0]:
        np.testing.assert_allclose(found.get_qform(), expected.get_qform(), atol=1e-5)


@pytest.mark.parametrize("codes", CODES[:-1], ids="q{0[0]}s{0[1]}".format)
@pytest.mark.parametrize("make", [predicted, resampled, resampled_to])
def test_the_same_grid_keeps_its_transforms_and_slices(make, codes):
    image = coded_image(codes)
    found = make(image, (1, 1, 1)).header
    for field in ("qform_code", "sform_code", "slice_end", "slice_code", "slice_duration"):
        assert found[field] == image.header[field], field
    np.testing.assert_array_equal(found.get_best_affine(), image.affine)


UNITS = {"metres": (1, 1e-3), "micrometres": (3, 1e3)}


def in_units(name):
    code, factor = UNITS[name]
    matrix = SFORM.copy()
    matrix[:3] *= factor
    sizes = {n + 1: factor * size for n, size in enumerate((1, 1.5, 4))}
    return nifti_bytes(affine=matrix, xyzt_units=code, pixdim=sizes)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("load", [load_volume, nibabel.load])
def test_sizes_in_other_units_are_converted_to_mm_with_one_warning(name, load, tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(in_units(name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = load(path)
        result = InterpolationIQT(scale=(1, 1, 2)).fit([image]).predict([image])[0]
        resized = resample_to_voxel_size(image, 2.0)
        saved = load_volume(save_volume(image, tmp_path / "saved.nii"))
        volumes = as_volumes([path])
        assert volumes.grid(0).affine[2, 2] == pytest.approx(4)
    assert len([w for w in caught if f"converted from {name} to mm" in str(w.message)]) == 1
    for found, sizes in ((result, (1, 1.5, 2)), (resized, (2, 2, 2)), (saved, (1, 1.5, 4))):
        np.testing.assert_allclose(found.header.get_zooms(), sizes, rtol=1e-5)
        np.testing.assert_allclose(nibabel.affines.voxel_sizes(found.affine), sizes, rtol=1e-5)
        assert found.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("sform", [0.0, NAN])
@pytest.mark.parametrize("load", [load_volume, nibabel.load])
def test_a_good_qform_takes_the_place_of_an_unusable_sform(sform, load, tmp_path):
    path = tmp_path / "scan.nii"
    matrix = np.full((4, 4), sform)
    matrix[3] = 0, 0, 0, 1
    path.write_bytes(nifti_bytes(affine=matrix, qform_code=1, qoffset_x=12.0, pixdim={0: 1}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = InterpolationIQT(scale=1).fit([load(path)]).predict([load(path)])[0]
    reported = {str(w.message) for w in caught if "sform dropped in favour" in str(w.message)}
    assert len(reported) == 1 if load is load_volume else reported
    np.testing.assert_allclose(result.affine, [[1, 0, 0, 12], *SFORM[1:]])
    assert (int(result.header["qform_code"]), int(result.header["sform_code"])) == (1, 0)


def test_the_repair_of_a_file_is_reported_once_until_the_file_changes(tmp_path):
    path = tmp_path / "scan.nii"

    def read():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_volume(path)
        return len(caught)

    path.write_bytes(nifti_bytes(scl_slope=0))
    assert [read(), read()] == [1, 0]
    path.write_bytes(nifti_bytes(scl_slope=0, vox_offset=0))
    assert read() == 1
