"""Every estimator keeps the contract of scikit-learn, on rows and on volumes."""

import copy
import pickle
import warnings

import nibabel as nib
import numpy as np
import pytest
import sklearn
from instances import RAGGED, SMALL, make_pairs, name, regressors, scalers
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import check_estimator

from sklearn_iqt import (
    ContrastMatchingIQT,
    CoupledDictionaryIQT,
    InterpolationIQT,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
    SelfSupervisedIQT,
)
from sklearn_iqt.exceptions import GeometryMismatchError, PatchGeometryWarning
from sklearn_iqt.io import Grid
from sklearn_iqt.metrics import neg_nrmse_scorer, psnr_scorer, ssim_scorer
from sklearn_iqt.preprocessing import resample_to, upsample

ESTIMATORS = regressors()
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=map(name, ESTIMATORS))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [
        *ESTIMATORS,
        CoupledDictionaryIQT(),
        PatchTransformer(),
        *scalers(),
        LowFieldSimulator(),
    ],
    ids=lambda e: f"{name(e)}",
)
def test_check_estimator(estimator):
    results = check_estimator(clone(estimator), on_skip=None)
    assert not [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]


@every_estimator
@pytest.mark.parametrize("container", ["stack", "list", "objects", "images", "paths"])
def test_predictions_have_the_same_container_as_the_input(estimator, container, tmp_path, fit_once):
    shapes = [(12, 13, 4)] * 3
    low, high = make_pairs(shapes)
    affine = np.diag([-1.0, 1.0, 4.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    fitted = fit_once(estimator, shapes)
    expected = fitted.predict(np.stack(low))
    assert expected.shape == (3, 12, 13, 16)
    assert expected.dtype == np.float32
    given = low
    if container == "stack":
        given = np.stack(low)
    elif container == "objects":
        given = np.empty(3, dtype=object)
        given[:] = low
    elif container in ("images", "paths"):
        given = [nib.Nifti1Image(volume, affine) for volume in low]
    if container == "paths":
        for n, image in enumerate(given):
            nib.save(image, tmp_path / f"{n}.nii.gz")
        given = [tmp_path / f"{n}.nii.gz" for n in range(3)]
    out = fitted.predict(given)
    if container in ("images", "paths"):
        assert out.dtype == object
        for image in out:
            # The first high voxel sits 1.5 voxels of 1 mm before the centre of the first low one.
            np.testing.assert_allclose(image.affine[:3, 3], [10, -20, 28.5])
            np.testing.assert_allclose(image.header.get_zooms(), 1)
        out = [np.asarray(image.dataobj) for image in out]
    for volume, reference in zip(out, expected, strict=True):
        np.testing.assert_array_equal(volume, reference)
    refit = clone(estimator).fit(given, high).predict(low)
    for volume, reference in zip(refit, expected, strict=True):
        np.testing.assert_array_equal(volume, reference)


@every_estimator
def test_a_gain_of_the_input_is_a_gain_of_the_output(estimator, fit_once):
    low, _ = make_pairs(RAGGED)
    once, thrice = fit_once(estimator).predict([low[3], 3 * low[3]])
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-4, atol=1e-2)


@every_estimator
def test_the_same_seed_gives_the_same_bits_and_inputs_are_not_changed(estimator):
    low, high = make_pairs(RAGGED)
    for volume in (*low, *high):
        volume.flags.writeable = False
    first = clone(estimator).fit(low, high).predict(low)
    second = clone(estimator).fit(low, high).predict(low)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@every_estimator
def test_a_pickled_estimator_predicts_the_same(estimator, fit_once):
    low, _ = make_pairs(RAGGED)
    fitted = fit_once(estimator)
    restored = pickle.loads(pickle.dumps(fitted))
    for a, b in zip(fitted.predict(low), restored.predict(low), strict=True):
        np.testing.assert_array_equal(a, b)
    assert repr(clone(fitted).get_params()) == repr(estimator.get_params())


@every_estimator
def test_score_is_the_mean_over_volumes(estimator, fit_once):
    low, high = make_pairs(RAGGED)
    fitted = fit_once(estimator)
    prediction = fitted.predict(low)
    expected = [r2_score(t.ravel(), p.ravel()) for t, p in zip(high, prediction, strict=True)]
    assert fitted.score(low, high) == pytest.approx(np.mean(expected))
    weights = [0, 1, 0, 0]
    assert fitted.score(low, high, sample_weight=weights) == pytest.approx(expected[1])


@every_estimator
def test_the_standard_deviation_has_the_unit_of_the_prediction(estimator, fit_once):
    low, _ = make_pairs(RAGGED)
    fitted = fit_once(estimator)
    mean, std = fitted.predict(low, return_std=True)
    _, thrice = fitted.predict([3 * volume for volume in low], return_std=True)
    for scan, a, b, spread, scaled in zip(low, fitted.predict(low), mean, std, thrice, strict=True):
        np.testing.assert_array_equal(a, b)
        assert spread.shape == b.shape
        assert spread.dtype == np.float32
        inside = (scan > scan.mean()).repeat(4, axis=-1)
        assert (spread[inside] > 0).all()
        np.testing.assert_allclose(scaled, 3 * spread, rtol=1e-3, atol=2e-2)


@every_estimator
def test_the_standard_deviation_grows_with_the_noise_of_the_scan(estimator, fit_once):
    low, _ = make_pairs([(24, 24, 8)])
    noise = np.random.default_rng(1).normal(size=low[0].shape)
    fitted = fit_once(estimator)
    quiet, loud = (
        fitted.predict([np.maximum(low[0] + level * noise, 0)], return_std=True)[1][0].mean()
        for level in (5, 30)
    )
    assert loud > 1.5 * quiet


@every_estimator
def test_background_stays_zero(estimator, fit_once):
    low, _ = make_pairs(RAGGED)
    for volume in low:
        volume[..., 0] = 0
    fitted = fit_once(estimator)
    background = [(volume == 0).repeat(4, axis=-1) for volume in low]
    plain = copy.copy(fitted).set_params(keep_zeros=False).predict(low)
    results = [fitted.predict(low), *fitted.predict(low, return_std=True)]
    for kept in results:
        for volume, outside in zip(kept, background, strict=True):
            assert not volume[outside].any()
            assert (volume >= 0).all()
    for volume, before, outside in zip(results[0], plain, background, strict=True):
        np.testing.assert_array_equal(volume[~outside], np.maximum(before[~outside], 0))
    assert any((v < 0).any() or v[o].any() for v, o in zip(plain, background, strict=True))
    # In a scan with negative voxels, zero is an intensity like others.
    shifted = copy.copy(fitted).predict([np.where(low[0] > 0, low[0], -5)])[0]
    assert (shifted < 0).any()


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("scale", [(1, 1, 4), (2, 2, 3), 1])
def test_background_ends_halfway_between_voxels(alignment, scale, rng):
    """As where a volume is resampled, so that both ways to enlarge a scan give the same brain."""
    low = np.pad(rng.random((6, 6, 6)) + 1, 3)
    model = InterpolationIQT(scale=scale, alignment=alignment).fit([low])
    (enhanced,) = model.predict([low])
    target = Grid(low.shape, np.eye(4)).scaled(scale, alignment)
    resampled = resample_to((low, np.eye(4)), (target.shape, target.affine)).get_fdata()
    inside = tuple(slice(f, -f) for f in np.ones(3, int) * scale)  # corners reach beyond the scan
    np.testing.assert_array_equal(enhanced[inside] > 0, resampled[inside] > 0)


@every_estimator
def test_estimators_are_cross_validated_by_subject(estimator):
    low, high = make_pairs(RAGGED)
    groups = ["a", "b", "b", "c"]
    scoring = {"nrmse": neg_nrmse_scorer, "psnr": psnr_scorer}
    result = cross_validate(estimator, low, high, groups=groups, cv=GroupKFold(3), scoring=scoring)
    assert np.isfinite(result["test_nrmse"]).all()
    assert (result["test_nrmse"] < 0).all()
    assert np.isfinite(result["test_psnr"]).all()
    predictions = cross_val_predict(estimator, low, high, cv=2)
    assert [p.shape for p in predictions] == [h.shape for h in high]


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        out = np.empty(len(X), dtype=object)
        out[:] = [2 * volume for volume in X]
        return out


@pytest.mark.processes
def test_a_method_and_its_patches_are_searched_inside_a_pipeline():
    low, high = make_pairs([*RAGGED, (12, 12, 4), (12, 13, 4)])
    groups = [0, 0, 1, 1, 2, 2]
    pipeline = Pipeline(
        [
            ("double", Doubler()),
            ("iqt", CoupledDictionaryIQT(8, patcher=SMALL, max_patches=200, random_state=0)),
        ]
    )
    grid = {
        "iqt__alpha": [0.01, 0.1],
        "iqt__n_atoms": [4, 8],
        "iqt__patcher__patch_size": [3, 5],
    }
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(3), scoring=neg_nrmse_scorer, n_jobs=2)
    search.fit(low, high, groups=groups)
    assert len(search.cv_results_["params"]) == 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_["iqt"].patcher_.patch_size_[0] in (3, 5)
    assert SMALL.patch_size == 5
    assert search.predict(low)[0].shape == high[0].shape


