"""Nets that learn from volumes that are drawn again in each epoch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from sklearn_iqt import AnisoUNetRegressor
from sklearn_iqt.deep._pairs import DrawnPairs
from sklearn_iqt.deep._sampler import EpochSampler
from sklearn_iqt.simulation import SimulatedScans, SliceGeometry, get_simulator


def scans(simulator="narrow", **options):
    """Return simulated scans of four blocks of CSF, GM and WM."""
    rng = np.random.default_rng(0)
    labels = np.ones((4, 12, 12, 16), np.uint8)
    labels[:, 2:] = 2
    labels[:, 7:] = 3
    high = np.array([0, 50, 100, 150])[labels] * rng.uniform(0.9, 1.1, labels.shape)
    return SimulatedScans(high.astype(np.float32), labels, simulator, random_state=0, **options)


def net(**params):
    given = {"n_filters": 2, "patch_size": (4, 4, 2), "epoch_size": 12, "batch_size": 4}
    return AnisoUNetRegressor(**{**given, "max_epochs": 3, "random_state": 0, **params})


def weights(model):
    return list(model.net_.arrays().values())


def assert_equal(first, second):
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("most_in_memory", [16, 2])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, most_in_memory):
    X = scans(most_in_memory=most_in_memory)
    unbroken = net().fit(X, X.targets)
    net(max_epochs=1, checkpoint=tmp_path).fit(X, X.targets)
    X = scans(most_in_memory=most_in_memory)
    assert_equal(net(checkpoint=tmp_path).fit(X, X.targets), unbroken)


def test_a_checkpoint_of_other_draws_is_refused(tmp_path):
    X = scans()
    net(max_epochs=1, checkpoint=tmp_path).fit(X, X.targets)
    Y = scans(get_simulator("narrow", noise=None))
    with pytest.raises(ValueError, match="other parameters or volumes"):
        net(checkpoint=tmp_path).fit(Y, Y.targets)


def test_each_epoch_reads_its_own_draw_and_no_more_people_than_fit(monkeypatch):
    drawn = []
    draw = DrawnPairs._draw

    X = scans(most_in_memory=2).drawn(5)

    def spy(self, number, epoch):
        drawn.append((epoch, number))
        assert len(self._opened) < 2
        pair, grid = draw(self, number, epoch)
        expected, _ = self.source.scaled_inputs(X.drawn(5 + epoch)[number], None)
        np.testing.assert_array_equal(pair.inputs, expected)
        return pair, grid

    monkeypatch.setattr(DrawnPairs, "_draw", spy)
    net().fit(X, X.targets)
    assert {epoch for epoch, _ in drawn} == {0, 1, 2}
    # Visited in groups: nobody is drawn twice in an epoch, except for batch normalisation.
    assert len(set(drawn)) >= len(drawn) - 4


def test_groups_of_volumes_are_visited_one_after_another():
    groups = np.repeat(np.arange(6), 10)
    sampler = EpochSampler(60, 60, 120, 0, groups=groups, group_size=2, first_epoch=3)
    for epoch in (3, 4):
        items, _, epochs = zip(*sampler, strict=True)
        assert sorted(items) == list(range(60))
        assert set(epochs) == {epoch}
        visited = groups[list(items)].reshape(3, 20)
        assert [len(set(part)) for part in visited] == [2, 2, 2]


@pytest.mark.parametrize("axes", [(2,), (0, 1, 2)])
def test_a_net_learns_from_slices_in_any_direction(axes):
    geometry = SliceGeometry(thickness=(2, 3), gap=(0, 0), in_plane=(0.9, 1.2), axes=axes)
    X = scans(get_simulator("wide", geometry=geometry))
    model = net(scale=1, patch_size=8).fit(X, X.targets)
    assert np.isfinite(model.predict(X)[0]).all()


def test_held_out_people_are_the_same_in_each_epoch():
    X = scans()
    first, second = (net(validation_fraction=0.25).fit(X, X.targets) for _ in range(2))
    assert first.net_.history[:, "valid_nrmse"] == second.net_.history[:, "valid_nrmse"]
