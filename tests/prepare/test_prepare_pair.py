"""One pair: grids, places, steps, and scans that do not fit."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
from made_scans import rigid, scan_thickly
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from scipy import ndimage

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.exceptions import GeometryMismatchError, MissingExtraError, VolumeReadError
from sklearn_iqt.io import Cohort
from sklearn_iqt.prepare import prepare_pair


def center_of_mass(image):
    return apply_affine(image.affine, ndimage.center_of_mass(np.asarray(image.dataobj)))


def put_blob(image, center, width=4.0):
    """Return an image of a soft ball at a place in mm, on the grid of another image."""
    points = apply_affine(image.affine, np.moveaxis(np.indices(image.shape), 0, -1))
    squares = ((points - center) ** 2).sum(axis=-1)
    ball = np.where(squares < (4 * width) ** 2, np.exp(-squares / (2 * width**2)), 0)
    return nibabel.Nifti1Image((100 * ball).astype(np.float32), image.affine)


# ---------------------------------------------------------------- grids and places


def test_an_oblique_scan_of_thick_slices_becomes_a_pair_for_fit(pair):
    low, high = pair
    assert nibabel.aff2axcodes(low.affine) == ("L", "P", "I")
    prepared = prepare_pair(low, high)
    assert prepared.scale == (1, 1, 5)
    assert nibabel.aff2axcodes(prepared.low.affine) == ("R", "A", "S")
    np.testing.assert_allclose(voxel_sizes(prepared.low.affine), (1, 1, 5), rtol=1e-6)
    np.testing.assert_allclose(voxel_sizes(prepared.high.affine), (1, 1, 1), rtol=1e-6)
    cohort = Cohort([prepared.low], [prepared.high], [prepared.mask], scale=prepared.scale)
    (one,) = cohort
    assert one.mask.any()
    assert not one.low[~one.mask].any()
    assert one.high.min() == 0
    model = InterpolationIQT(scale=prepared.scale).fit([prepared.low], [prepared.high])
    assert model.predict([prepared.low])[0].shape == prepared.high.shape


def test_low_and_high_show_the_same_thing_at_the_same_place(pair):
    prepared = prepare_pair(*pair)
    low, high = (np.asarray(image.dataobj) for image in (prepared.low, prepared.high))
    blocks = high.reshape(*low.shape, 5).mean(axis=-1)
    inner = ndimage.binary_erosion(np.asarray(prepared.mask.dataobj) > 0)
    # If one of them is moved by one high voxel, the correlation is at most 0.943.
    assert np.corrcoef(low[inner], blocks[inner])[0, 1] > 0.95
    for before, after in zip(pair, (prepared.low, prepared.high), strict=True):
        assert np.linalg.norm(center_of_mass(before) - center_of_mass(after)) < 0.3


@pytest.mark.parametrize("thick", [0, 1, 2])
def test_a_blob_keeps_its_place_in_mm_for_each_order_of_the_axes(thick):
    sizes = np.full(3, 1.6)
    sizes[thick] = 5.0
    flips = np.array([1, -1, -1])
    turn = nibabel.eulerangles.euler2mat(0.05, -0.08, 0.06)
    order = [1, 2, 0]
    matrix = (turn @ np.diag(flips * sizes))[:, order]
    low_shape = np.rint(80 / sizes).astype(int)[order]
    affine = from_matvec(matrix, -matrix @ ((low_shape - 1) / 2))
    low = put_blob(nibabel.Nifti1Image(np.zeros(low_shape), affine), (4, -6, 3))
    high_affine = from_matvec(np.diag([1, 1, 1]), (-40, -40, -40))
    high = put_blob(nibabel.Nifti1Image(np.zeros((80, 80, 80)), high_affine), (4, -6, 3))
    prepared = prepare_pair(low, high)
    expected = "RAS".replace("RAS"[thick], "") + "RAS"[thick]
    assert "".join(nibabel.aff2axcodes(prepared.low.affine)) == expected
    assert prepared.scale == (1, 1, 5)
    for image in (prepared.low, prepared.high):
        assert np.linalg.norm(center_of_mass(image) - (4, -6, 3)) < 0.3


def test_voxels_of_the_wanted_size_are_not_interpolated(brains):
    high = brains[0]
    low = scan_thickly(high, size=(1.0, 1.0, 4.0))
    prepared = prepare_pair(low, high, crop=False)
    assert prepared.record["steps"]["low_resampling"] is None
    assert prepared.scale == (1, 1, 4)
    voxels = np.asarray(low.dataobj)[::-1, ::-1, ::-1]
    kept = np.asarray(prepared.low.dataobj)
    np.testing.assert_array_equal(kept[kept != 0], voxels[kept != 0])


@pytest.mark.parametrize(
    ("options", "low_size", "high_size"),
    [
        ({"voxel_size": 1.25}, (1.25, 1.25, 5), (1.25, 1.25, 1.25)),
        ({"voxel_size": (0.8, 1.6, 2.4)}, (0.8, 1.6, 5), (0.8, 1.6, 2.5)),
        ({"scale": (2, 2, 5)}, (2, 2, 5), (1, 1, 1)),
        ({"scale": (1, 1, 4), "voxel_size": 1.6}, (1.6, 1.6, 5), (1.6, 1.6, 1.25)),
    ],
)
def test_voxel_size_and_scale_can_be_chosen(pair, options, low_size, high_size):
    prepared = prepare_pair(*pair, **options)
    np.testing.assert_allclose(voxel_sizes(prepared.low.affine), low_size, rtol=1e-5)
    np.testing.assert_allclose(voxel_sizes(prepared.high.affine), high_size, rtol=1e-5)
    Cohort([prepared.low], [prepared.high], [prepared.mask], scale=prepared.scale)


def test_scans_without_thick_slices_get_one_scale_for_all_axes(brains):
    low = scan_thickly(brains[0], size=(2.1, 2.1, 2.1))
    prepared = prepare_pair(low, brains[0])
    assert prepared.scale == (2, 2, 2)
    assert prepared.record["parameters"]["thick_axis"] is None
    assert prepared.record["steps"]["low_resampling"] is None
    exact = prepare_pair(low, brains[0], voxel_size=1.0)
    np.testing.assert_allclose(voxel_sizes(exact.high.affine), (1, 1, 1), rtol=1e-5)


def test_headers_are_carried_over(pair):
    low = nibabel.Nifti1Image(pair[0].dataobj, pair[0].affine, pair[0].header)
    low.set_sform(low.affine, 1)
    low.set_qform(low.affine, 1)
    low.header.set_dim_info(freq=0, phase=1, slice=2)
    prepared = prepare_pair(low, pair[1])
    assert bytes(prepared.low.header["descrip"]).rstrip(b"\0") == b"0.36 T"
    assert prepared.low.header.get_xyzt_units()[0] == "mm"
    assert (int(prepared.low.header["sform_code"]), int(prepared.low.header["qform_code"])) == (
        1,
        1,
    )
    assert prepared.low.header.get_dim_info() == (0, 1, 2)
    assert prepared.mask.get_data_dtype() == np.uint8


# ---------------------------------------------------------------- background and crop


def test_the_crop_leaves_a_margin_of_whole_low_voxels(pair):
    whole = prepare_pair(*pair, crop=False)
    cut = prepare_pair(*pair, margin_mm=5.0)
    assert whole.record["steps"]["crop"] is None
    box = tuple(slice(*part) for part in cut.record["steps"]["crop"]["box"])
    for name in ("low", "mask"):
        expected = np.asarray(getattr(whole, name).dataobj)[box]
        np.testing.assert_array_equal(np.asarray(getattr(cut, name).dataobj), expected)
    mask = np.argwhere(np.asarray(cut.mask.dataobj))
    assert (mask.min(axis=0) == (5, 5, 1)).all()
    Cohort([cut.low], [cut.high], [cut.mask], scale=cut.scale)


def test_the_background_of_one_scan_is_background_in_both(brains):
    high = brains[0]
    low = scan_thickly(high)
    rng = np.random.default_rng(0)
    air = np.abs(rng.normal(20, 5, low.shape))
    noisy = nibabel.Nifti1Image(np.maximum(np.asarray(low.dataobj), air), low.affine)
    prepared = prepare_pair(noisy, high)
    assert prepared.record["steps"]["background"]["zero_in"] == ["high"]
    mask = np.asarray(prepared.mask.dataobj) > 0
    assert not np.asarray(prepared.low.dataobj)[~mask].any()
    assert 0.2 < mask.mean() < 0.8


def test_voxels_that_the_high_scan_does_not_reach_are_left_out(pair):
    low, high = pair
    cut = high.slicer[:, :, 28:]
    prepared = prepare_pair(low, cut, crop=False)
    part = prepared.record["steps"]["high_resampling"]
    assert part["low_not_covered_percent"] > 20
    assert 50 < part["foreground_covered_percent"] < 95
    mask = np.asarray(prepared.mask.dataobj) > 0
    assert mask.sum() < np.asarray(prepare_pair(low, high, crop=False).mask.dataobj).sum()
    assert not np.asarray(prepared.low.dataobj)[~mask].any()


def test_inputs_are_not_changed_and_the_result_is_the_same_every_time(pair):
    before = [(np.array(image.dataobj), image.affine.copy()) for image in pair]
    first, second = prepare_pair(*pair), prepare_pair(*pair)
    for image, (voxels, affine) in zip(pair, before, strict=True):
        np.testing.assert_array_equal(image.dataobj, voxels)
        np.testing.assert_array_equal(image.affine, affine)
    for name in ("low", "high", "mask"):
        np.testing.assert_array_equal(
            getattr(first, name).dataobj, getattr(second, name).dataobj, strict=True
        )
    assert first.record == second.record


def test_nan_is_refused_or_taken_as_background(pair):
    low, high = pair
    voxels = np.array(high.dataobj)
    voxels[voxels == 0] = np.nan
    marked = nibabel.Nifti1Image(voxels, high.affine)
    with pytest.raises(VolumeReadError, match="prepare_pair: high"):
        prepare_pair(low, marked)
    prepared = prepare_pair(low, marked, nan="background")
    np.testing.assert_array_equal(prepared.high.dataobj, prepare_pair(low, high).high.dataobj)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"voxel_size": 0}, "voxel_size must be"),
        ({"voxel_size": (1, 1)}, "voxel_size must be"),
        ({"voxel_size": "1 mm"}, "voxel_size must be"),
        ({"scale": (1, 1)}, "scale must be"),
        ({"scale": 0}, "scale must be"),
        ({"extract_brain": True}, "extract_brain must be"),
        ({"margin_mm": -1}, "margin_mm must be"),
        ({"margin_mm": None}, "margin_mm must be"),
        ({"order": 6}, "order must be"),
        ({"order": True}, "order must be"),
        ({"nan": "zero"}, "nan must be"),
    ],
)
def test_wrong_parameters_are_refused(pair, options, reason):
    with pytest.raises(ValueError, match=f"prepare_pair: {reason}"):
        prepare_pair(*pair, **options)


def test_swapped_scans_are_refused(pair):
    with pytest.raises(GeometryMismatchError, match="not swapped"):
        prepare_pair(pair[1], pair[0])


def test_scans_of_two_places_are_refused(pair):
    low, high = pair
    away = nibabel.Nifti1Image(high.dataobj, rigid((0, 0, 0), (0, 60, 0), (0, 0, 0)) @ high.affine)
    with pytest.raises(GeometryMismatchError, match=r"covers .*register"):
        prepare_pair(low, away)
    corner = apply_affine(away.affine, (-60, -60, -60))
    wide = nibabel.Nifti1Image(
        np.pad(np.asarray(high.dataobj), 60), from_matvec(away.affine[:3, :3], corner)
    )
    with pytest.raises(GeometryMismatchError, match="smaller foreground"):
        prepare_pair(low, wide)


def test_arrays_and_constant_scans_are_refused(pair):
    low, high = pair
    with pytest.raises(ValueError, match="low must hold nibabel images or paths"):
        prepare_pair(np.asarray(low.dataobj), high)
    empty = nibabel.Nifti1Image(np.zeros(high.shape, np.float32), high.affine)
    with pytest.raises(ValueError, match="all voxels of the high scan are 0"):
        prepare_pair(low, empty)


@pytest.mark.parametrize(
    ("package", "options"),
    [
        ("SimpleITK", {"register": True}),
        ("SimpleITK", {"correct_bias": True}),
        ("deepbet", {"extract_brain": "high"}),
    ],
)
def test_a_missing_package_names_its_extra(pair, monkeypatch, package, options):
    from sklearn_iqt.prepare._brain import load_deepbet

    load_deepbet.cache_clear()
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)

    class Block:
        @staticmethod
        def find_spec(name, *_):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(sys, "meta_path", [Block, *sys.meta_path])
    with pytest.raises(MissingExtraError, match=rf"prepare_pair needs {package}.*\[prepare\]"):
        prepare_pair(*pair, **options)


def test_without_the_extra_the_other_steps_run(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    monkeypatch.setitem(sys.modules, "deepbet", None)
    assert prepare_pair(*pair).scale == (1, 1, 5)
