"""Models are the same after saving and loading."""

import os
import warnings

import numpy as np
import pytest
from instances import name, scalers
from nibabel import Nifti1Image
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_iqt import (
    AnyGridIQT,
    CoupledDictionaryIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
    SelfSupervisedIQT,
)
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.io import scaled_affine
from sklearn_iqt.persistence import (
    TrainingCard,
    load_model,
    read_model_card,
    register_class,
    save_model,
)
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler, TissueScaler

PATCHER = PatchTransformer(patch_size=(3, 4, 5), stride=(2, 2, 3), window="hann")

MODELS = {
    "srep": CoupledDictionaryIQT(12, 0.02, patcher=PATCHER, max_iter=2, random_state=0),
    "srep_sklearn": CoupledDictionaryIQT(
        8,
        patcher=PATCHER,
        dictionary_learner=MiniBatchDictionaryLearning(max_iter=5, random_state=np.int64(1)),
        solver="omp",
        n_components=None,
        target="mean_removed",
        scale=np.array([1, 1, 4]),
        random_state=0,
    ),
    "interpolation": InterpolationIQT(order=1, scale=[1, 1, 4], alignment="corner"),
    "ridge": PatchwiseRegressor(Ridge(alpha=0.5), PatchTransformer(3), random_state=0),
    "linear": PatchwiseRegressor(LinearRegression(), PatchTransformer(3), random_state=0),
    "default": PatchwiseRegressor(random_state=0),
    "self_supervised": SelfSupervisedIQT(thickness=3.5, sharp_axes=["i"], random_state=0),
}

SCALED = {
    "tissues": TissueScaler(2000),
    "percentiles": PercentileScaler(5, output_range=(1, 2)),
    "landmarks": NyulScaler((1, 50, 99), output_range=(1, 3)),
    **{name(scaler): scaler for scaler in scalers()},
    "passthrough": "passthrough",
}


@pytest.fixture(scope="module")
def pairs():
    high = np.random.default_rng(0).random((2, 10, 12, 16), dtype=np.float32) + 0.5
    return high.reshape(2, 10, 12, 4, 4).mean(axis=-1), high


@pytest.fixture
def ridge(pairs):
    return PatchwiseRegressor(Ridge(), PatchTransformer(3), random_state=0).fit(*pairs)


def test_names_of_columns_are_kept(tmp_path):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    patcher = PatchTransformer((3, 3, 1))
    names = [f"voxel {n}" for n in range(9)]
    rows = pandas.DataFrame(rng.random((30, 9)), columns=names)
    model = PatchwiseRegressor(Ridge(), patcher, random_state=0).fit(rows, rng.random((30, 36)))
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    assert loaded.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_predicts_the_same_bits(name, pairs, tmp_path):
    low, high = pairs
    model = MODELS[name].fit(low, high)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))

    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(low), model.predict(low))
    ours, theirs = (m.predict(list(low), return_std=True) for m in (loaded, model))
    np.testing.assert_array_equal(np.stack(ours[0]), np.stack(theirs[0]))
    np.testing.assert_array_equal(np.stack(ours[1]), np.stack(theirs[1]))
    for dtype in (np.float32, np.float64):
        rows = np.random.default_rng(1).random((7, model.n_features_in_)).astype(dtype)
        np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))
        assert loaded.predict(rows).dtype == model.predict(rows).dtype


@pytest.mark.parametrize("scaler", SCALED)
def test_a_loaded_pipeline_predicts_the_same_bits(scaler, pairs, tmp_path):
    low, high = pairs
    step = SCALED[scaler] if scaler == "passthrough" else clone(SCALED[scaler])
    model = Pipeline([("scale", step), ("ridge", PatchwiseRegressor(random_state=0))])
    model.fit(low, high)
    loaded = load_model(save_model(model, tmp_path / "model.iqt", training=TrainingCard(n_pairs=2)))
    np.testing.assert_array_equal(loaded.predict(low), model.predict(low))
    assert repr(loaded) == repr(model)
    card = read_model_card(tmp_path / "model.iqt")
    assert card.class_name == "Pipeline"
    assert [name for name, _ in card.params["steps"]] == ["scale", "ridge"]