@every_estimator
def test_parameters_of_the_default_patcher_can_be_set_by_name(estimator):
    if "patcher" not in estimator.get_params():
        assert not any(name.startswith("patcher__") for name in estimator.get_params())
        return
    default = clone(estimator).set_params(patcher=None)
    found = default.set_params(patcher__patch_size=3, patcher__stride=1)
    assert (found.patcher.patch_size, found.patcher.stride) == (3, 1)
    assert clone(estimator).set_params(patcher=None).patcher is None


@every_estimator
def test_a_nested_patcher_lists_only_what_the_estimator_uses(estimator):
    params = clone(estimator).get_params()
    nested = {name.removeprefix("patcher__") for name in params if name.startswith("patcher__")}
    assert nested <= {"patch_size", "stride", "window", "background"}


def test_a_learning_curve_uses_the_default_score_and_ssim():
    low, high = make_pairs([(16, 16, 4)] * 4)
    for scoring in (None, ssim_scorer):
        sizes, _, scores = learning_curve(
            PatchwiseRegressor(max_patches=200, random_state=0),
            low,
            high,
            cv=2,
            train_sizes=[1, 2],
            scoring=scoring,
        )
        assert list(sizes) == [1, 2]
        assert np.isfinite(scores).all()


@every_estimator
def test_masks_are_routed_per_volume(estimator):
    low, high = make_pairs([(12, 13, 4)] * 4)
    masks = [volume >= volume.mean() for volume in low]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(estimator).set_fit_request(mask=True)
        result = cross_validate(
            routed, low, high, cv=2, params={"mask": masks}, error_score="raise"
        )
    assert np.isfinite(result["test_score"]).all()


