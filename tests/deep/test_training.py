"""Callbacks of the user, interruptions, resumed trainings and the weights that are kept."""

import copy
import logging
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
    PassthroughScoring,
    TensorBoard,
)

from sklearn_iqt import AnisoUNetRegressor, DDLRegressor, load_model, save_model

RNG = np.random.default_rng(0)
HIGH = (10 + RNG.standard_normal((4, 8, 8, 16)).cumsum(axis=3)).astype(np.float32)
LOW = HIGH.reshape(4, 8, 8, 4, 4).mean(axis=-1)
SMALL = {"patch_size": (8, 8, 2), "stride": (4, 4, 1), "background": 1.0, "batch_size": 4}


def unet(**parameters):
    parameters = {**SMALL, "max_epochs": 4, "epoch_size": 4, "random_state": 0, **parameters}
    return AnisoUNetRegressor(2, 3, **parameters)


def ddl(**parameters):
    parameters = {**SMALL, "max_epochs": 4, "epoch_size": 4, "random_state": 0, **parameters}
    return DDLRegressor(2, 1, **parameters)


both = pytest.mark.parametrize("make", [ddl, unet])


def weights(model):
    return copy.deepcopy(model.net_.module_.state_dict())


def assert_same_weights(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=0)


class StopAfter(Callback):
    """End the training after some epochs, as skorch's own callbacks do."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


class CtrlC(Callback):
    """Press Ctrl-C in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


# Callbacks of the user.


@both
def test_early_stopping_ends_the_training_and_keeps_the_model(make):
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9, threshold_mode="abs")
    fitted = make(max_epochs=9, callbacks=[stopping]).fit(LOW, HIGH)
    assert fitted.n_iter_ == 2
    assert np.isfinite(fitted.predict(LOW)).all()


def test_early_stopping_in_a_grid_search():
    stopping = EarlyStopping(patience=1, threshold=1e9, threshold_mode="abs")
    model = unet(callbacks=[stopping], validation_fraction=0.3, max_epochs=9)
    search = GridSearchCV(model, {"lr": [1e-3, 1e-2]}, cv=2, error_score="raise").fit(LOW, HIGH)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.n_iter_ == 2


def test_the_last_epoch_before_a_stop_is_in_the_checkpoint(tmp_path):
    """A stop is not an interruption: fitted again, the training stays ended."""
    folder, stop = tmp_path / "state", StopAfter(2)
    settings = {"checkpoint": folder, "max_epochs": 5}
    stopped = unet(**settings, callbacks=[("two", stop)]).fit(LOW, HIGH)
    with pytest.warns(UserWarning, match="nothing was trained, because two ended the training"):
        again = unet(**settings, callbacks=[("two", stop)]).fit(LOW, HIGH)
    assert again.n_iter_ == stopped.n_iter_ == 2
    assert_same_weights(weights(again), weights(stopped))
    longer = unet(**settings).fit(LOW, HIGH)
    assert longer.n_iter_ == 5
    assert_same_weights(weights(longer), weights(unet(max_epochs=5).fit(LOW, HIGH)))


@both
def test_a_learning_rate_scheduler_is_refused_by_name(make):
    for callback in (LRScheduler("StepLR", step_size=1), LRScheduler, ("lr", LRScheduler())):
        with pytest.raises(ValueError, match=r"LRScheduler cannot be used.*lr_milestones"):
            make(callbacks=[callback]).fit(LOW, HIGH)


def test_a_monitor_of_validation_volumes_needs_them():
    with pytest.raises(ValueError, match=r"EarlyStopping monitors 'valid_loss'.*validation_frac"):
        unet(callbacks=[EarlyStopping()]).fit(LOW, HIGH)
    other = EarlyStopping(monitor="valid_nrmse", load_best=True)
    with pytest.raises(ValueError, match="EarlyStopping has load_best=True"):
        unet(callbacks=[other], validation_fraction=0.3).fit(LOW, HIGH)
    with pytest.raises(TypeError, match="callbacks must be skorch callbacks"):
        unet(callbacks=["early"]).fit(LOW, HIGH)


@pytest.mark.parametrize("on_train", [False, True])
def test_named_callbacks_and_scores_of_epochs(on_train):
    scoring = EpochScoring("neg_mean_squared_error", lower_is_better=False, on_train=on_train)
    callbacks = [("mse", scoring), ("r2", EpochScoring("r2", name="r2", on_train=on_train))]
    fitted = unet(callbacks=callbacks, validation_fraction=0.3, augment=False).fit(LOW, HIGH)
    key = "train_loss" if on_train else "valid_loss"
    history = fitted.net_.history
    np.testing.assert_allclose(
        np.negative(history[:, "neg_mean_squared_error"]), history[:, key], rtol=1e-5
    )
    assert np.isfinite(history[:, "r2"]).all()


