"""Label maps are compared as defined, and Atropos finds the tissues of a brain."""

import sys

import nibabel
import numpy as np
import pytest

from sklearn_iqt.exceptions import GeometryMismatchError, MissingExtraError
from sklearn_iqt.metrics import segment_tissues, tissue_dice, tissue_volume_error


@pytest.mark.parametrize(("tissue", "label"), [("csf", 1), ("gm", 2), ("wm", 3)])
def test_overlap_and_volume_agree_with_their_definition(rng, tissue, label):
    truth, estimate = rng.integers(0, 4, (2, 9, 8, 7))
    mask = rng.random(truth.shape) > 0.3
    a, b = (set(map(tuple, np.argwhere((v == label) & mask))) for v in (truth, estimate))
    options = {"tissue": tissue, "mask": mask}
    expected = 2 * len(a & b) / (len(a) + len(b))
    assert tissue_dice(truth, estimate, **options) == pytest.approx(expected)
    error = tissue_volume_error(truth, estimate, **options)
    assert error == pytest.approx(len(b) / len(a) - 1)
    assert tissue_dice([truth, truth], [truth, 0 * truth], per_volume=True).tolist() == [1, 0]
    assert tissue_volume_error(truth, 0 * truth) == -1
    assert tissue_volume_error(0 * truth, truth) == np.inf


@pytest.mark.parametrize("metric", [tissue_dice, tissue_volume_error])
def test_other_values_than_labels_are_refused(metric, rng):
    labels = rng.integers(0, 4, (5, 5, 5))
    with pytest.raises(ValueError, match=rf"{metric.__name__}, y_pred: 125 voxels have other"):
        metric(labels, rng.random(labels.shape))
    with pytest.raises(ValueError, match="neither label map has gm"):
        metric(0 * labels, 0 * labels)
    with pytest.raises(ValueError, match="tissue must be one of"):
        metric(labels, labels, tissue="bone")


def test_the_extra_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(MissingExtraError, match=r"sklearn-iqt\[segment\]"):
        segment_tissues(np.ones((4, 4, 4)), mask=np.ones((4, 4, 4)), voxel_size_mm=1)


@pytest.fixture
def brain(rng):
    """Noisy tissues in three shells, and their label map."""
    pytest.importorskip("ants")
    radius = np.linalg.norm(
        np.indices((30, 28, 26)) - np.array([15, 14, 13])[:, None, None, None], axis=0
    )
    labels = np.select([radius < 5, radius < 9, radius < 12], [1, 3, 2])
    volume = np.array([0.0, 30, 70, 110])[labels] + rng.normal(0, 6, labels.shape)
    return volume, labels


def test_atropos_finds_the_tissues(brain):
    volume, labels = brain
    mask = labels > 0
    found = segment_tissues(volume, mask=mask, voxel_size_mm=1)
    assert found.dtype == np.uint8
    assert ((found > 0) == mask).all()
    for tissue in ("csf", "gm", "wm"):
        assert tissue_dice(labels, found, tissue=tissue) > 0.95
    # Neither the unit nor the voxels outside the mask matter.
    other = segment_tissues(np.where(mask, 1e4 * volume, 7), mask=mask, voxel_size_mm=1)
    assert (other == found).mean() > 0.999
    affine = np.diag([1.0, 2, 3, 1])
    image = segment_tissues(nibabel.Nifti1Image(volume, affine), mask=mask)
    np.testing.assert_array_equal(image.affine, affine)


def test_what_cannot_be_segmented_is_refused(brain):
    volume, labels = brain
    with pytest.raises(ValueError, match="voxel size of an array"):
        segment_tissues(volume, mask=labels)
    with pytest.raises(ValueError, match="mask is None"):
        segment_tissues(volume, mask=None, voxel_size_mm=1)
    with pytest.raises(ValueError, match="constant inside the mask"):
        segment_tissues(np.ones(volume.shape), mask=labels, voxel_size_mm=1)
    with pytest.raises(GeometryMismatchError, match="mask has shape"):
        segment_tissues(volume, mask=labels[1:], voxel_size_mm=1)