def test_patches_outside_the_mask_are_interpolated():
    low, high = make_pairs(RAGGED)
    mask = np.zeros(low[0].shape, bool)
    mask[:6] = True
    fitted = PatchwiseRegressor(max_patches=200, random_state=0).fit(low, high)
    enhanced = fitted.predict(low[:1], mask=[mask])[0]
    interpolated = InterpolationIQT().fit(low, high).predict(low[:1])[0]
    np.testing.assert_allclose(enhanced[-2:], interpolated[-2:], rtol=1e-5)
    assert np.abs(enhanced[:6] - interpolated[:6]).max() > 1


@every_estimator
@pytest.mark.parametrize("shape", [(3, 3, 1), (1, 12, 4), (9, 2, 3)])
def test_volumes_may_be_smaller_than_a_patch(estimator, shape, fit_once):
    if isinstance(estimator, (ContrastMatchingIQT, SelfSupervisedIQT)):
        pytest.skip("there is nothing to match or to learn in a few voxels")
    fitted = fit_once(estimator)
    tiny = 100 + np.random.default_rng(0).random(shape)
    (out,) = fitted.predict([tiny])
    assert out.shape == (*shape[:2], 4 * shape[2])
    assert np.isfinite(out).all()


@every_estimator
@pytest.mark.parametrize(
    "variant",
    [
        lambda v: v.astype(np.uint8),
        lambda v: v.astype(np.int16),
        lambda v: np.asfortranarray(v),
        lambda v: v.astype(">f4"),
        lambda v: v.astype(np.float64),
        lambda v: v.astype(np.float16),
    ],
)
def test_dtypes_and_memory_layouts_do_not_change_predictions(
    estimator, variant, tmp_path, fit_once
):
    low, high = make_pairs(RAGGED[:1])
    low = [np.round(volume) for volume in low]
    fitted = fit_once(estimator)
    np.testing.assert_allclose(
        fitted.predict([variant(low[0])])[0], fitted.predict([low[0]])[0], rtol=2e-3, atol=0.05
    )
    path = tmp_path / "volume.npy"
    np.save(path, variant(low[0]))
    mapped = np.load(path, mmap_mode="r")
    assert fitted.predict([mapped])[0].shape == high[0].shape