def test_a_name_may_be_any_but_not_twice():
    names = ["checkpoint", "progress", "valid", "schedule"]
    callbacks = [(name, PassthroughScoring("train_loss", on_train=True)) for name in names]
    unet(callbacks=callbacks, max_epochs=1).fit(LOW, HIGH)
    with pytest.raises(ValueError, match="duplicate user-set callback name 'valid'"):
        unet(callbacks=[callbacks[2]] * 2).fit(LOW, HIGH)


def test_callbacks_stay_as_they_were_passed():
    stopping = EarlyStopping(patience=1, threshold=1e9, threshold_mode="abs", load_best=True)
    freezer = Freezer("head.*", at=2)
    before = copy.deepcopy([vars(stopping), vars(freezer)])
    model = unet(callbacks=[stopping, freezer], validation_fraction=0.3)
    fitted = model.fit(LOW, HIGH)
    assert model.callbacks == [stopping, freezer]
    assert [vars(stopping), vars(freezer)] == before
    copied = clone(model)
    assert copied.callbacks[0] is not stopping
    assert_same_weights(weights(copied.fit(LOW, HIGH)), weights(fitted))
    pickle.loads(pickle.dumps(fitted)).predict(LOW)


def test_a_net_trained_with_callbacks_can_be_saved(tmp_path):
    model = unet(callbacks=[StopAfter(1)]).fit(LOW, HIGH)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    assert loaded.callbacks is None
    np.testing.assert_array_equal(loaded.predict(LOW), model.predict(LOW))


def test_what_a_callback_refers_to_is_shared():
    """A writer of events cannot be copied, and there must be only one."""

    class Writer:
        def __init__(self):
            self.scalars = []

        def __deepcopy__(self, memo):
            raise TypeError("cannot be copied")

        def add_scalar(self, tag, scalar_value, global_step):
            self.scalars.append((tag, global_step))

        def close(self):
            self.closed = True

    writer = Writer()
    unet(callbacks=[TensorBoard(writer)], max_epochs=2).fit(LOW, HIGH)
    assert ("Loss/train_loss", 2) in writer.scalars
    assert writer.closed


# Interruptions.


@both
def test_an_interruption_says_that_nothing_was_saved(make):
    with pytest.raises(KeyboardInterrupt, match=r"epoch 3, after 2 of 4 steps\. Nothing was saved"):
        make(callbacks=[CtrlC(3)]).fit(LOW, HIGH)


@both
def test_an_interruption_names_the_saved_state_and_the_way_to_continue(
    make, tmp_path, caplog, capsys
):
    settings = {"checkpoint": tmp_path / "state", "validation_fraction": 0.3}
    with pytest.raises(KeyboardInterrupt, match="no epoch was complete"):
        make(**settings, callbacks=[CtrlC(1)]).fit(LOW, HIGH)
    with pytest.raises(KeyboardInterrupt, match=r"state after epoch 2 is in .*state.* same call"):
        make(**settings, callbacks=[CtrlC(3)]).fit(LOW, HIGH)
    with caplog.at_level(logging.INFO, logger="sklearn_iqt"):
        resumed = make(**settings).fit(LOW, HIGH)
    assert "continues from the checkpoint" in caplog.text
    assert "after 2 epochs, 2 of 4 steps" in caplog.text
    assert capsys.readouterr().err == ""
    assert resumed.n_iter_ == 4
    whole = make(validation_fraction=0.3).fit(LOW, HIGH)
    assert_same_weights(weights(resumed), weights(whole))
    assert resumed.net_.history[:, "valid_loss_best"] == whole.net_.history[:, "valid_loss_best"]


def test_a_resumed_training_says_so_if_it_is_verbose(tmp_path, capsys):
    model = unet(checkpoint=tmp_path / "state", max_epochs=2).fit(LOW, HIGH)
    model.set_params(verbose=1, max_epochs=3).fit(LOW, HIGH)
    assert "training continues from the checkpoint" in capsys.readouterr().err
    model.fit(LOW, HIGH)
    assert "holds the whole training" in capsys.readouterr().err
    model.set_params(callbacks=[("stop", StopAfter(4))], max_epochs=9).fit(LOW, HIGH)
    assert "stop ended the training after 4 epochs, 4 of 9 steps" in capsys.readouterr().err


