"""Contrast and volume of lesions agree with their definition."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import lesion_contrast, lesion_volume

METRICS = [lesion_contrast, lesion_volume]


@pytest.fixture
def scan():
    """Truth with a dark and a bright lesion, and the lesions."""
    lesions = np.zeros((24, 26, 28), np.uint8)
    lesions[5:9, 5:9, 5:9] = 1
    lesions[14:18, 16:20, 18:22] = 2
    return np.array([100.0, 60, 120])[lesions], lesions


def test_contrast_is_the_slope_over_lesions(scan, rng):
    truth, lesions = scan
    estimate = np.array([90.0, 80, 98])[lesions]
    value = lesion_contrast(truth, estimate, lesions=lesions, voxel_size_mm=1)
    assert value == pytest.approx((-40 * -10 + 20 * 8) / (40**2 + 20**2))
    matched = lesion_contrast(
        truth, 7 * truth + 3, lesions=lesions, voxel_size_mm=1, match="affine"
    )
    assert matched == pytest.approx(1)


def test_the_shell_is_measured_in_mm(scan):
    truth, lesions = scan
    mask = np.ones(lesions.shape, bool)
    mask[12:] = False  # the dark lesion alone
    volume = truth.copy()
    volume[5:9, 5:9, 11:13] = 50  # 2 to 4 voxels beyond the lesion along the last axis

    def distance(d):
        gaps = [np.maximum(0, np.maximum(5 - np.arange(n), np.arange(n) - 8)) for n in truth.shape]
        return np.sqrt(sum(np.square(g * s) for g, s in zip(np.ix_(*gaps), d, strict=True)))

    for size in ((1, 1, 1), (1, 1, 0.5), (2, 1, 1)):
        away = distance(size)
        shell = (away > 1) & (away <= 3) & mask
        contrast = volume[5:9, 5:9, 5:9].mean() - volume[shell].mean()
        found = lesion_contrast(truth, volume, lesions=lesions, voxel_size_mm=size, mask=mask)
        assert found == pytest.approx(contrast / -40)


def test_volume_counts_voxels_beyond_half_of_the_true_contrast(scan):
    truth, lesions = scan
    estimate = np.where(lesions == 1, 100.0, truth)  # the dark lesion is lost
    value = lesion_volume(truth, estimate, lesions=lesions, voxel_size_mm=1)
    assert value == pytest.approx(0.5)
    grown = np.where(gaussian_filter((lesions == 1) * 1.0, 0.8) > 0.2, 60, estimate)
    assert lesion_volume(truth, grown, lesions=lesions, voxel_size_mm=1) > 1
    assert lesion_volume(truth, 200 - truth, lesions=lesions, voxel_size_mm=1) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_truth_blank_and_collections(scan, metric):
    truth, lesions = scan
    blank = np.full(truth.shape, 100.0)
    scores = metric(
        [truth, truth], [truth, blank], lesions=[lesions] * 2, voxel_size_mm=1, per_volume=True
    )
    assert scores.tolist() == [1, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_lesions_that_cannot_be_measured_are_refused(scan, metric):
    truth, lesions = scan
    options = {"lesions": lesions, "voxel_size_mm": 1}
    with pytest.raises(ValueError, match=f"{metric.__name__}: there is no lesion"):
        metric(truth, truth, **{**options, "lesions": 0 * lesions})
    with pytest.raises(ValueError, match="no surroundings"):
        metric(truth, truth, mask=lesions, **options)
    with pytest.raises(ValueError, match="no lesion of y_true differs"):
        metric(np.ones(truth.shape), truth, **options)
    with pytest.raises(ValueError, match="gap_mm must be"):
        metric(truth, truth, gap_mm=-1, **options)
    with pytest.raises(ValueError, match="voxel size of an array"):
        metric(truth, truth, lesions=lesions)
    with pytest.raises(GeometryMismatchError, match="lesions has shape"):
        metric(truth, truth, lesions=lesions[1:], voxel_size_mm=1)
    with pytest.raises(ValueError, match="lesions is None"):
        metric(truth, truth, lesions=None, voxel_size_mm=1)
