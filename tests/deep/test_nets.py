"""The deep estimators: training that can be trusted, resumed and repeated, and seamless tiles."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_iqt import AnisoUNetRegressor, DDLRegressor, InterpolationIQT, PatchTransformer
from sklearn_iqt.persistence import load_model, save_model
from sklearn_iqt.preprocessing import upsample

PATCHES = {"patch_size": (8, 8, 4), "stride": 4}


def make_pairs(n=3, shape=(20, 18, 24), seed=0):
    """Smooth volumes, and their averages over four voxels along k."""
    rng = np.random.default_rng(seed)
    high = rng.standard_normal((n, *shape)).cumsum(axis=3).cumsum(axis=1)
    high = (10 + high / high.std()).astype(np.float32)
    return high.reshape(*high.shape[:3], -1, 4).mean(axis=-1), high


def ddl(**parameters):
    parameters = {"n_blocks": 1, **PATCHES, "batch_size": 8, **parameters}
    return DDLRegressor(4, random_state=0, **parameters)


def unet(**parameters):
    parameters = {**PATCHES, "batch_size": 8, **parameters}
    return AnisoUNetRegressor(4, 3, random_state=0, **parameters)


both = pytest.mark.parametrize("make", [ddl, unet])


def weights(estimator):
    return {k: v.clone() for k, v in estimator.net_.module_.state_dict().items()}


def assert_same_weights(first, second):
    for name, value in weights(first).items():
        torch.testing.assert_close(value, weights(second)[name], rtol=0, atol=0)


@both
def test_training_changes_a_contrast_that_interpolation_cannot(make):
    low, high = make_pairs()
    high = high + np.tanh(3 * (high - 10))
    patcher = PatchTransformer(**PATCHES).fit(low, high)
    X, y, _ = patcher.sample(low, high, max_patches=24, random_state=0)
    X, y = X / 10, y / 10
    settings = {"max_epochs": 60, "lr": 3e-3} if make is unet else {"max_epochs": 150, "lr": 1e-2}
    fitted = make(batch_size=24, **settings).fit(X, y)
    baseline = upsample(X.reshape(-1, 8, 8, 4), (1, 1, 4)).reshape(y.shape)
    assert np.mean((fitted.predict(X) - y) ** 2) < 0.6 * np.mean((baseline - y) ** 2)
    assert fitted.net_.history[-1]["train_loss"] < 0.5 * fitted.net_.history[0]["train_loss"]


@both
def test_same_seed_same_bits_and_other_generators_untouched(make):
    low, high = make_pairs()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = make(max_steps=6).fit(low, high)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(8)
    assert_same_weights(first, make(max_steps=6).fit(low, high))
    np.testing.assert_array_equal(first.predict(low), first.predict(low))


class Kill(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise ConnectionError("the power is gone")


@both
def test_killed_training_resumes_to_the_same_result(make, tmp_path):
    low, high = make_pairs()
    settings = {"max_steps": 10, "epoch_size": 24, "validation_fraction": 0.3, "patience": 9}
    whole = make(**settings).fit(low, high)
    killed = make(**settings, checkpoint=tmp_path / "a", callbacks=[Kill(2)])
    with pytest.raises(ConnectionError):
        killed.fit(low, high)
    (tmp_path / "a").rename(tmp_path / "moved")
    resumed = make(**settings, checkpoint=tmp_path / "moved").fit(low, high)
    assert_same_weights(whole, resumed)
    assert resumed.n_iter_ == whole.n_iter_ == 4
    np.testing.assert_allclose(
        resumed.net_.history[:, "valid_loss"], whole.net_.history[:, "valid_loss"], rtol=1e-6
    )
    for changed, volumes in (({"lr": 0.5}, (low, high)), ({}, (low[::-1], high[::-1]))):
        other = make(**{**settings, **changed}, checkpoint=tmp_path / "moved")
        with pytest.raises(ValueError, match="checkpoint of a training with other"):
            other.fit(*volumes)
    assert len(list((tmp_path / "moved").iterdir())) == 2
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"is a file\. Set checkpoint to a folder"):
        make(**settings, checkpoint=tmp_path / "file").fit(low, high)


@both
def test_tiles_of_all_sizes_agree(make):
    """Volumes so long that tiles do not see each other's ends."""
    low, high = make_pairs(1, (240, 8, 16))
    fitted = make(max_steps=2).fit(low, high)
    whole = fitted.predict(low)
    for tile_size in (240, (32, 8, 4), (100, 4, 2)):
        tiles = fitted.set_params(tile_size=tile_size).predict(low)
        assert np.abs(tiles - whole).max() <= 2e-5 * np.abs(whole).max()
    cut = fitted.set_params(tile_size=(32, 8, 4), margin=0).predict(low)
    assert np.abs(cut - whole).max() > 2e-5 * np.abs(whole).max()


def test_voxels_outside_a_mask_are_interpolated_with_all_tiles():
    low, high = make_pairs(1, (40, 18, 24))
    fitted = unet(max_steps=2).fit(low, high)
    mask = np.zeros(low.shape, bool)
    mask[:, :8] = True
    enhanced = fitted.predict(low, mask=mask)
    interpolated = InterpolationIQT().fit(low, high).predict(low)
    np.testing.assert_allclose(enhanced[:, 16:], interpolated[:, 16:], rtol=1e-5)
    assert np.abs(enhanced[:, :8] - interpolated[:, :8]).max() > 1e-3
    tiled = fitted.set_params(tile_size=(8, 18, 6)).predict(low, mask=mask)
    np.testing.assert_allclose(tiled, enhanced, rtol=2e-5)


