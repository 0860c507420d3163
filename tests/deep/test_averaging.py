"""The average of the weights that a training keeps."""

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_iqt import AnisoUNetRegressor

RNG = np.random.default_rng(0)
HIGH = (10 + RNG.standard_normal((4, 8, 8, 16)).cumsum(axis=3)).astype(np.float32)
LOW = HIGH.reshape(4, 8, 8, 4, 4).mean(axis=-1)
SMALL = {"patch_size": (8, 8, 2), "stride": (4, 4, 1), "background": 1.0, "batch_size": 4}


class Weights(Callback):
    """Keep the weights after each step of the training, in a list that copies share."""

    def __init__(self):
        self.steps = []

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.steps.append(copy.deepcopy(net.module_.state_dict()))


def unet(**parameters):
    parameters = {"max_epochs": 4, "epoch_size": 8, "weight_average": 0.5, **SMALL, **parameters}
    return AnisoUNetRegressor(2, 3, random_state=0, **parameters)


def learned(model):
    return {name: value.clone() for name, value in model.net_.module_.named_parameters()}


def test_the_average_of_the_steps_is_kept():
    weights = Weights()
    model = unet(callbacks=[weights]).fit(LOW, HIGH)
    assert len(weights.steps) == 8
    for name, value in learned(model).items():
        expected = weights.steps[0][name]
        for number, step in enumerate(weights.steps[1:], start=2):
            kept = min(0.5, (1 + number) / (10 + number))
            expected = kept * expected + (1 - kept) * step[name]
        torch.testing.assert_close(value, expected)


def test_the_average_does_not_change_the_training():
    averaged, plain = Weights(), Weights()
    unet(callbacks=[averaged], validation_fraction=0.3).fit(LOW, HIGH)
    unet(callbacks=[plain], validation_fraction=0.3, weight_average=0.0).fit(LOW, HIGH)
    for ours, theirs in zip(averaged.steps, plain.steps, strict=True):
        for name in dict(averaged.steps[0]):
            if "running" not in name and "batches" not in name:
                torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)


@pytest.mark.parametrize("validation_fraction", [0.0, 0.3])
def test_a_resumed_training_keeps_the_same_average(validation_fraction, tmp_path):
    options = {"validation_fraction": validation_fraction}
    whole = unet(**options).fit(LOW, HIGH)
    folder = tmp_path / "state"
    unet(checkpoint=folder, max_epochs=2, **options).fit(LOW, HIGH)
    resumed = unet(checkpoint=folder, **options).fit(LOW, HIGH)
    torch.testing.assert_close(learned(resumed), learned(whole), rtol=0, atol=0)


def test_validation_judges_the_average():
    losses = [
        unet(weight_average=average, validation_fraction=0.3, max_epochs=3)
        .fit(LOW, HIGH)
        .net_.history[:, "valid_loss"]
        for average in (0.0, 0.99)
    ]
    assert losses[0] != losses[1]
    with pytest.raises(ValueError, match="weight_average"):
        unet(weight_average=1.0).fit(LOW, HIGH)