def test_pipelines_without_scalers_of_volumes_and_a_model_are_refused(pairs, tmp_path):
    low, high = pairs
    ridge, scaler = PatchwiseRegressor(random_state=0), TissueScaler()
    refused = [
        make_pipeline(StandardScaler(), ridge).fit(low.reshape(2, -1), [0, 1]),
        make_pipeline(TissueScaler()).fit(low),
    ]
    for model in refused:
        with pytest.raises(TypeError, match="cannot be stored"):
            save_model(model, tmp_path / "model.iqt")
    with pytest.raises(NotFittedError, match="TissueScaler"):
        save_model(make_pipeline(scaler, ridge.fit(low, high)), tmp_path / "model.iqt")
    assert not list(tmp_path.iterdir())


def test_folders_are_not_stored(pairs, tmp_path):
    cache = tmp_path / "cache"
    srep = CoupledDictionaryIQT(6, memory=str(cache), patcher=PATCHER, max_iter=1, random_state=0)
    model = Pipeline([("scale", TissueScaler()), ("srep", srep)], memory=str(cache)).fit(*pairs)
    path = save_model(model, tmp_path / "model.iqt")
    assert str(tmp_path) not in path.read_bytes().decode("latin-1")
    loaded = load_model(path)
    assert loaded.memory is None
    assert loaded[-1].memory is None


def test_a_loaded_model_has_the_same_parameters(pairs, tmp_path):
    model = MODELS["srep_sklearn"].fit(*pairs)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    expected, params = model.get_params(), loaded.get_params()
    assert params.keys() == expected.keys()
    assert params["patcher__patch_size"] == (3, 4, 5)
    assert params["patcher__window"] == "hann"
    assert params["dictionary_learner__max_iter"] == 5
    np.testing.assert_array_equal(params["scale"], expected["scale"])
    # Fitting it again gives the same model.
    again = loaded.fit(*pairs)
    np.testing.assert_array_equal(again.predict(pairs[0]), model.predict(pairs[0]))


