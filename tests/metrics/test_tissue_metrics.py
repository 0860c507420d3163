"""Metrics of tissues agree with their definition, and refuse maps that do not fit."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import (
    contrast_error,
    regression_intercept,
    regression_slope,
    tissue_error,
)

METRICS = [tissue_error, contrast_error, regression_slope, regression_intercept]
TISSUES = {"csf": 1, "gm": 2, "wm": 3}


@pytest.fixture
def brain(rng):
    """Truth, estimate and labels."""
    labels = rng.integers(0, 4, (9, 8, 7))
    truth = np.array([0.0, 30, 70, 100])[labels] + rng.normal(0, 5, labels.shape)
    estimate = np.array([5.0, 35, 72, 90])[labels] + 0.6 * (truth - truth.mean())
    estimate += rng.normal(0, 2, labels.shape)
    return truth, estimate, labels


@pytest.mark.parametrize("tissue", TISSUES)
def test_the_error_of_a_tissue_is_the_difference_of_means(brain, tissue):
    truth, estimate, labels = brain
    region = labels == TISSUES[tissue]
    expected = (estimate[region].mean() - truth[region].mean()) / truth[labels == 3].mean()
    assert tissue_error(truth, estimate, labels=labels, tissue=tissue) == pytest.approx(expected)


@pytest.mark.parametrize("tissues", [("wm", "gm"), ("gm", "csf")])
def test_the_error_of_contrast_compares_ratios(brain, tissues):
    truth, estimate, labels = brain
    a, b = (labels == TISSUES[tissue] for tissue in tissues)
    expected = (estimate[a].mean() / estimate[b].mean()) / (truth[a].mean() / truth[b].mean()) - 1
    error = contrast_error(truth, estimate, labels=labels, tissues=tissues)
    assert error == pytest.approx(expected)
    assert contrast_error(truth, 9 * estimate, labels=labels, tissues=tissues) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("tissue", TISSUES)
def test_the_line_agrees_with_polyfit(brain, tissue):
    truth, estimate, labels = brain
    region = labels == TISSUES[tissue]
    slope, intercept = np.polyfit(truth[region], estimate[region], 1)
    assert regression_slope(truth, estimate, labels=labels, tissue=tissue) == pytest.approx(slope)
    scaled = intercept / truth[labels == 3].mean()
    assert regression_intercept(truth, estimate, labels=labels, tissue=tissue) == pytest.approx(
        scaled, abs=1e-9
    )


def test_known_noise_of_the_truth_is_taken_out_of_the_slope(rng):
    signal = rng.normal(100, 10, (40, 40, 40))
    truth = signal + rng.normal(0, 10, signal.shape)
    labels = np.full(signal.shape, 2)
    assert regression_slope(truth, signal, labels=labels) == pytest.approx(0.5, abs=0.02)
    slope = regression_slope(truth, signal, labels=labels, truth_noise=10)
    assert slope == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("metric", METRICS)
def test_masks_matching_and_collections(brain, metric):
    truth, estimate, labels = brain
    mask = np.zeros(labels.shape, bool)
    mask[:6] = True
    inside = metric(truth[:6], estimate[:6], labels=labels[:6])
    assert metric(truth, estimate, labels=labels, mask=mask) == pytest.approx(inside)
    assert metric(truth, estimate, labels=labels) != pytest.approx(inside)
    # The unit of the estimate does not matter after an affine match.
    matched = metric(truth, estimate, labels=labels, mask=mask, match="affine")
    other = metric(truth, 40 * estimate + 7, labels=labels, mask=mask, match="affine")
    assert other == pytest.approx(matched)
    scores = metric([truth, truth], [estimate, truth], labels=[labels] * 2, per_volume=True)
    assert scores[0] == pytest.approx(metric(truth, estimate, labels=labels))
    assert scores[1] == pytest.approx(1 if metric is regression_slope else 0, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_label_maps_are_checked(brain, metric):
    truth, estimate, labels = brain
    name = metric.__name__
    with pytest.raises(GeometryMismatchError, match=f"{name}: labels has shape"):
        metric(truth, estimate, labels=labels[:-1])
    odd = labels.copy()
    odd[0, 0, 0] = 7
    with pytest.raises(ValueError, match=rf"{name}: 1 voxels have other labels"):
        metric(truth, estimate, labels=odd)
    with pytest.raises(ValueError, match=f"{name}: labels have no voxel of gm"):
        metric(truth, estimate, labels=np.where(labels == 2, 0, labels))
    with pytest.raises(ValueError, match=f"{name}: labels is None"):
        metric(truth, estimate, labels=None)
    with pytest.raises(ValueError, match=rf"{name}: one of y_true and labels is a single volume"):
        metric([truth], [estimate], labels=labels)
    affine = np.diag([1, 1, 2, 1.0])
    image = nibabel.Nifti1Image(truth, np.eye(4))
    with pytest.raises(GeometryMismatchError, match="labels"):
        metric(image, estimate, labels=nibabel.Nifti1Image(labels.astype("u1"), affine))


def test_parameters_are_checked(brain):
    truth, estimate, labels = brain
    with pytest.raises(ValueError, match="tissue must be one of"):
        tissue_error(truth, estimate, labels=labels, tissue="bone")
    for tissues in (("gm", "gm"), ("gm",), ("gm", "bone")):
        with pytest.raises(ValueError, match=r"contrast_error: .*tissue"):
            contrast_error(truth, estimate, labels=labels, tissues=tissues)
    with pytest.raises(ValueError, match="ratio has no meaning"):
        contrast_error(truth, estimate - 200, labels=labels)
    for noise in (-1, np.nan):
        with pytest.raises(ValueError, match="truth_noise must be"):
            regression_slope(truth, estimate, labels=labels, truth_noise=noise)
    with pytest.raises(ValueError, match="no signal is left"):
        regression_slope(truth, estimate, labels=labels, truth_noise=50)