@every_estimator
def test_column_names_come_from_the_last_fit(estimator, fit_once):
    pd = pytest.importorskip("pandas")
    low, high = make_pairs(RAGGED)
    estimator = clone(estimator)
    patcher = fit_once(estimator).patcher_
    grid = patcher.grid(patcher.patch_size_)
    rng = np.random.default_rng(0)
    rows, targets = (rng.random((20, n)) for n in (grid.n_voxels, grid.high.n_voxels))
    frame = pd.DataFrame(rows, columns=patcher.get_feature_names_out())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PatchGeometryWarning)
        estimator.fit(frame, targets)
        assert list(estimator.feature_names_in_) == list(frame.columns)
        assert not hasattr(estimator.fit(rows, targets), "feature_names_in_")
        estimator.fit(frame, targets)
    assert not hasattr(estimator.fit(low, high), "feature_names_in_")
    assert estimator.predict(low[:1])[0].shape == high[0].shape


@every_estimator
def test_constant_volumes_stay_constant_and_empty_ones_are_refused(estimator, fit_once):
    low, high = make_pairs(RAGGED)
    fitted = fit_once(estimator)
    if isinstance(estimator, ContrastMatchingIQT):
        with pytest.raises(ValueError, match="it is constant"):
            fitted.predict([np.full((8, 8, 4), 7.0)])
    elif isinstance(estimator, InterpolationIQT):
        np.testing.assert_allclose(fitted.predict([np.full((8, 8, 4), 7.0)])[0], 7, rtol=1e-5)
    else:
        with pytest.raises(ValueError, match="no positive intensity"):
            fitted.predict([np.zeros((8, 8, 4))])
        if isinstance(estimator, CoupledDictionaryIQT):
            # Differences see nothing in a constant volume.
            fitted = clone(estimator).set_params(features="gradient").fit(low, high)
            np.testing.assert_allclose(fitted.predict([np.full((8, 8, 4), 7.0)])[0], 7, rtol=1e-5)