@pytest.mark.parametrize("n_outputs", [0, 1, 3])
def test_models_of_rows_that_are_not_patches_can_be_loaded(n_outputs, rng, tmp_path):
    X = rng.random((40, 6))
    y = rng.random((40, n_outputs)) if n_outputs else rng.random(40)
    for model in (PatchwiseRegressor(random_state=0), CoupledDictionaryIQT(5, random_state=0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        loaded = load_model(save_model(model, tmp_path / "model.iqt", overwrite=True))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert loaded.predict(X).shape == y.shape


def test_loaded_arrays_are_writable(pairs, tmp_path):
    model = MODELS["srep"].fit(*pairs)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    for array in ("dictionary_low_", "dictionary_high_", "projection_"):
        assert getattr(loaded, array).flags.writeable
        assert getattr(loaded, array).dtype == getattr(model, array).dtype


def test_the_card_describes_the_model(pairs, tmp_path):
    training = TrainingCard(
        scale=(1, 1, 4),
        spacing_low_mm=np.array([1.0, 1.0, 4.0]),
        snr_wm=(np.float32(3.5), 90),
        snr_presets="t1w_036t",
        scores={"PSNR (dB)": np.float32(30.5)},
        notes={"reader": None, "ages": np.array([20, 80]), "nested": {"a": (1, 2)}},
    )
    path = save_model(MODELS["srep"].fit(*pairs), tmp_path / "model.iqt", training=training)
    card = read_model_card(path)
    assert card.class_name == "CoupledDictionaryIQT"
    assert card.params["n_atoms"] == 12
    assert card.params["scale"] == (1, 1, 4)
    assert card.params["patcher"]["params"]["patch_size"] == (3, 4, 5)
    assert card.training == training
    assert card.training.spacing_low_mm == (1.0, 1.0, 4.0)
    assert card.training.notes == {"reader": None, "ages": [20, 80], "nested": {"a": [1, 2]}}
    assert card.training.cohort is None
    assert card.arrays["dictionary_high_"] == ("F32", [12, 60])
    assert card.version
    assert card.format == 4


def test_subclasses_and_other_classes_are_refused(ridge, pairs, tmp_path):
    class PatchwiseRegressorPlus(PatchwiseRegressor):
        pass

    imposter = type("Ridge", (Ridge,), {})
    for model in (
        PatchwiseRegressorPlus().fit(*pairs),
        Ridge().fit(np.eye(3), np.eye(3)),
        PatchwiseRegressor(imposter()).fit(*pairs),
        "a string",
    ):
        with pytest.raises(TypeError, match="cannot be stored"):
            save_model(model, tmp_path / "model.iqt")


def test_an_unfitted_model_is_refused(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(PatchwiseRegressor(), tmp_path / "model.iqt")


def test_a_random_state_instance_becomes_none_with_a_warning(pairs, tmp_path):
    model = PatchwiseRegressor(random_state=np.random.RandomState(0)).fit(*pairs)
    with pytest.warns(UserWarning, match="random_state is a RandomState"):
        path = save_model(model, tmp_path / "model.iqt")
    assert load_model(path).random_state is None


def test_weights_that_are_not_finite_are_refused(ridge, tmp_path):
    ridge.estimator_.coef_[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"estimator_\.coef_ holds NaN"):
        save_model(ridge, tmp_path / "model.iqt")


@pytest.mark.parametrize("training", [{"scale": (1, 1, 4)}, [1, 2], "t1w_036t"])
def test_training_must_be_a_card(training, ridge, tmp_path):
    with pytest.raises(TypeError, match=r"must be a TrainingCard or None.*notes"):
        save_model(ridge, tmp_path / "model.iqt", training=training)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused(ridge, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.iqt'"):
        save_model(ridge, tmp_path / "model.pkl")


def test_a_failed_write_leaves_an_existing_file_unchanged(ridge, tmp_path, monkeypatch):
    path = save_model(ridge, tmp_path / "model.iqt")
    before = path.read_bytes()

    def no_space(*_):
        raise OSError("no space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, no_space)
            with pytest.raises(OSError, match="no space"):
                save_model(ridge, path, training=TrainingCard(seed=1), overwrite=True)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["model.iqt"]


def test_the_same_model_gives_the_same_bytes(ridge, tmp_path):
    first = save_model(ridge, tmp_path / "a.iqt").read_bytes()
    assert save_model(ridge, tmp_path / "b.iqt").read_bytes() == first


def test_links_are_followed(ridge, pairs, tmp_path):
    path = save_model(ridge, tmp_path / "model.iqt")
    link = tmp_path / "link.iqt"
    link.symlink_to(path)
    save_model(ridge, link, training=TrainingCard(cohort="through a link"), overwrite=True)
    assert link.is_symlink()
    assert read_model_card(path).training == TrainingCard(cohort="through a link")
    np.testing.assert_array_equal(load_model(link).predict(pairs[0]), ridge.predict(pairs[0]))


def test_a_missing_file_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "model.iqt")


class Net(InterpolationIQT):
    """An estimator whose fitted state is an object, as in a net."""

    _restored_attributes = ("net_",)

    def _fit_cohort(self, cohort):
        self.losses_ = [0.5, 0.25]
        self.net_ = {"bias": np.full(3, 7.0)}
        super()._fit_cohort(cohort)

    def _fitted_arrays(self):
        return {"layers.0.bias": self.net_["bias"]}

    def _restore_fitted_arrays(self, arrays):
        if arrays["layers.0.bias"].shape != (3,):
            raise ValueError("the bias must have 3 numbers")
        self.net_ = {"bias": arrays["layers.0.bias"]}


def test_an_estimator_may_define_named_arrays(pairs, tmp_path):
    register_class(Net)
    model = Net().fit(*pairs)
    path = save_model(model, tmp_path / "model.iqt")
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded.net_["bias"], model.net_["bias"])
    assert loaded.losses_ == [0.5, 0.25]
    arrays = read_model_card(path).arrays
    assert arrays == {"arrays/layers.0.bias": ("F64", [3]), "target_gains_": ("F64", [0])}


@pytest.mark.parametrize("grid", ["scan", 1.5, (1.0, 1.0, 2.0)])
@pytest.mark.parametrize("kind", ["fitted", "frozen", "pipeline inside", "pipeline outside"])
def test_a_model_for_any_grid_is_stored(kind, grid, pairs, tmp_path):
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    low = [Nifti1Image(volume, affine) for volume in pairs[0]]
    high = [Nifti1Image(volume, scaled_affine(affine, (1, 1, 4))) for volume in pairs[1]]
    ridge = PatchwiseRegressor(Ridge(), PatchTransformer(3), random_state=0)
    if kind == "frozen":
        model = AnyGridIQT(FrozenEstimator(clone(ridge).fit(low, high)), grid=grid)
    elif kind == "pipeline outside":
        model = make_pipeline(PercentileScaler(), AnyGridIQT(ridge, grid=grid)).fit(low, high)
    else:
        inner = make_pipeline(PercentileScaler(), ridge) if kind == "pipeline inside" else ridge
        model = AnyGridIQT(inner, grid=grid, order=1).fit(low, high)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    scan = [Nifti1Image(pairs[0][0].swapaxes(1, 2), np.diag([1.3, 4.0, 1.3, 1.0]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (ours,), (theirs,) = loaded.predict(scan), model.predict(scan)
    np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert repr(loaded) == repr(model)


def test_a_model_whose_grid_is_a_file_is_not_stored(ridge, tmp_path):
    model = AnyGridIQT(FrozenEstimator(ridge), grid="other.nii")
    with pytest.raises(TypeError, match="the grid of AnyGridIQT is a volume"):
        save_model(model, tmp_path / "model.iqt")
    with pytest.raises(NotFittedError):
        save_model(AnyGridIQT(PatchwiseRegressor()), tmp_path / "model.iqt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("voxel_range_", np.ones((2, 3)), "voxel_range_ is not two rows"),
        ("voxel_range_", np.array([[1.0, 5.0], [1.0, 4.0]]), "voxel_range_ is not two rows"),
        ("slices", "other", "slices"),
    ],
)
def test_a_model_that_interpolates_slices_is_stored_and_checked(
    attribute, value, message, ridge, tmp_path
):
    rng = np.random.default_rng(0)
    low = Nifti1Image(rng.random((8, 8, 3), np.float32) + 1, np.diag([1.0, 1.0, 4.0, 1.0]))
    high = Nifti1Image(rng.random((8, 8, 10), np.float32) + 1, np.eye(4))
    inner = PatchwiseRegressor(Ridge(), PatchTransformer(3), scale=1, random_state=0)
    model = AnyGridIQT(inner, slices="interpolate").fit([low], [high])
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    np.testing.assert_array_equal(loaded.voxel_range_, model.voxel_range_)
    (ours,), (theirs,) = loaded.predict([low]), model.predict([low])
    np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
    setattr(model, attribute, value)
    with pytest.raises(UntrustedModelError, match=message):
        load_model(save_model(model, tmp_path / "changed.iqt"))


def test_half_precision_halves_a_net_and_hardly_changes_it(pairs, tmp_path):
    net = pytest.importorskip("sklearn_iqt.deep").AnisoUNetRegressor(
        4, 3, max_steps=2, max_patches=8, random_state=0
    )
    net.fit(*pairs)
    whole = save_model(net, tmp_path / "whole.iqt")
    half = save_model(net, tmp_path / "half.iqt", half_precision=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    ours, theirs = load_model(half).predict(pairs[0]), load_model(whole).predict(pairs[0])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3 * np.abs(theirs).max())
    assert load_model(half).net_.arrays()["head.weight"].dtype == np.float32
