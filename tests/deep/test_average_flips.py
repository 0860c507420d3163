"""Predictions that are averaged over the mirror images of a volume."""

import numpy as np
import pytest

from sklearn_iqt import AnisoUNetRegressor, load_model, save_model

RNG = np.random.default_rng(0)
HIGH = (10 + RNG.standard_normal((2, 8, 8, 16)).cumsum(axis=3)).astype(np.float32)
LOW = HIGH.reshape(2, 8, 8, 4, 4).mean(axis=-1)


def fitted(**parameters):
    return AnisoUNetRegressor(
        2, 3, max_steps=3, batch_size=4, background=1.0, random_state=0, **parameters
    ).fit(LOW, HIGH)


def flipped(model, axes):
    return np.flip(model.predict(np.ascontiguousarray(np.flip(LOW, axes))), axes)


@pytest.mark.parametrize(("alignment", "axes"), [("center", (1, 2, 3)), ("corner", (1, 2))])
def test_the_average_has_the_predictions_of_the_mirror_images(alignment, axes):
    model = fitted(alignment=alignment)
    expected = np.mean([model.predict(LOW), *(flipped(model, axis) for axis in axes)], axis=0)
    single, spread = model.predict(LOW, return_std=True)
    model.set_params(average_flips=True)
    np.testing.assert_allclose(model.predict(LOW), expected, rtol=1e-5)
    mean, same_spread = model.predict(LOW, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_array_equal(same_spread, spread)
    assert np.abs(mean - single).max() > 1e-4


def test_it_may_be_changed_after_the_fit(tmp_path):
    model = fitted().set_params(average_flips=True)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    np.testing.assert_array_equal(loaded.predict(LOW), model.predict(LOW))