@every_estimator
def test_mismatches_are_named_in_the_error(estimator):
    low, high = make_pairs(RAGGED)
    estimator = clone(estimator)
    title = type(estimator).__name__
    with pytest.raises(ValueError, match=f"{title}.*Wrap it in a list"):
        estimator.fit(low[0], high[0])
    with pytest.raises(ValueError, match="4 volumes but y holds 3"):
        estimator.fit(low, high[:3])
    with pytest.raises(GeometryMismatchError, match=r"y\[1\] has shape .* scale \(1, 1, 4\)"):
        estimator.fit(low, [high[0], high[1][..., :-1], *high[2:]])
    bad = [low[0], low[1].copy(), *low[2:]]
    bad[1][3, 3, 1] = np.nan
    with pytest.raises(ValueError, match=r"X\[1\]: 1 of \d+ voxels are NaN"):
        estimator.fit(bad, high)
    if estimator._volume_tags.needs_target:
        with pytest.raises(ValueError, match="requires y to be passed"):
            estimator.fit(low, None)
    with pytest.raises(ValueError, match="5 dimensions"):
        estimator.fit(np.zeros((1, 2, 3, 4, 5)), high)
    estimator.fit(low, high)
    with pytest.raises(GeometryMismatchError, match=r"mask\[0\] has shape"):
        estimator.predict(low[:1], mask=[np.ones((3, 3, 3), bool)])
    with pytest.raises(ValueError, match="scale must be"):
        estimator.set_params(scale=(1, 4)).fit(low, high)


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("scale", [(1, 1, 4), (2, 1, 3), (2, 2, 2), 1])
def test_a_ramp_is_not_shifted(alignment, scale):
    """The intensities are coordinates, so that a shift by half a voxel is visible."""
    factor = np.ones(3, int) * scale
    shape = factor * 12
    ramp = sum(np.meshgrid(*(np.arange(n) + 50.0 for n in shape), indexing="ij"))
    start = (factor - 1) / 2 if alignment == "center" else np.zeros(3)
    low = sum(
        np.meshgrid(
            *(s + f * np.arange(12) + 50.0 for s, f in zip(start, factor, strict=True)),
            indexing="ij",
        )
    )
    estimator = InterpolationIQT(1, scale=scale, alignment=alignment)
    (out,) = estimator.fit([low], [ramp]).predict([low])
    inner = tuple(slice(f, -f) for f in factor)
    np.testing.assert_allclose(out[inner], ramp[inner], rtol=1e-5)


def test_rows_that_do_not_hold_patches_give_a_warning(rng):
    with pytest.warns(PatchGeometryWarning, match="not patches of"):
        fitted = CoupledDictionaryIQT(8).fit(rng.random((30, 4)), rng.random(30))
    with pytest.raises(ValueError, match="cannot enhance volumes"):
        fitted.predict(rng.random((1, 8, 8, 8)))
    with pytest.raises(ValueError, match="are for volumes"):
        fitted.predict(rng.random((30, 4)), return_std=True)


def test_fewer_patches_than_volumes_are_refused():
    low, high = make_pairs(RAGGED)
    with pytest.raises(ValueError, match="max_patches=3 leaves some of the 4 volumes"):
        PatchwiseRegressor(max_patches=3).fit(low, high)


def test_an_array_of_paths_is_a_collection(tmp_path):
    low, high = make_pairs([(12, 13, 4)] * 2)
    paths = []
    for n, volume in enumerate(low):
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / f"{n}.nii")
        paths.append(str(tmp_path / f"{n}.nii"))
    fitted = InterpolationIQT().fit(np.array(paths), high)
    assert [image.shape for image in fitted.predict(np.array(paths))] == [(12, 13, 16)] * 2


def test_a_mistyped_alignment_is_refused():
    with pytest.raises(ValueError, match="alignment"):
        upsample(np.zeros((4, 4, 4)), (1, 1, 2), alignment="centre")


def test_volumes_without_patches_of_foreground_are_refused():
    low, high = make_pairs(RAGGED)
    masks = [np.zeros(volume.shape) for volume in low]
    for mask in masks:
        mask[5, 5, 2] = 1
    with pytest.raises(ValueError, match="every patch of every volume"):
        CoupledDictionaryIQT().fit(low, high, mask=masks)
