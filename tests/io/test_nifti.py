"""Volumes are read and written with their values, geometry and header, or not at all."""

from __future__ import annotations

import os
import stat
import tempfile

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nifti_bytes import SHAPE, gzipped, nifti_bytes, small_volume

from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError
from sklearn_iqt.io import load_volume, read_geometry, save_volume, scaled_affine
from sklearn_iqt.io._gate import check_image

DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
AFFINE = np.array(
    [[-0.9, 0.1, 0.3, 80], [0.05, 1.1, -0.4, -120], [0.02, 0.2, 3.9, -60], [0, 0, 0, 1]]
)


def fov_center(affine, shape):
    return apply_affine(affine, (np.array(shape) - 1) / 2)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("compressed", [False, True], ids=["nii", "nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_voxel_types_and_byte_orders_are_read(dtype, byte_order, version, compressed, tmp_path):
    voxels = small_volume(byte_order + dtype)
    content = nifti_bytes(voxels, version=version, affine=AFFINE)
    path = tmp_path / ("v.nii.gz" if compressed else "v.nii")
    path.write_bytes(gzipped(content) if compressed else content)
    image = load_volume(path)
    volume = np.asarray(image.dataobj)
    assert volume.dtype == np.float32
    assert volume.dtype.isnative
    assert volume.flags.c_contiguous
    np.testing.assert_array_equal(volume, small_volume("f4"))
    np.testing.assert_array_equal(
        image.affine, AFFINE if version == 2 else AFFINE.astype(np.float32)
    )
    assert isinstance(image, nibabel.Nifti1Image)
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_intensity_scaling_agrees_with_nibabel(dtype, tmp_path):
    path = tmp_path / "scaled.nii"
    path.write_bytes(nifti_bytes(small_volume("<" + dtype), scl_slope=-0.37, scl_inter=12.5))
    expected = nibabel.load(path).get_fdata()
    # Near zero, slope and intercept cancel each other to the last digits of float32.
    np.testing.assert_allclose(load_volume(path).get_fdata(), expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(5, 4, 3, 1), (5, 4, 3, 1, 1), (5, 4, 1), (1, 1, 1), (1, 1, 7)])
def test_trailing_axes_of_length_one_are_dropped(shape, tmp_path):
    path = tmp_path / "v.nii"
    path.write_bytes(nifti_bytes(small_volume(shape=shape)))
    image = load_volume(path)
    assert image.shape == shape[:3]
    assert len(image.header.get_zooms()) == 3
    np.testing.assert_array_equal(image.get_fdata(), small_volume("f8", shape).reshape(shape[:3]))


def test_volume_of_several_slabs_is_read_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_iqt.io._nifti._SLAB_BYTES", 100)
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzipped(nifti_bytes(small_volume(shape=(5, 4, 11)))))
    np.testing.assert_array_equal(load_volume(path).get_fdata(), small_volume(shape=(5, 4, 11)))


def test_a_constant_volume_under_an_upper_case_name_is_read(tmp_path):
    path = tmp_path / "ZEROS.NII.GZ"
    path.write_bytes(gzipped(nifti_bytes(np.zeros(SHAPE, "<f4"))))
    assert not load_volume(str(path)).get_fdata().any()


def test_the_affine_agrees_with_nibabel(tmp_path):
    path = tmp_path / "q.nii"
    path.write_bytes(
        nifti_bytes(sform_code=0, qform_code=1, quatern_b=0.1, quatern_d=0.5, pixdim={0: -1})
    )
    np.testing.assert_array_equal(load_volume(path).affine, nibabel.load(path).affine)
    path.write_bytes(nifti_bytes(sform_code=0))
    np.testing.assert_array_equal(load_volume(path).affine, nibabel.load(path).affine)


