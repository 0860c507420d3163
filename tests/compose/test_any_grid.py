"""A model enhances scans on any grid, and the result is in the place of the scan."""

from __future__ import annotations

import warnings

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from sklearn_iqt import (
    AnyGridIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
    PercentileScaler,
)
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Grid, scaled_affine
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.metrics import nrmse

SCALE = (1, 1, 4)
CENTRE = np.array([4.0, -7.0, 11.0])
# Blobs at these places, in mm from CENTRE, with these widths in mm.
BLOBS = ((0, 0, 0, 8), (9, 4, -6, 4), (-8, 7, 5, 3), (3, -10, 8, 3.5))


def field(points):
    """Return the intensity at places in mm."""
    return sum(
        np.exp(-((points - CENTRE - blob[:3]) ** 2).sum(axis=-1) / (2 * blob[3] ** 2))
        for blob in BLOBS
    )


def scan_of(affine, shape, blobs=field, slices=None):
    """Measure the field on a grid, as means over thick slices along one axis."""
    voxels = np.moveaxis(np.indices(shape, dtype=float), 0, -1)
    if slices is None:
        return nibabel.Nifti1Image(blobs(apply_affine(affine, voxels)).astype("f4"), affine)
    parts = (np.arange(8) + 0.5) / 8 - 0.5
    means = [blobs(apply_affine(affine, voxels + np.eye(3)[slices] * part)) for part in parts]
    return nibabel.Nifti1Image(np.mean(means, axis=0).astype("f4"), affine)


def grid_around(size, codes="RAS", tilt=(0, 0, 0), extent=56, off=(0.3, -0.2, 0.4)):
    """Return the affine and shape of a grid around the blobs."""
    shape = np.ceil(extent / np.array(size)).astype(int)
    axes = nibabel.orientations.inv_ornt_aff(nibabel.orientations.axcodes2ornt(codes), (1, 1, 1))
    turned = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ axes[:3, :3]
    matrix = turned @ np.diag(size)
    return from_matvec(matrix, CENTRE + off - matrix @ ((shape - 1) / 2)), tuple(shape)


def pair(codes="RAS"):
    affine, shape = grid_around((1, 1, 4), codes)
    low = scan_of(affine, shape, slices=2)
    high = scan_of(scaled_affine(affine, SCALE), tuple(np.multiply(shape, SCALE)))
    return [low], [high]


@pytest.fixture(scope="module")
def interpolation():
    return AnyGridIQT(InterpolationIQT()).fit(*pair())


@pytest.fixture(scope="module")
def ridge():
    patcher = PatchTransformer(3, 2)
    estimator = PatchwiseRegressor(patcher=patcher, max_patches=2000, random_state=0)
    return AnyGridIQT(estimator).fit(*pair("LAS"))


