"""Bias and variance by rarity agree with their definition."""

import numpy as np
import pytest

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import bias_variance_by_rarity

SHAPE = (16, 15, 14)


@pytest.fixture
def study(rng):
    """Truth with a rare block, training volumes without it, and the rare block."""
    truth, *training = 1 + 0.2 * rng.random((3, *SHAPE))
    rare = np.zeros(SHAPE, bool)
    rare[4:9, 4:9, 4:9] = True
    truth[rare] += 1
    return truth, training, rare


def test_all_patches_in_one_group_have_the_bias_and_variance_of_the_voxels(study, rng):
    truth, training, _ = study
    draws = 0.7 * truth + 0.4 + 0.1 * rng.normal(size=(10, *SHAPE))
    options = {"patch_size": 1, "n_components": 1, "n_bins": 1, "random_state": 0}
    (row,) = bias_variance_by_rarity(truth, draws, training, **options)
    peak = truth.max()
    assert row["n_patches"] == truth.size
    assert row["sd"] == pytest.approx(np.sqrt(draws.var(axis=0, ddof=1).mean()) / peak)
    bias = np.sqrt(np.mean((0.7 * truth + 0.4 - truth) ** 2)) / peak
    assert row["bias"] == pytest.approx(bias, rel=0.05)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((draws - truth) ** 2)) / peak, rel=0.02)


def test_rare_patches_are_found_and_their_regression_is_measured(study, rng):
    truth, training, rare = study
    # What is unusual is pulled half of the way to the mean.
    estimate = np.where(rare, 0.5 * truth + 0.5 * np.mean(training), truth)
    draws = estimate + 0.01 * rng.normal(size=(3, *SHAPE))
    rows = bias_variance_by_rarity(
        truth, draws, training, patch_size=3, n_components=5, random_state=0
    )
    assert [row["bin"] for row in rows] == list(range(1, 11))
    distances = [row["distance"] for row in rows]
    assert distances == sorted(distances)
    assert rows[0]["slope"] == pytest.approx(1, abs=0.02)
    assert rows[-1]["slope"] == pytest.approx(0.5, abs=0.03)
    assert rows[-1]["bias"] > 20 * rows[0]["bias"]
    assert [row["sd"] * truth.max() for row in rows] == pytest.approx([0.01] * 10, rel=0.1)


def test_masks_matching_and_seed(study, rng):
    truth, training, rare = study
    draws = truth + 0.1 * rng.normal(size=(3, *SHAPE))
    options = {"patch_size": 3, "n_components": 5, "n_bins": 2, "match": "affine"}
    rows, again, other = (
        bias_variance_by_rarity(
            truth, unit * draws, training, n_patches=300, random_state=seed, **options
        )
        for unit, seed in ((1, 0), (7, 0), (1, 1))
    )
    assert [row["rmse"] for row in again] == pytest.approx([row["rmse"] for row in rows])
    assert other != rows
    common = bias_variance_by_rarity(truth, draws, training, mask=~rare, **options)
    only = bias_variance_by_rarity(truth, draws, training, mask=rare, **options)
    assert sum(row["n_patches"] for row in only) == rare.sum()
    assert only[0]["distance"] > common[0]["distance"]
    masks = [np.zeros(SHAPE) for _ in training]
    for mask in masks:
        mask[2:4, 2:8, 2:8] = 1
    few = bias_variance_by_rarity(truth, draws, training, training_mask=masks, **options)
    everything = bias_variance_by_rarity(truth, draws, training, **options)
    assert few[0]["distance"] > everything[0]["distance"]


def test_what_cannot_be_measured_is_refused(study):
    truth, training, _ = study
    draws = [truth, truth]
    for options, message in (
        ({"draws": draws[:1]}, "draws holds 1 estimate"),
        ({"patch_size": 4}, "patch_size must be odd"),
        ({"n_components": 0}, "n_components must be"),
        ({"n_bins": 1.5}, "n_bins must be"),
        ({"n_components": 30, "patch_size": 3}, "too few"),
        ({"patch_size": 17}, "no patch of"),
        ({"match": "curve"}, "match must be one of"),
    ):
        arguments = {"draws": draws, "n_components": 2, **options}
        with pytest.raises(ValueError, match=f"bias_variance_by_rarity: .*{message}"):
            bias_variance_by_rarity(truth, training=training, **arguments)
    with pytest.raises(GeometryMismatchError, match="draws"):
        bias_variance_by_rarity(truth, [v[1:] for v in draws], training)