def test_geometry_is_read_without_the_voxels(tmp_path):
    content = gzipped(nifti_bytes(affine=AFFINE))
    path = tmp_path / "v.nii.gz"
    path.write_bytes(content)
    image = load_volume(path)
    path.write_bytes(content[: len(content) * 3 // 4])
    shape, affine = read_geometry(path)
    assert shape == image.shape
    np.testing.assert_array_equal(affine, image.affine)
    with pytest.raises(VolumeReadError, match="no such file"):
        read_geometry(tmp_path / "none.nii")


# ---------------------------------------------------------------- images in memory


def test_check_image_returns_voxels_and_affine():
    voxels = small_volume("f8")
    voxels.setflags(write=False)
    volume, affine = check_image(nibabel.Nifti1Image(voxels, AFFINE))
    assert volume.dtype == np.float64
    assert np.shares_memory(volume, voxels)
    np.testing.assert_array_equal(affine, AFFINE)
    volume, _ = check_image(nibabel.Nifti1Image(small_volume(">i2")[..., None], AFFINE))
    assert volume.dtype == np.float32
    assert volume.shape == SHAPE


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (nibabel.Nifti1Image(small_volume("f4", (3, 3, 3, 2)), AFFINE), "3-D"),
        (nibabel.Nifti1Image(small_volume("f4", (3, 3)), AFFINE), "3-D"),
        (nibabel.Nifti1Image(np.zeros((0, 3, 3), "f4"), AFFINE), "without voxels"),
        (nibabel.Nifti1Image(small_volume("f4"), None), "no affine"),
        (nibabel.Nifti1Image(small_volume("c8"), AFFINE), "complex64"),
        (nibabel.Nifti1Image(np.full(SHAPE, np.nan, "f4"), AFFINE), "60 of 60"),
        (nibabel.spatialimages.SpatialImage(small_volume("f4"), AFFINE * np.nan), "NaN"),
        (nibabel.spatialimages.SpatialImage(small_volume("f4"), np.diag([1, 1, 0, 1])), "singular"),
    ],
)
def test_check_image_refuses_unusable_images(image, reason):
    with pytest.raises(VolumeReadError, match=reason) as caught:
        check_image(image, "X[3]")
    assert "X[3]" in str(caught.value)


def test_check_image_reads_from_disk_and_reports_a_damaged_file(tmp_path):
    path = tmp_path / "v.nii"
    path.write_bytes(nifti_bytes(small_volume("<i2"), scl_slope=2))
    image = nibabel.load(path)
    volume, _ = check_image(image)
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(volume, 2 * small_volume("f4"))
    image = nibabel.load(path, mmap=False)
    path.write_bytes(nifti_bytes()[:-10])
    with pytest.raises(VolumeReadError, match="cannot be read"):
        check_image(image)
    image = nibabel.load(path, mmap=False)
    path.unlink()
    with pytest.raises(VolumeReadError, match="cannot be read"):
        check_image(image)


def test_check_image_does_not_load_a_volume_with_a_false_size(tmp_path):
    path = tmp_path / "v.nii"
    path.write_bytes(nifti_bytes(dim={1: 32767, 2: 32767, 3: 32767}))
    with pytest.raises(VolumeReadError, match="voxels"):
        check_image(nibabel.load(path))


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">i2", "i8", "bool", ">f4", "f8", "f2"])
def test_a_written_volume_is_read_back_unchanged(dtype, order, name, tmp_path):
    voxels = np.asarray(small_volume("u1") % 2 if dtype == "bool" else small_volume("u1"))
    voxels = np.array(voxels, dtype=dtype, order=order)
    voxels.setflags(write=False)
    path = save_volume(voxels, tmp_path / name, affine=AFFINE)
    image = load_volume(path)
    np.testing.assert_array_equal(image.get_fdata(), voxels)
    np.testing.assert_array_equal(image.affine, AFFINE.astype(np.float32))
    on_disk = nibabel.load(path)
    assert on_disk.get_data_dtype() == np.float32
    assert (on_disk.dataobj.slope, on_disk.dataobj.inter) == (1, 0)
    assert on_disk.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(
        on_disk.header.get_zooms(), np.linalg.norm(AFFINE[:3, :3], axis=0), rtol=1e-6
    )
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "uint64"])
def test_integer_files_hold_rounded_values_or_the_write_is_refused(dtype, tmp_path):
    limits = np.iinfo(dtype)
    voxels = small_volume("f8") + 0.4
    path = save_volume(voxels, tmp_path / "v.nii", dtype=dtype)
    assert nibabel.load(path).get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), np.rint(voxels))
    for outside in (float(limits.max) * 1.01 + 2, float(limits.min) * 1.01 - 2):
        voxels[0, 0, 0] = outside
        with pytest.raises(ValueError, match=f"do not fit {dtype}"):
            save_volume(voxels, path, dtype=dtype)
    voxels[0, 0, 0] = 2.0**64
    with pytest.raises(ValueError, match="do not fit"):
        save_volume(voxels, path, dtype=dtype)