def test_dictionary_is_fixed_after_training():
    low, high = make_pairs()
    fitted = ddl(max_steps=3).fit(low, high)
    assert fitted.dictionary_.shape == (4, 1, 1, 4)
    assert (np.abs(fitted.dictionary_) < 1).all()
    assert fitted.code_.shape == (4,)
    atoms, _ = fitted.net_.module_.dictionary(fitted.net_.module_.eval_noise)
    np.testing.assert_allclose(atoms[0].detach().numpy(), fitted.dictionary_)


class Watch(Callback):
    """Note rates, shuffling and freezing at every step."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            rates = [group["lr"] for group in net.optimizer_.param_groups]
            frozen = not next(net.module_.dictionary.parameters()).requires_grad
            self.seen.append((*rates, net.forward_options_["shuffle"], frozen))


def test_schedule_follows_the_paper_in_fractions_of_the_training():
    low, high = make_pairs()
    watch = Watch()
    ddl(max_steps=40, callbacks=[watch]).fit(low, high)
    dictionary, rest, shuffled, frozen = map(np.array, zip(*watch.seen, strict=True))
    np.testing.assert_array_equal(np.flatnonzero(np.diff(dictionary)) + 1, [5, 10, 20, 30, 35])
    # 0.9375 * 40 = 37.5, so the last halving shows at step 38.
    np.testing.assert_array_equal(np.flatnonzero(np.diff(rest)) + 1, [20, 30, 35, 38])
    assert dictionary[0] == 5e-3
    assert rest[0] == 2e-4
    np.testing.assert_array_equal(np.flatnonzero(shuffled), np.arange(4))
    np.testing.assert_array_equal(np.flatnonzero(frozen), np.arange(36, 40))


def test_frozen_dictionary_does_not_drift():
    low, high = make_pairs()
    fitted = ddl(max_steps=4, freeze_dictionary=0.0).fit(low, high)
    again = ddl(max_steps=1, freeze_dictionary=0.0).fit(low, high)
    for name, value in weights(fitted).items():
        if name.startswith("dictionary."):
            torch.testing.assert_close(value, weights(again)[name], rtol=0, atol=0)


@both
def test_validation_holds_out_volumes_and_early_stopping_keeps_the_best(make):
    low, high = make_pairs(4)
    fitted = make(max_epochs=6, validation_fraction=0.25, patience=1, lr=0.3).fit(low, high)
    losses = fitted.net_.history[:, "valid_loss"]
    assert len(losses) <= 6
    assert "valid_nrmse" in fitted.net_.history[-1]
    with pytest.raises(ValueError, match="leaves none to train on"):
        make(validation_fraction=0.9).fit(low[:1], high[:1])
    with pytest.raises(ValueError, match="patience needs validation volumes"):
        make(patience=2).fit(low, high)


@both
def test_partial_fit_and_warm_start_go_on(make):
    low, high = make_pairs()
    fitted = make(max_steps=20, lr=1e-3).fit(low, high)
    before = fitted.net_.history[-1]["train_loss"]
    fitted.partial_fit(low, high)
    assert fitted.net_.history[-1]["train_loss"] < 1.1 * before
    assert fitted.warm_start is False


@both
def test_mixed_precision_is_close(make):
    low, high = make_pairs()
    fitted = make(max_steps=3).fit(low, high)
    exact = fitted.predict(low)
    rough = fitted.set_params(mixed_precision=True).predict(low)
    # bfloat16 has three digits, so single voxels may be off by more than the typical one.
    assert np.sqrt(np.mean((rough - exact) ** 2)) < 0.01 * np.abs(exact).max()
    assert make(max_steps=3, mixed_precision=True).fit(low, high).n_iter_ >= 1


@both
def test_models_are_saved_and_loaded(make, tmp_path):
    low, high = make_pairs()
    fitted = make(max_steps=3, device="cpu").fit(low, high)
    path = save_model(fitted, tmp_path / "model.iqt")
    loaded = load_model(path)
    assert loaded.device == "auto"  # another machine may have another device
    np.testing.assert_array_equal(loaded.predict(low), fitted.predict(low))
    assert loaded.get_params()["max_steps"] == 3
    if isinstance(fitted, DDLRegressor):
        np.testing.assert_array_equal(loaded.dictionary_, fitted.dictionary_)
    loaded.partial_fit(low, high)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@both
def test_gpu_and_cpu_agree(make):
    low, high = make_pairs()
    cpu = make(max_steps=5, device="cpu").fit(low, high)
    gpu = make(max_steps=5, device="cuda").fit(low, high)
    np.testing.assert_allclose(gpu.predict(low), cpu.predict(low), rtol=2e-2)
    gpu.net_.module_.load_state_dict(weights(cpu))
    np.testing.assert_allclose(gpu.predict(low), cpu.predict(low), rtol=1e-3)


def test_rows_carry_no_subjects_to_hold_out(rng):
    with pytest.raises(ValueError, match="holds out volumes, but X holds rows"):
        ddl(validation_fraction=0.2).fit(rng.random((9, 256)), rng.random((9, 1024)))


@pytest.mark.parametrize("patch_size", [1, (1, 1, 4), (8, 1, 1)])
def test_patches_of_one_voxel_are_augmented(patch_size):
    high = 10 + np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32)
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    options = {"background": 1.0, "batch_size": 8, "max_steps": 2, "random_state": 0}
    net = DDLRegressor(2, 1, patch_size=patch_size, augment=True, **options).fit(low, high)
    assert net.predict(low).shape == high.shape
