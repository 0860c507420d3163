"""Models whose parameters changed after fit are not saved, and no file is replaced silently."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.persistence import load_model, save_model
from sklearn_iqt.preprocessing import NyulScaler, PercentileScaler

SCALE = (1, 1, 2)
HIGH = np.random.default_rng(0).uniform(1, 2, (2, 8, 8, 16))
LOW = HIGH.reshape(2, 8, 8, 8, 2).mean(axis=-1)


def make_net(**params):
    deep = pytest.importorskip("sklearn_iqt.deep")
    return deep.AnisoUNetRegressor(
        **{"n_filters": 4, "n_levels": 2, **params}, scale=SCALE, patch_size=(8, 8, 4), max_steps=1,
        batch_size=2, device="cpu", random_state=0,
    )  # fmt: skip


def make_ridge(**params):
    return PatchwiseRegressor(
        patcher=PatchTransformer(3), scale=SCALE, max_patches=50, random_state=0, **params
    )


def make_srep():
    return CoupledDictionaryIQT(
        4, patcher=PatchTransformer(3), scale=SCALE, max_iter=1, max_patches=50, random_state=0
    )


CHANGED = [
    (make_net, {"global_skip": False}, "global_skip"),
    (make_net, {"n_filters": 8}, "n_filters"),
    (make_net, {"scale": (1, 1, 4)}, "scale"),
    (make_ridge, {"patcher__window": "gaussian"}, "patcher__window"),
    (make_ridge, {"alignment": "corner"}, "alignment"),
    (make_srep, {"n_atoms": 8}, "n_atoms"),
]


@pytest.mark.parametrize("loaded", [False, True], ids=["fitted", "loaded"])
@pytest.mark.parametrize(("make", "params", "name"), CHANGED)
def test_a_model_with_parameters_of_another_fit_is_not_saved(make, params, name, loaded, tmp_path):
    model = make().fit(LOW, HIGH)
    if loaded:
        model = load_model(save_model(model, tmp_path / "before.iqt"))
    old = {key.partition("__")[0]: model.get_params()[key] for key in params}
    model.set_params(**params)
    with pytest.raises(ValueError, match=f"other values of {name} than it has now.*fit again"):
        save_model(model, tmp_path / "model.iqt")
    assert not (tmp_path / "model.iqt").exists()
    if "__" not in name:
        save_model(model.set_params(**old), tmp_path / "model.iqt")


def test_steps_of_pipelines_are_checked_and_settings_of_a_session_may_change(tmp_path):
    model = make_pipeline(NyulScaler(), make_ridge()).fit(LOW, HIGH)
    model[-1].set_params(verbose=1, random_state=3)
    save_model(model, tmp_path / "model.iqt")
    model[0].set_params(percentiles=(10, 50, 90))
    with pytest.raises(ValueError, match="NyulScaler was fitted with other values of percentiles"):
        save_model(model, tmp_path / "changed.iqt")
    # A scaler that learns nothing has no fitted state to differ from.
    model = make_pipeline(PercentileScaler(), make_ridge()).fit(LOW, HIGH)
    model[0].set_params(upper=90)
    loaded = load_model(save_model(model, tmp_path / "scaled.iqt"))
    np.testing.assert_array_equal(loaded.predict(LOW), model.predict(LOW))


@pytest.mark.parametrize("params", [{"n_filters": 8}, {"n_levels": 3}])
def test_a_continuation_with_another_net_is_refused_in_one_sentence(params):
    model = make_net(warm_start=True).fit(LOW, HIGH)
    before = model.predict(LOW)
    model.set_params(**params)
    for go in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=next(iter(params))) as caught:
            go(LOW, HIGH)
        assert len(str(caught.value)) < 400
    np.testing.assert_array_equal(model.predict(LOW), before)


def test_an_existing_model_is_replaced_only_on_request(tmp_path):
    first, second = make_ridge().fit(LOW, HIGH), make_ridge().fit(LOW[:1], HIGH[:1])
    path = save_model(first, tmp_path / "model.iqt")
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"exists already\. Pass overwrite=True"):
        save_model(second, path)
    assert path.read_bytes() == content
    save_model(second, path, overwrite=True)
    assert path.read_bytes() != content