def test_the_largest_integers_are_written_exactly(tmp_path):
    voxels = np.full((2, 2, 2), np.iinfo("u8").max, dtype="u8")
    path = save_volume(voxels, tmp_path / "v.nii", dtype="uint64")
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), voxels)
    for dtype in ("int64", "float32"):
        image = nibabel.Nifti1Image(voxels, np.eye(4), dtype=np.uint64)
        if dtype == "int64":
            with pytest.raises(ValueError, match="do not fit"):
                save_volume(image, path, dtype=dtype)
        else:
            save_volume(image, path, dtype=dtype)


@pytest.mark.parametrize("value", [2.0**63, -(2.0**63) - 2048])
def test_values_just_beyond_int64_are_refused(value, tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        save_volume(np.full((2, 2, 2), value), tmp_path / "v.nii", dtype="int64")


@pytest.mark.parametrize(
    ("volume", "options", "reason"),
    [
        (np.full(SHAPE, np.nan), {}, "60 of 60 voxels are NaN"),
        (np.full(SHAPE, 1e300), {}, "do not fit float32"),
        (np.zeros(SHAPE, "c8"), {}, "real numbers"),
        (np.zeros(SHAPE, "U3"), {}, "real numbers"),
        (np.zeros((3, 3)), {}, "3-D"),
        (np.zeros((3, 3, 3, 1)), {}, "3-D"),
        (np.zeros((3, 0, 3)), {}, "3-D"),
        (np.zeros(SHAPE), {"dtype": "float16"}, "dtype must be one of"),
        (np.zeros(SHAPE), {"dtype": "complex64"}, "dtype must be one of"),
        (np.zeros(SHAPE), {"zoom": 0}, "zoom"),
        (np.zeros(SHAPE), {"zoom": (1, 2)}, "zoom"),
        (np.zeros(SHAPE), {"alignment": "edge"}, "alignment"),
        (np.zeros(SHAPE), {"affine": np.diag([1, 1, 0, 1])}, "singular"),
        (np.zeros(SHAPE), {"affine": np.eye(3)}, "shape"),
        (np.zeros(SHAPE), {"affine": np.eye(4), "zoom": 2}, "combined"),
        (np.zeros(SHAPE), {"like": nibabel.Nifti1Image(np.zeros((5, 4, 9)), AFFINE)}, "field of"),
        (np.zeros((40_000, 1, 1)), {}, "NIfTI-1"),
    ],
)
def test_save_volume_refuses_bad_input_and_writes_no_file(volume, options, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        save_volume(volume, tmp_path / "v.nii", **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["v", "v.img", "v.mgz", "v.gz", "v.nii.bz2", "v.npy"])
def test_other_extensions_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"'\.nii' or '\.nii\.gz'"):
        save_volume(small_volume(), tmp_path / name)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        save_volume(small_volume(), tmp_path / "nowhere" / "v.nii")


class FailingWrite:
    """Fail in the middle of a file, like a full disk."""

    def __init__(self, error):
        self.error = error

    def __call__(self, image, file_map, **kwargs):
        file_map["image"].fileobj.write(b"half a header")
        raise self.error


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(name, error, tmp_path, monkeypatch):
    path = save_volume(small_volume(), tmp_path / name)
    before = path.read_bytes()
    failing = FailingWrite(error)
    monkeypatch.setattr(
        nibabel.Nifti1Image, "to_file_map", lambda image, *args, **kw: failing(image, *args, **kw)
    )
    with pytest.raises(type(error)):
        save_volume(small_volume() + 1, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failure_in_the_last_step_keeps_the_old_file(stage, tmp_path, monkeypatch):
    path = save_volume(small_volume(), tmp_path / "v.nii")
    before = path.read_bytes()

    def fail(*args):
        raise OSError("gone")

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(OSError, match="gone"):
        save_volume(small_volume() + 1, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["v.nii"]


@pytest.mark.skipif(os.name != "posix", reason="file modes and links are POSIX")
def test_replacing_a_file_keeps_its_mode_and_follows_links(tmp_path):
    path = save_volume(small_volume(), tmp_path / "v.nii")
    path.chmod(0o640)
    link = tmp_path / "link.nii"
    link.symlink_to(path)
    save_volume(small_volume() + 1, link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    np.testing.assert_array_equal(load_volume(path).get_fdata(), small_volume() + 1)


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    one = save_volume(small_volume(), tmp_path / "a.nii.gz").read_bytes()
    assert save_volume(small_volume(), tmp_path / "b.nii.gz").read_bytes() == one


# ---------------------------------------------------------------- geometry and header


def scan_header():
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"0.36 T"
    header["aux_file"] = b"none"
    header.set_intent("estimate", name="T1w")
    header["cal_max"] = 7
    header.set_dim_info(0, 1, 2)
    return header


@pytest.mark.parametrize("via", ["image", "path", "volume", "loaded"])
def test_the_same_grid_keeps_the_exact_affine_and_the_header(via, tmp_path):
    image = nibabel.Nifti1Image(small_volume("f4"), AFFINE, scan_header())
    rigid = AFFINE.copy()
    rigid[:3, :3] = nibabel.affines.from_matvec(np.diag([1.0, -1.2, 3.0]) @ np.eye(3), [0, 0, 0])[
        :3, :3
    ]
    image.set_qform(rigid, 1)
    image.set_sform(AFFINE, 4)
    path = tmp_path / "source.nii"
    nibabel.save(image, path)
    result = tmp_path / "result.nii.gz"
    if via == "volume":
        enhanced = nibabel.Nifti1Image(small_volume("f4") + 1, image.affine, image.header)
        save_volume(enhanced, result)
    else:
        like = {"image": image, "path": path, "loaded": load_volume(path)}[via]
        save_volume(small_volume("f4") + 1, result, like=like)
    source, written = nibabel.load(path), nibabel.load(result)
    np.testing.assert_array_equal(written.affine, source.affine)
    np.testing.assert_array_equal(written.header.get_qform(), source.header.get_qform())
    for field in ("qform_code", "sform_code", "xyzt_units", "descrip", "aux_file", "intent_code",
                  "intent_name", "dim_info", "pixdim", "quatern_b", "quatern_c"):  # fmt: skip
        np.testing.assert_array_equal(written.header[field], source.header[field], field)
    # The display range belongs to the old intensities.
    assert written.header["cal_max"] == 0


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (2, 0), (0, 0)], ids="q{0[0]}s{0[1]}".format)
def test_zoom_scales_both_transforms(codes, alignment, tmp_path):
    rigid = nibabel.affines.from_matvec(np.diag([-1.0, 1.0, 4.0]), [90, -126, -72])
    low = nibabel.Nifti1Image(small_volume("f4"), rigid)
    low.set_qform(rigid, codes[0])
    low.set_sform(rigid, codes[1])
    expected = scaled_affine(low.affine, (1, 1, 4), alignment)
    path = save_volume(
        np.zeros((5, 4, 12)), tmp_path / "v.nii", like=low, zoom=(1, 1, 4), alignment=alignment
    )
    high = nibabel.load(path)
    np.testing.assert_allclose(high.affine, expected, atol=1e-5)
    np.testing.assert_allclose(high.header.get_zooms(), (1, 1, 1), atol=1e-6)
    if codes[0]:
        assert high.header["qform_code"] == codes[0]
        np.testing.assert_allclose(high.header.get_qform(), expected, atol=1e-5)
    assert load_volume(path).shape == (5, 4, 12)


def test_a_sheared_affine_is_not_written_as_a_qform(tmp_path):
    like = nibabel.Nifti1Image(small_volume("f4"), np.eye(4))
    like.set_qform(np.eye(4), 1)
    like.set_sform(None, 0)
    path = save_volume(small_volume(), tmp_path / "v.nii", like=like, affine=AFFINE)
    np.testing.assert_array_equal(nibabel.load(path).affine, AFFINE.astype(np.float32))
    assert nibabel.load(path).header["qform_code"] == 0


def test_an_image_without_affine_is_written_with_the_affine_that_is_passed(tmp_path):
    image = nibabel.Nifti1Image(small_volume("f4"), None)
    with pytest.raises(ValueError, match="no affine"):
        save_volume(image, tmp_path / "v.nii")
    path = save_volume(image, tmp_path / "v.nii", affine=AFFINE)
    np.testing.assert_array_equal(load_volume(path).affine, AFFINE.astype(np.float32))


def test_an_unusable_qform_of_an_image_is_dropped(tmp_path):
    image = nibabel.Nifti1Image(small_volume("f4"), AFFINE)
    image.header["qform_code"], image.header["quatern_b"] = 1, np.nan
    for zoom, shape in ((1, SHAPE), (2, tuple(2 * n for n in SHAPE))):
        path = save_volume(np.zeros(shape), tmp_path / "v.nii", like=image, zoom=zoom)
        written = nibabel.load(path)
        np.testing.assert_allclose(written.affine, scaled_affine(AFFINE, zoom), atol=1e-5)
        assert written.header["qform_code"] == 0


def test_affines_of_other_formats_are_carried_over_to_floor_divided_shapes(tmp_path):
    high = nibabel.MGHImage(small_volume("f4", (5, 4, 15)), AFFINE)
    path = save_volume(np.zeros((5, 4, 3)), tmp_path / "low.nii", like=high, zoom=(1, 1, 0.25))
    np.testing.assert_allclose(
        load_volume(path).affine, scaled_affine(high.affine, (1, 1, 0.25)), atol=1e-5
    )
    with pytest.raises(GeometryMismatchError, match="field of view"):
        save_volume(np.zeros((5, 4, 2)), path, like=high, zoom=(1, 1, 0.25))


def test_nifti_2_stays_nifti_2_and_can_have_long_axes(tmp_path):
    like = nibabel.Nifti2Image(np.zeros((40_000, 1, 1), "f4"), np.eye(4))
    path = save_volume(np.ones((40_000, 1, 1)), tmp_path / "v.nii", like=like)
    assert isinstance(load_volume(path), nibabel.Nifti2Image)
    assert load_volume(path).shape == (40_000, 1, 1)


angles = st.floats(-np.pi, np.pi)
sizes = st.tuples(*[st.floats(0.2, 8.0)] * 3)
origins = st.tuples(*[st.floats(-250.0, 250.0)] * 3)
scales = st.tuples(*[st.integers(1, 6)] * 3)


@settings(max_examples=150)
@given(st.tuples(angles, angles, angles), sizes, origins, scales, st.booleans())
def test_scaling_keeps_the_field_of_view(rotation, voxel, origin, scale, flip):
    matrix = nibabel.eulerangles.euler2mat(*rotation) @ np.diag(voxel)
    if flip:
        matrix[:, 0] *= -1
    affine = nibabel.affines.from_matvec(matrix, origin)
    shape = (160, 200, 40)
    high_shape = np.multiply(shape, scale)
    high = scaled_affine(affine, scale)
    shift = fov_center(high, high_shape) - fov_center(affine, shape)
    assert np.abs(shift).max() < 1e-9
    back = scaled_affine(high, 1 / np.array(scale, dtype=float))
    np.testing.assert_allclose(back, affine, atol=1e-9)
    corner = scaled_affine(affine, scale, alignment="corner")
    np.testing.assert_allclose(corner[:3, 3], affine[:3, 3])


@settings(max_examples=60)
@given(st.tuples(angles, angles, angles), sizes, origins, scales)
def test_a_file_keeps_the_field_of_view(rotation, voxel, origin, scale):
    affine = nibabel.affines.from_matvec(
        nibabel.eulerangles.euler2mat(*rotation) @ np.diag(voxel), origin
    ).astype(np.float32)
    low_shape = (4, 3, 2)
    low = nibabel.Nifti1Image(np.zeros(low_shape, "f4"), affine)
    high_shape = tuple(int(n) for n in np.multiply(low_shape, scale))
    with tempfile.TemporaryDirectory() as folder:
        path = save_volume(np.zeros(high_shape), f"{folder}/v.nii", like=low, zoom=scale)
        written = load_volume(path).affine
    shift = fov_center(written, high_shape) - fov_center(affine, low_shape)
    assert np.abs(shift).max() < 1e-4


@pytest.mark.parametrize(
    ("affine", "zoom", "alignment", "reason"),
    [
        (np.eye(4), (1, 1, 0), "center", "zoom"),
        (np.eye(4), (1, 1, -2), "center", "zoom"),
        (np.eye(4), (1, 1, np.nan), "center", "zoom"),
        (np.eye(4), (1, 1), "center", "zoom"),
        (np.eye(4), 2, "left", "alignment"),
        (np.eye(3), 2, "center", "shape"),
        (np.eye(4) * np.nan, 2, "center", "NaN"),
        (np.diag([1, 1, 0, 1]), 2, "center", "singular"),
        (np.arange(16).reshape(4, 4), 2, "center", "last row"),
    ],
)
def test_scaled_affine_refuses_wrong_parameters(affine, zoom, alignment, reason):
    with pytest.raises(ValueError, match=reason):
        scaled_affine(affine, zoom, alignment)