def mass_centre(image):
    weights = np.asarray(image.dataobj, dtype=float)
    points = apply_affine(image.affine, np.argwhere(weights != 0))
    return np.average(points, axis=0, weights=weights[weights != 0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "inner",
    [InterpolationIQT(), PatchwiseRegressor(patcher=PatchTransformer(3), random_state=0)],
    ids=lambda e: type(e).__name__,
)
def test_check_estimator(inner):
    results = check_estimator(AnyGridIQT(inner), on_skip=None)
    assert not [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]


SCANS = {
    "training grid": ((1, 1, 4), "RAS"),
    "flipped": ((1, 1, 4), "LPI"),
    "permuted": ((1, 4, 1), "ASR"),
    "sagittal": ((4, 1, 1), "RAS"),
    "sagittal, slices last": ((1, 1, 4), "PSL"),
    "coronal": ((1.2, 4, 1.2), "RAS"),
    "oblique": ((1.6, 1.6, 4), "LPI", (12, -5, 3)),
    "finer in plane": ((0.7, 0.7, 4), "RAS"),
    "thicker": ((1.6, 1.6, 5), "LPI", (5, 0, 0)),
    "thinner": ((1, 1, 3), "LAS"),
}


@pytest.mark.filterwarnings("ignore:.*may be worse")
@pytest.mark.parametrize("grid", ["model", "scan", 1.3])
@pytest.mark.parametrize("kind", SCANS)
def test_the_result_is_where_the_scan_is(kind, grid, interpolation):
    def one(points):
        return np.exp(-((points - CENTRE) ** 2).sum(axis=-1) / (2 * 5**2))

    scan = scan_of(*grid_around(*SCANS[kind]), blobs=one)
    model = clone(interpolation).set_params(grid=grid)
    model.estimator_ = interpolation.estimator_
    (result,) = model.predict([scan])
    assert nibabel.aff2axcodes(result.affine) == nibabel.aff2axcodes(scan.affine)
    assert np.abs(mass_centre(result) - CENTRE).max() < 0.3
    sizes = voxel_sizes(result.affine)
    if grid == "scan":
        assert result.shape == scan.shape
        np.testing.assert_array_equal(result.affine, scan.affine)
    elif grid == 1.3:
        np.testing.assert_allclose(sizes, 1.3)
    else:
        thickness = max(SCANS[kind][0])
        expected = np.where(np.array(SCANS[kind][0]) == thickness, thickness / 4, 1)
        np.testing.assert_allclose(sizes, expected)
        covered = sizes * result.shape, voxel_sizes(scan.affine) * scan.shape
        assert np.abs(np.subtract(*covered)).max() <= 0.5 + 1e-6
    assert 0.8 < np.asarray(result.dataobj).max() < 1.05


@pytest.mark.parametrize("codes", ["LAS", "RAS", "LPI", "SAL", "IRP", "PLS"])
def test_swaps_and_flips_do_not_change_any_bit(codes, ridge):
    (low,), _ = pair("LAS")
    mask = nibabel.Nifti1Image((np.asarray(low.dataobj) > 0.3).astype("u1"), low.affine)
    expected, spread = ridge.estimator_.predict([low], mask=[mask], return_std=True)
    stored, stored_mask = (reorient(image, codes) for image in (low, mask))
    result, std = ridge.predict([stored], mask=[stored_mask], return_std=True)
    for found, wanted in ((result[0], expected[0]), (std[0], spread[0])):
        assert "".join(nibabel.aff2axcodes(found.affine)) == codes
        back = reorient(found, "LAS")
        np.testing.assert_array_equal(back.dataobj, wanted.dataobj)
        np.testing.assert_allclose(back.affine, wanted.affine, atol=1e-9)
    assert np.asarray(std[0].dataobj).any()


@pytest.mark.parametrize(
    ("size", "codes", "tilt"),
    [((1.3, 1.3, 4), "LPI", (0, 0, 0)), ((4, 0.8, 0.8), "SAR", (6, -4, 0))],
)
def test_the_error_is_the_same_as_on_the_training_grid(size, codes, tilt, ridge):
    _, (truth,) = pair()
    scans = [
        scan_of(*grid_around((1, 1, 4), "LAS", tilt), slices=2),
        scan_of(*grid_around(size, codes, tilt), slices=int(np.argmax(size))),
    ]
    model = AnyGridIQT(FrozenEstimator(ridge.estimator_), grid=truth)
    inside = np.asarray(truth.dataobj) > 0.1
    errors = nrmse([truth] * 2, model.predict(scans), mask=[inside] * 2, per_volume=True)
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
    baseline = AnyGridIQT(InterpolationIQT(), grid=truth).fit(*pair()).predict(scans[1:])
    assert errors[1] < nrmse([truth], baseline, mask=[inside])


def test_the_slices_of_another_direction_take_the_place_of_those_in_training(ridge):
    scan = scan_of(*grid_around((4, 1, 1), "RAS"))
    with pytest.warns(UserWarning, match=r"X\[0\] may be worse .* thick sagittal slices, but .* a"):
        (result,) = ridge.predict([scan])
    turned = np.asarray(reorient(scan, "SAL").dataobj)  # instead of LAS
    (expected,) = ridge.estimator_.predict([turned])
    np.testing.assert_array_equal(reorient(result, "SAL").dataobj, expected)


@pytest.mark.parametrize(("thickness", "warned"), [(4.2, False), (5, True), (2.5, True)])
def test_slices_are_not_resampled_and_their_thickness_is_reported(thickness, warned, ridge):
    scan = scan_of(*grid_around((1, 1, thickness), "LAS"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (result,) = ridge.predict([scan])
    assert len(caught) == warned
    if warned:
        assert f"slices are {thickness} mm thick, but 4 mm in training" in str(caught[0].message)
    (expected,) = ridge.estimator_.predict([np.asarray(scan.dataobj)])
    np.testing.assert_array_equal(result.dataobj, expected)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 1, 1), "There is nothing to enhance"),
        ((0.5, 0.5, 0.9), "There is nothing to enhance"),
        ((1, 1, 9), "9 mm, more than 2 times thicker .*\\(4 mm\\). Use a model"),
        ((1, 1, 1.9), "1.9 mm, more than 2 times thinner"),
        ((2.5, 1, 4), "Resampling cannot restore such detail"),
    ],
)
def test_scans_that_no_resampling_can_mend_are_refused_before_any_is_read(size, message, ridge):
    good = scan_of(*grid_around((1, 1, 4)))
    unreadable = nibabel.Nifti1Image(np.full(good.shape, np.nan, "f4"), good.affine)
    bad = scan_of(*grid_around(size))
    with pytest.raises(GeometryMismatchError, match=rf"AnyGridIQT: X\[1\] has .*{message}"):
        ridge.predict([unreadable, bad])