def test_a_checkpoint_of_more_steps_than_were_asked_for_is_said(tmp_path):
    model = unet(checkpoint=tmp_path / "state").fit(LOW, HIGH)
    with pytest.warns(UserWarning, match=r"holds 4 steps \(4 epochs\), more than the 2 that max_s"):
        shorter = clone(model).set_params(max_epochs=2).fit(LOW, HIGH)
    assert_same_weights(weights(shorter), weights(model))


def test_a_longer_training_continues_in_the_middle_of_an_epoch(tmp_path):
    """Two steps an epoch: the third step ends the first training, not an epoch."""
    settings = {"checkpoint": tmp_path / "state", "epoch_size": 8}
    unet(**settings, max_steps=3).fit(LOW, HIGH)
    longer = unet(**settings, max_steps=4).fit(LOW, HIGH)
    assert [sum(longer.net_.history[:, "train_batch_count"]), longer.n_iter_] == [4, 3]


@both
def test_an_interrupted_estimator_is_not_fitted(make):
    model = make(callbacks=[CtrlC(2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(LOW, HIGH)
    with pytest.raises(NotFittedError):
        model.predict(LOW)
    model.set_params(callbacks=None).fit(LOW, HIGH).set_params(callbacks=[CtrlC(2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(LOW, HIGH)
    with pytest.raises(NotFittedError):
        model.predict(LOW)


@both
def test_an_interrupted_continuation_keeps_the_weights_it_started_from(make):
    model = make().fit(LOW, HIGH)
    before, expected = weights(model), model.predict(LOW)
    model.set_params(callbacks=[CtrlC(2)])
    with pytest.raises(KeyboardInterrupt, match="keeps the weights that it had before"):
        model.partial_fit(LOW, HIGH)
    with pytest.raises(KeyboardInterrupt, match="keeps the weights that it had before"):
        model.set_params(warm_start=True).fit(LOW, HIGH)
    assert_same_weights(weights(model), before)
    np.testing.assert_array_equal(model.predict(LOW), expected)


@both
def test_a_net_of_another_size_or_scale_cannot_continue(make):
    model = make().fit(LOW, HIGH)
    expected = model.predict(LOW)
    size = "n_atoms" if make is ddl else "n_filters"
    for changed, high in (({size: 4}, HIGH), ({size: 2, "scale": (1, 1, 2)}, HIGH[..., ::2])):
        model.set_params(**changed)
        with pytest.raises(ValueError, match="weights of the last fit do not fit the net"):
            model.partial_fit(LOW, high)
        np.testing.assert_array_equal(model.predict(LOW), expected)


def test_parameters_are_checked_before_the_training_continues():
    model = unet().fit(LOW, HIGH).set_params(lr=-1)
    with pytest.raises(ValueError, match="'lr' parameter"):
        model.set_params(warm_start=True).fit(LOW, HIGH)


def test_callbacks_see_the_end_of_an_interrupted_training():
    class Closes(Callback):
        def __init__(self, closed):
            self.closed = closed

        def on_train_end(self, net, **kwargs):
            self.closed.append(True)

    closed = []
    with pytest.raises(KeyboardInterrupt):
        unet(callbacks=[CtrlC(1), Closes(closed)]).fit(LOW, HIGH)
    assert closed == [True]


# The weights that are kept.


class Spoil(Callback):
    """Spoil the weights from some epoch on."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) >= self.epoch:
            with torch.no_grad():
                net.module_.head.weight.add_(5)


@pytest.mark.parametrize("patience", [None, 1])
def test_the_best_weights_are_kept_with_validation_volumes(patience):
    settings = {"validation_fraction": 0.3, "patience": patience}
    fitted = unet(**settings, callbacks=[Spoil(3)]).fit(LOW, HIGH)
    history = fitted.net_.history
    best = int(np.argmin(history[:, "valid_loss"]))
    assert best < 2
    assert fitted.n_iter_ == (4 if patience is None else 3)
    flags = history[:, "valid_loss_best"]
    assert flags[best]
    assert not any(flags[best + 1 :])
    # The rates would differ if the whole training were shorter.
    stopped = unet(**settings, callbacks=[StopAfter(best + 1)]).fit(LOW, HIGH)
    assert_same_weights(weights(fitted), weights(stopped))


def test_without_validation_volumes_the_last_weights_are_kept():
    fitted = unet(callbacks=[Spoil(4)]).fit(LOW, HIGH)
    assert fitted.net_.module_.head.weight.max() > 4


def test_training_warns_of_nothing_by_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unet(validation_fraction=0.3, patience=2).fit(LOW, HIGH)
