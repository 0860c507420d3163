"""Resampling keeps positions and zeros, agrees with nibabel, avoids aliasing, refuses bad input."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from nibabel.processing import resample_from_to
from scipy import ndimage

from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.preprocessing import (
    looks_like_labels,
    resample_to,
    resample_to_voxel_size,
    upsample,
)
from sklearn_iqt.simulation import estimate_tissue_maps

OBLIQUE = from_matvec(
    nibabel.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag([0.9, 1.1, 2.0]), [-10, 4, 7]
)
# Nothing but the spline.
PLAIN = {"antialias": False, "keep_range": False}


def smooth(shape=(20, 18, 12), seed=0):
    volume = np.random.default_rng(seed).random(shape)
    return ndimage.gaussian_filter(volume, 1.0)


def ramp(shape, affine, direction):
    """Return a volume whose intensity is the position along a direction, in mm."""
    points = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return points @ np.asarray(direction, dtype=float)


# ---------------------------------------------------------------- onto a grid


@settings(max_examples=30)
@given(
    st.tuples(*[st.floats(-0.4, 0.4)] * 3),
    st.tuples(*[st.floats(0.6, 2.5)] * 3),
    st.sampled_from([1, 3]),
)
def test_a_linear_ramp_keeps_its_position(angles, voxel, order):
    shape = (18, 16, 14)
    direction = (0.3, -1.0, 0.7)
    volume = ramp(shape, OBLIQUE, direction)
    center = apply_affine(OBLIQUE, (np.array(shape) - 1) / 2)
    matrix = nibabel.eulerangles.euler2mat(*angles) @ np.diag(voxel)
    affine = from_matvec(matrix, center - matrix @ [2.0, 2.5, 1.5])
    result = resample_to((volume, OBLIQUE), ((5, 6, 4), affine), order=order, **PLAIN)
    points = apply_affine(
        np.linalg.inv(OBLIQUE) @ affine, np.moveaxis(np.indices((5, 6, 4)), 0, -1)
    )
    # A cubic spline bends a ramp close to the border.
    margin = 4 if order == 3 else 0
    inner = ((points >= margin) & (points <= np.array(shape) - 1 - margin)).all(axis=-1)
    expected = ramp((5, 6, 4), affine, direction)
    assert inner.any()
    tolerance = 0.02 if order == 3 else 1e-9
    np.testing.assert_allclose(result.get_fdata()[inner], expected[inner], atol=tolerance)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_it_agrees_with_nibabel_inside_the_field_of_view(order):
    volume = smooth()
    image = nibabel.Nifti1Image(volume, np.diag([1, 1, 2, 1.0]))
    target = (
        (22, 20, 30),
        from_matvec(nibabel.eulerangles.euler2mat(0.05, 0.02, -0.1) * 0.8, [1.1, 0.7, 1.9]),
    )
    ours = resample_to(image, target, order=order, **PLAIN).get_fdata()
    theirs = resample_from_to(image, target, order=order).get_fdata()
    points = apply_affine(
        np.linalg.inv(image.affine) @ target[1], np.moveaxis(np.indices(target[0]), 0, -1)
    )
    inner = ((points >= 0) & (points <= np.array(volume.shape) - 1)).all(axis=-1)
    assert inner.mean() > 0.3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-9)
    beyond = ((points < -0.6) | (points > np.array(volume.shape) - 0.4)).any(axis=-1)
    assert beyond.any()
    assert not ours[beyond].any()


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_it_agrees_with_the_baseline_interpolation(order, alignment):
    volume = smooth((9, 8, 7))
    scale = (1, 2, 4)
    shape = tuple(n * s for n, s in zip(volume.shape, scale, strict=True))
    target = shape, scaled_affine(OBLIQUE, scale, alignment)
    ours = resample_to((volume, OBLIQUE), target, order=order, **PLAIN).get_fdata()
    baseline = upsample(volume, scale, order=order, alignment=alignment)
    # Corner alignment ends beyond the field of view, where the baseline repeats the edge.
    within = tuple(slice(0, s * (n - 1) + 1) for n, s in zip(volume.shape, scale, strict=True))
    kept = within if alignment == "corner" else ...
    if order == 0:  # halfway points may round either way
        assert (ours[kept] == baseline[kept]).mean() > 0.8
    else:
        np.testing.assert_allclose(ours[kept], baseline[kept], atol=1e-6)


def test_equal_grids_copy_the_voxels_exactly():
    volume = smooth().astype("f4")
    volume.setflags(write=False)
    result = resample_to((volume, OBLIQUE), (volume.shape, OBLIQUE))
    np.testing.assert_array_equal(np.asarray(result.dataobj), volume)
    assert not np.shares_memory(np.asarray(result.dataobj), volume)


def test_a_finer_grid_and_back_is_the_identity():
    volume = smooth()
    fine = resample_to(
        (volume, OBLIQUE), ((20, 36, 12), scaled_affine(OBLIQUE, (1, 2, 1), "corner")), **PLAIN
    )
    back = resample_to(fine, (volume.shape, OBLIQUE), **PLAIN)
    np.testing.assert_allclose(back.get_fdata(), volume, atol=1e-6)


def test_labels_stay_labels_and_voxels_outside_get_the_fill_value():
    labels = np.random.default_rng(0).integers(0, 4, size=(8, 8, 8)).astype(">i2")
    shifted = from_matvec(np.eye(3), [0, 0, 3])
    result = resample_to((labels, np.eye(4)), ((8, 8, 8), shifted), order=0, fill_value=-1)
    voxels = result.get_fdata()
    np.testing.assert_array_equal(voxels[..., :5], labels[..., 3:])
    assert (voxels[..., 5:] == -1).all()


def test_the_size_of_slabs_does_not_change_the_result(monkeypatch):
    target = (15, 14, 13), scaled_affine(OBLIQUE, 0.9)
    whole = resample_to((smooth(), OBLIQUE), target).get_fdata()
    monkeypatch.setattr("sklearn_iqt.preprocessing._resample._SLAB_VOXELS", 400)
    np.testing.assert_array_equal(resample_to((smooth(), OBLIQUE), target).get_fdata(), whole)


def test_images_and_paths_keep_their_headers(tmp_path):
    image = nibabel.Nifti1Image(smooth().astype("f4"), OBLIQUE)
    image.header["descrip"] = b"0.36 T"
    image.header.set_xyzt_units("mm")
    path = save_volume(image, tmp_path / "low.nii.gz")
    target = nibabel.Nifti1Image(np.zeros((10, 10, 10), "u1"), scaled_affine(OBLIQUE, 0.7))
    target_path = save_volume(target, tmp_path / "target.nii")
    expected = resample_to(image, target)
    assert expected.shape == (10, 10, 10)
    assert expected.get_data_dtype() == np.float32
    assert bytes(expected.header["descrip"]).rstrip(b"\0") == b"0.36 T"
    np.testing.assert_allclose(expected.affine, target.affine)
    from_paths = resample_to(path, target_path)
    np.testing.assert_allclose(from_paths.get_fdata(), expected.get_fdata(), atol=1e-4)
    written = nibabel.load(save_volume(from_paths, tmp_path / "result.nii"))
    np.testing.assert_allclose(written.affine, target.affine, atol=1e-5)
    np.testing.assert_allclose(written.header.get_zooms(), voxel_sizes(target.affine), rtol=1e-5)


# ---------------------------------------------------------------- to a voxel size


@settings(max_examples=40)
@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.floats(0.4, 5.0)] * 3),
)
def test_the_voxel_size_is_exact_and_the_field_of_view_is_kept(shape, voxel_size):
    volume = np.random.default_rng(0).random(shape)
    result = resample_to_voxel_size((volume, OBLIQUE), voxel_size)
    np.testing.assert_allclose(voxel_sizes(result.affine), voxel_size)
    shift = apply_affine(result.affine, (np.array(result.shape) - 1) / 2) - apply_affine(
        OBLIQUE, (np.array(shape) - 1) / 2
    )
    assert np.abs(shift).max() < 1e-4
    change = np.array(result.shape) * voxel_size - np.array(shape) * voxel_sizes(OBLIQUE)
    assert (np.abs(change) <= np.maximum(0.5 * np.array(voxel_size), voxel_size) + 1e-9).all()
    assert np.isfinite(result.get_fdata()).all()


@pytest.mark.parametrize("voxel_size", [0.5, 0.7, 1.3, 3.0, (2.0, 0.5, 4.0)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_constant_stays_constant_to_the_rim(voxel_size, order):
    result = resample_to_voxel_size((np.full((9, 8, 7), 5.0), OBLIQUE), voxel_size, order=order)
    np.testing.assert_allclose(result.get_fdata(), 5.0, atol=1e-9)


def test_the_same_voxel_size_changes_nothing():
    volume = smooth()
    result = resample_to_voxel_size((volume, OBLIQUE), voxel_sizes(OBLIQUE))
    np.testing.assert_allclose(result.get_fdata(), volume, atol=1e-6)
    np.testing.assert_allclose(result.affine, OBLIQUE, atol=1e-9)


def test_blurring_keeps_stripes_from_aliasing():
    stripes = np.zeros((4, 4, 63))
    stripes[..., ::2] = 1  # far above what voxels four times as long can hold
    blurred = resample_to_voxel_size((stripes, np.eye(4)), (1, 1, 4), order=3).get_fdata()[
        ..., 3:-3
    ]
    sharp = resample_to_voxel_size(
        (stripes, np.eye(4)), (1, 1, 3), order=3, antialias=False
    ).get_fdata()
    np.testing.assert_allclose(blurred, 0.5, atol=0.01)
    assert np.abs(sharp - 0.5).max() > 0.3


# ---------------------------------------------------------------- range and zeros


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def label_map(tissues):
    return np.where(tissues.sum(axis=0) > 0.5, 1 + tissues.argmax(axis=0), 0)


def test_a_resampled_brain_still_has_its_background_and_its_fluid():
    subject = make_subjects(1, shape=(160, 192, 24), random_state=0)
    image, labels = subject.images[0], label_map(subject.tissues[0])
    coarse = resample_to_voxel_size(image, 1.2)
    voxels = coarse.get_fdata()
    assert (voxels > 0).mean() == pytest.approx((image.get_fdata() > 0).mean(), abs=0.01)
    assert voxels.min() == 0
    assert voxels.max() <= image.get_fdata().max()
    truth = resample_to((labels, image.affine), coarse, order=0).get_fdata()
    found = label_map(estimate_tissue_maps(coarse, random_state=0))
    assert dice(found == 1, truth == 1) > 0.75


def test_tissues_of_a_ringing_background_are_refused():
    image = make_subjects(1, shape=(160, 192, 24), random_state=0).images[0]
    ringing = resample_to_voxel_size(image, 1.2, keep_range=False)
    with pytest.raises(ValueError, match="background of the volume is not exactly zero"):
        estimate_tissue_maps(ringing, random_state=0)


@pytest.mark.parametrize("voxel_size", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("order", [1, 3, 5])
def test_a_sharp_edge_does_not_ring(voxel_size, order):
    cube = np.zeros((24, 24, 24))
    cube[6:18, 6:18, 6:18] = 100.0
    grid = resample_to_voxel_size((cube, OBLIQUE), voxel_size)
    result = resample_to((cube, OBLIQUE), grid, order=order).get_fdata()
    assert result.min() == 0
    assert result.max() <= 100
    nearest = resample_to((cube, OBLIQUE), grid, order=0).get_fdata()
    assert (result > 0).mean() == pytest.approx((nearest > 0).mean(), rel=0.1)
    assert not result[ndimage.maximum_filter(nearest, 3) == 0].any()


def test_the_range_of_a_volume_with_negative_intensities_is_kept():
    volume = smooth() - 5
    result = resample_to_voxel_size((volume, OBLIQUE), 0.7)
    assert result.get_fdata().min() >= volume.min()
    assert result.get_fdata().max() <= volume.max()


def test_the_fill_value_is_not_clipped():
    shifted = from_matvec(np.eye(3), [0, 0, 3])
    result = resample_to((np.ones((8, 8, 8)), np.eye(4)), ((8, 8, 8), shifted), fill_value=-1)
    assert (result.get_fdata()[..., 5:] == -1).all()


def test_resample_to_blurs_only_axes_that_become_coarser():
    stripes = np.zeros((4, 4, 63))
    stripes[..., ::2] = 1
    coarse = np.diag([1, 1, 4, 1.0])
    grid = resample_to((stripes, np.eye(4)), ((4, 4, 15), coarse), order=3, keep_range=False)
    np.testing.assert_allclose(grid.get_fdata()[..., 1:-1], 0.5, atol=0.01)
    turned = from_matvec(nibabel.eulerangles.euler2mat(0.3, -0.2, 0.1), [1, 2, 3])
    volume = smooth()
    target = (10, 10, 10), turned
    np.testing.assert_array_equal(
        resample_to((volume, np.eye(4)), target).get_fdata(),
        resample_to((volume, np.eye(4)), target, antialias=False).get_fdata(),
    )


def test_labels_are_not_blurred():
    labels = np.random.default_rng(0).integers(0, 4, size=(9, 8, 8)).astype("f4")
    result = resample_to_voxel_size((labels, np.eye(4)), 3.0, order=0)
    assert set(np.unique(result.get_fdata())) <= {0, 1, 2, 3}


def make_labels():
    """Return three shells, and a scan of them with noise, as whole numbers."""
    place = np.indices((20, 20, 21)) - 9.5
    labels = np.digitize(-np.sqrt((place**2).sum(axis=0)), [-9, -7, -4])
    noise = np.random.default_rng(0).normal(0, 8, labels.shape)
    scan = np.where(labels, np.array([0, 60, 120, 200])[labels] + noise, 0).round()
    return labels, scan


@pytest.mark.parametrize("dtype", ["uint8", "int16", "f4", "f8"])
def test_label_maps_keep_their_labels_by_default_and_scans_are_interpolated(dtype, tmp_path):
    labels, scan = (volume.astype(dtype) for volume in make_labels())
    shifted = from_matvec(np.eye(3), [0.4, 0.4, 0.4])
    for volume, whole in ((labels, True), (labels > 0, True), (scan, False)):
        volume = volume.astype(dtype)
        assert looks_like_labels(volume) == whole
        path = tmp_path / "volume.nii"
        nibabel.save(nibabel.Nifti1Image(volume, OBLIQUE), path)
        for source in ((volume, OBLIQUE), str(path)):
            for order, expected in ((None, 0 if whole else 3), (1, 1)):
                found = resample_to_voxel_size(source, 0.7, order=order)
                right = resample_to_voxel_size(source, 0.7, order=expected)
                np.testing.assert_array_equal(found.dataobj, right.dataobj)
        moved = resample_to((volume, np.eye(4)), ((20, 20, 21), shifted)).get_fdata()
        assert set(np.unique(moved)) <= set(np.unique(volume)) or not whole
        assert (moved == moved.round()).all() == whole


def test_a_flat_background_does_not_make_a_scan_a_label_map():
    _, scan = make_labels()
    assert not looks_like_labels(np.where(scan, scan, 2))
    assert looks_like_labels(np.zeros((3, 3, 3)))
    single = np.zeros((5, 5, 5))
    single[::4, ::4, ::4] = 1  # a mask of lesions of one voxel
    assert looks_like_labels(single)


@pytest.mark.parametrize("name", ["tissues", "lesions", "T1w", "T2w", "FLAIR", "inplaneT2"])
def test_real_label_maps_and_scans_are_distinguished(shared_data, name):
    path = next(iter(sorted(shared_data.glob(f"*/sub-*_{name}.nii.gz"))))
    assert looks_like_labels(path) == (name in ("tissues", "lesions"))


def test_a_scan_and_its_labels_get_one_shape_if_their_affines_are_rounded():
    # 441 slices of 0.5 mm are 220.5 slices of 1 mm.
    shapes = {
        resample_to_voxel_size((np.ones((4, 4, 441)), np.diag([1, 1, size, 1])), 1.0).shape
        for size in (0.5 - 1e-7, 0.5, 0.5 + 1e-7)
    }
    assert shapes == {(4, 4, 220)}


def test_a_target_beyond_the_field_of_view_is_refused():
    volume = smooth()
    near, far = (from_matvec(np.eye(3), [0, 0, z]) for z in (len(volume[0, 0]) - 1, 50))
    assert resample_to((volume, np.eye(4)), ((4, 4, 4), near)).get_fdata().any()
    with pytest.raises(GeometryMismatchError, match="outside of the field of view"):
        resample_to((volume, np.eye(4)), ((4, 4, 4), far))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("image", "target", "options", "reason"),
    [
        (np.zeros((3, 3, 3)), ((3, 3, 3), np.eye(4)), {}, "image must be"),
        ((np.zeros((3, 3)), np.eye(4)), ((3, 3, 3), np.eye(4)), {}, "3-D"),
        ((np.full((3, 3, 3), np.nan), np.eye(4)), ((3, 3, 3), np.eye(4)), {}, "NaN"),
        ((np.zeros((3, 3, 3)), np.zeros((4, 4))), ((3, 3, 3), np.eye(4)), {}, "last row"),
        ((np.zeros((3, 3, 3)), np.eye(4)), (3, 3, 3), {}, "target must be"),
        ((np.zeros((3, 3, 3)), np.eye(4)), ((3, 3), np.eye(4)), {}, "target shape"),
        ((np.zeros((3, 3, 3)), np.eye(4)), ((3, 3, 0), np.eye(4)), {}, "target shape"),
        ((np.zeros((3, 3, 3)), np.eye(4)), ((3, 3, 3), np.diag([1, 0, 1, 1])), {}, "singular"),
        ((np.zeros((3, 3, 3)), np.eye(4)), ((3, 3, 3), np.eye(4)), {"order": 6}, "order"),
        ((np.zeros((3, 3, 3)), np.eye(4)), ((3, 3, 3), np.eye(4)), {"order": 1.5}, "order"),
    ],
)
def test_bad_input_to_resample_to_is_refused(image, target, options, reason):
    with pytest.raises(ValueError, match=reason):
        resample_to(image, target, **options)


@pytest.mark.parametrize("voxel_size", [0, -1, np.nan, np.inf, (1, 1), (1, 1, 0), [[1, 1, 1]]])
def test_bad_voxel_sizes_are_refused(voxel_size):
    with pytest.raises(ValueError, match="voxel_size must be"):
        resample_to_voxel_size((np.zeros((3, 3, 3)), np.eye(4)), voxel_size)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("keep_range", [False, True])
def test_parallel_grids_and_tilted_grids_agree(order, keep_range):
    volume = np.random.default_rng(0).random((9, 11, 6)) * (np.indices((9, 11, 6))[0] > 2)
    affine = np.diag([1.5, 1.2, 4.0, 1.0])
    target = nibabel.affines.from_matvec(np.diag([1.0, 1.3, -0.9]), [-0.3, 0.4, 19.7])
    tilted = target.copy()
    tilted[0, 1] = 1e-6  # too little to change anything but the way of computing
    straight, other = (
        resample_to((volume, affine), ((12, 10, 25), grid), order=order, keep_range=keep_range)
        for grid in (target, tilted)
    )
    np.testing.assert_allclose(straight.get_fdata(), other.get_fdata(), atol=1e-4)