def test_a_model_without_thick_slices_resamples_all_axes():
    affine, shape = grid_around((2, 2, 2), extent=40)
    low, high = scan_of(affine, shape), scan_of(scaled_affine(affine, 2), (2 * shape[0],) * 3)
    model = AnyGridIQT(InterpolationIQT(scale=2)).fit([low], [high])
    scan = scan_of(*grid_around((1.85, 2.4, 2.2), "SRA", extent=40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = model.predict([scan])
    np.testing.assert_allclose(voxel_sizes(result.affine), 1)
    for size in ((2, 2, 3), (1, 1, 4)):
        with pytest.raises(GeometryMismatchError, match=r"thick axial .*, but .* no thick slices"):
            model.predict([scan_of(*grid_around(size, extent=40))])


@pytest.mark.parametrize(("size", "warned"), [(0.95, False), (0.7, True), (1.5, False)])
def test_voxels_that_become_longer_are_reported(size, warned, interpolation):
    scan = scan_of(*grid_around((size, size, 4)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        interpolation.predict([scan])
    assert len(caught) == warned
    if warned:
        assert "resampled from 0.7 x 0.7 x 4 mm to 1 x 1 x 4 mm" in str(caught[0].message)


def test_a_result_on_the_grid_of_another_volume(ridge, tmp_path):
    scan = scan_of(*grid_around((1.3, 1.3, 4), "LPI"))
    reference = scan_of(*grid_around((1.1, 1.2, 1.3), "SAR", (3, 4, 5)))
    path = tmp_path / "reference.nii.gz"
    nibabel.save(reference, path)
    results = []
    for grid in (reference, path, str(path), Grid(reference.shape, reference.affine)):
        model = AnyGridIQT(FrozenEstimator(ridge.estimator_), grid=grid)
        (result,) = model.predict([scan])
        assert result.shape == reference.shape
        np.testing.assert_allclose(result.affine, reference.affine, atol=1e-5)
        results.append(np.asarray(result.dataobj))
    np.testing.assert_array_equal(results[0], results[3])
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)


@pytest.mark.parametrize("grid", [(1, 2), 0, -1.0, "nowhere.nii", Grid((4, 4, 4)), [1, 1, np.nan]])
def test_a_wrong_grid_is_refused(grid, ridge):
    model = AnyGridIQT(FrozenEstimator(ridge.estimator_), grid=grid)
    with pytest.raises(ValueError, match=r"AnyGridIQT|no such file"):
        model.predict(pair()[0])


def test_background_stays_zero_on_another_grid(ridge):
    scan = scan_of(*grid_around((1.5, 1.5, 4), "LPI", (4, 2, 1)))
    voxels = np.asarray(scan.dataobj)
    scan = nibabel.Nifti1Image(np.where(voxels > 0.2, voxels, 0), scan.affine)
    for grid in ("model", "scan", 1.0):
        (result,) = AnyGridIQT(FrozenEstimator(ridge.estimator_), grid=grid).predict([scan])
        result = np.asarray(result.dataobj)
        assert (result >= 0).all()
        assert abs((result > 0).mean() - (voxels > 0.2).mean()) < 0.02


def test_arrays_are_passed_on_only_if_the_model_has_learned_from_arrays(ridge):
    (low,), (high,) = pair("LAS")
    arrays = [[np.asarray(image.dataobj)] for image in (low, high)]
    for scans, place in ((arrays[0], 0), ([low, *arrays[0]], 1)):
        with pytest.raises(ValueError, match=rf"X\[{place}\] is an array, which has no voxel size"):
            ridge.predict(scans)
    unknown = clone(ridge).fit(*arrays)
    expected = ridge.estimator_.predict(arrays[0])[0]
    np.testing.assert_array_equal(unknown.predict(arrays[0])[0], expected)
    with pytest.raises(ValueError, match=r"the model was fitted on arrays.*Fit it on images"):
        unknown.predict([low])


def test_rows_are_scored_without_a_mask():
    rows = np.random.default_rng(0).random((20, 27))
    high = np.repeat(rows, 4, axis=1)
    inner = PatchwiseRegressor(patcher=PatchTransformer(3), random_state=0)
    model = AnyGridIQT(inner).fit(rows, high)
    with pytest.raises(ValueError, match="AnyGridIQT: mask and return_std are for volumes"):
        model.score(rows, high, mask="junk")


def test_a_frozen_model_does_not_have_to_be_fitted_again(ridge):
    with pytest.raises(NotFittedError):
        AnyGridIQT(InterpolationIQT()).predict(pair()[0])
    with pytest.raises(NotFittedError):
        AnyGridIQT(FrozenEstimator(InterpolationIQT())).predict(pair()[0])
    frozen = AnyGridIQT(FrozenEstimator(ridge.estimator_))
    again = clone(frozen).fit(*pair())
    for model in (frozen, again):
        (found,), (expected,) = (m.predict(pair("LPI")[0]) for m in (model, ridge))
        np.testing.assert_array_equal(found.dataobj, expected.dataobj)
        assert model.n_features_in_ == 27


def test_it_is_searched_cross_validated_and_scored():
    low, high = (4 * images for images in pair())
    inner = PatchwiseRegressor(
        Ridge(), PatchTransformer(3, 2), max_patches=500, random_state=0, scale=SCALE
    )
    search = GridSearchCV(AnyGridIQT(inner), {"estimator__estimator__alpha": [0.1, 10]}, cv=2)
    search.fit(low, high)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.estimator.estimator.alpha in (0.1, 10)
    assert AnyGridIQT(inner).get_params()["estimator__patcher__stride"] == 2
    direct = cross_val_score(inner, low, high, cv=2)
    np.testing.assert_allclose(cross_val_score(AnyGridIQT(inner), low, high, cv=2), direct)


def test_pipelines_may_be_inside_or_outside():
    low, high = pair()
    inner = PatchwiseRegressor(patcher=PatchTransformer(3, 2), max_patches=500, random_state=0)
    scaler = PercentileScaler(1, output_range=(1, 2))
    (expected,) = make_pipeline(scaler, inner).fit(low, high).predict(low)
    for model in (
        AnyGridIQT(make_pipeline(scaler, inner)),
        make_pipeline(scaler, AnyGridIQT(inner)),
    ):
        (result,) = model.fit(low, high).predict([reorient(low[0], "SPL")])
        np.testing.assert_allclose(reorient(result, "RAS").dataobj, expected.dataobj, rtol=1e-5)


def test_a_mask_reaches_every_step_of_a_pipeline_inside():
    low, high = pair()
    masks = [[nibabel.Nifti1Image((np.asarray(v.dataobj) > t).astype("u1"), v.affine) for v in low]
             for t in (0.1, 0.5)]  # fmt: skip
    inner = PatchwiseRegressor(patcher=PatchTransformer(3, 2), max_patches=500, random_state=0)
    scaled = make_pipeline(PercentileScaler(), inner)
    model = AnyGridIQT(scaled).fit(low, high, mask=masks[0])
    stored, inside = (reorient(image, "SPL") for image in (low[0], masks[1][0]))
    (result,) = model.predict([stored], mask=[inside])
    with_spread, (spread,) = model.predict([stored], mask=[inside], return_std=True)
    np.testing.assert_array_equal(with_spread[0].dataobj, result.dataobj)
    assert np.asarray(spread.dataobj).any()
    (alone,) = PercentileScaler().fit(low, mask=masks[0]).transform(low, mask=masks[1])
    (expected,) = model.estimator_[-1].predict([alone], mask=masks[1])
    np.testing.assert_array_equal(reorient(result, "RAS").dataobj, expected.dataobj)


def test_the_header_is_carried_over(ridge):
    scan = reorient(pair()[0][0], "SPL")
    scan.header["descrip"] = b"0.05 T"
    scan.header.set_dim_info(1, 2, 0)
    scan.set_qform(scan.affine, 1)
    scan.set_sform(scan.affine, 1)
    (result,) = ridge.predict([scan])
    assert result.header["descrip"].item() == b"0.05 T"
    assert result.header.get_dim_info() == (1, 2, 0)
    assert (result.header["qform_code"], result.header["sform_code"]) == (1, 1)
    np.testing.assert_allclose(result.get_qform(), result.affine, atol=1e-4)


# The voxels of thick-slice scans in any direction, which one model learns from and enhances.
THICK = {
    "axial": ((1, 1, 4), "RAS"),
    "sagittal": ((3, 1, 1), "RAS"),
    "coronal, oblique": ((1.2, 5, 1.2), "LPI", (10, -5, 3)),
    "axial, stored first": ((4, 1.5, 1.5), "SRA"),
}


@pytest.fixture(scope="module")
def any_scan():
    lows = [scan_of(*grid_around(*THICK[kind]), slices=axis) for kind, axis in THICK_AXES.items()]
    high = scan_of(*grid_around((1, 1, 1), "RAS", extent=64))
    patcher = PatchTransformer(3, 2)
    ridge = PatchwiseRegressor(Ridge(0.1), scale=1, patcher=patcher, max_patches=4000)
    return AnyGridIQT(ridge, slices="interpolate").fit(lows, [high] * len(lows))


THICK_AXES = {"axial": 2, "sagittal": 0, "coronal, oblique": 1, "axial, stored first": 0}


@pytest.mark.parametrize("kind", THICK)
def test_one_model_enhances_slices_of_any_direction(kind, any_scan):
    affine, shape = grid_around(*THICK[kind], off=(1, 0.5, 0))
    scan = scan_of(affine, shape, slices=THICK_AXES[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = any_scan.predict([scan])
    assert nibabel.aff2axcodes(result.affine) == nibabel.aff2axcodes(scan.affine)
    np.testing.assert_allclose(voxel_sizes(result.affine), 1, rtol=0.05)
    truth = scan_of(result.affine, result.shape)
    inside = np.asarray(truth.dataobj) > 0.05
    interpolated = AnyGridIQT(InterpolationIQT(scale=1), slices="interpolate")
    interpolated.fit([scan], [truth])
    (baseline,) = interpolated.predict([scan])
    assert nrmse(truth, result, mask=inside) < 0.9 * nrmse(truth, baseline, mask=inside)


def test_interpolated_models_know_the_slices_they_learned_from(any_scan):
    np.testing.assert_allclose(any_scan.voxel_range_, [[1, 3], [1.5, 5]])
    thicker = scan_of(*grid_around((1, 1, 7)))
    with pytest.warns(UserWarning, match=r"7 mm long along the slices, but 3 to 5 mm in training"):
        any_scan.predict([thicker])
    with pytest.raises(GeometryMismatchError, match=r"more than 2 times as long as .*\(3 to 5 mm"):
        any_scan.predict([scan_of(*grid_around((1, 1, 11)))])
    with pytest.raises(GeometryMismatchError, match="There is nothing to enhance"):
        any_scan.predict([scan_of(*grid_around((1, 1, 1)))])


def test_partial_fit_continues_on_pairs_of_another_grid(any_scan):
    net = pytest.importorskip("sklearn_iqt.deep").AnisoUNetRegressor(
        2, 2, scale=1, max_steps=2, max_patches=8, random_state=0
    )
    high = scan_of(*grid_around((1, 1, 1)))
    model = AnyGridIQT(net, slices="interpolate")
    model.partial_fit([scan_of(*grid_around((1, 1, 4)))], [high])
    weights = model.estimator_.net_.arrays()["head.weight"].copy()
    finer = scan_of(*grid_around((0.8, 0.8, 0.8), "LPI"))
    model.partial_fit([scan_of(*grid_around((1, 6, 1)))], [finer])
    assert not np.array_equal(model.estimator_.net_.arrays()["head.weight"], weights)
    np.testing.assert_allclose(model.estimator_.spacing_, 1)
    np.testing.assert_allclose(model.voxel_range_, [[1, 4], [1, 6]])
    assert not hasattr(any_scan, "partial_fit")


def test_pairs_are_checked_before_slices_are_interpolated():
    low, high = scan_of(*grid_around((1, 1, 4))), scan_of(*grid_around((1, 1, 1)))
    model = AnyGridIQT(PatchwiseRegressor(scale=1), slices="interpolate")
    with pytest.raises(ValueError, match=r"got 2 in X, 1 in y"):
        model.fit([low, low], [high])
    with pytest.raises(ValueError, match=r"y\[0\] is an array, which has no voxel size"):
        model.fit([low], [np.asarray(high.dataobj)])
