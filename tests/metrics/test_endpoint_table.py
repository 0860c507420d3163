"""Rows of endpoints hold the values of the metrics."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import (
    coherence,
    endpoint_table,
    lesion_contrast,
    mean_scores,
    nrmse,
    tissue_dice,
)

COLUMNS = ["NRMSE (max, after gain)", "GM Dice", "coherence above Nyquist", "lesion contrast"]


def threshold(volume, *, mask, voxel_size_mm):
    """Segment a volume by thresholds."""
    assert np.all(voxel_size_mm == np.array([1, 1, 2]))
    return np.where(mask, np.digitize(volume, [5, 10, 15]), 0)


@pytest.fixture
def study(rng):
    """Truths, estimates, masks and lesions of two subjects."""
    truths = [rng.random((14, 12, 64 + 8 * n)) * 20 for n in range(2)]
    estimates = {
        "exact": truths,
        "noisy": [2 * truth + rng.normal(0, 5, truth.shape) for truth in truths],
    }
    masks = [np.ones(truth.shape, "u1") for truth in truths]
    lesions = [np.zeros(truth.shape, "u1") for truth in truths]
    for mask, lesion, truth in zip(masks, lesions, truths, strict=True):
        mask[:2] = 0
        lesion[6:8, 6:8, 30:32] = 1
        truth[lesion > 0] = 40
    return truths, estimates, masks, lesions


def test_rows_hold_the_metrics(study):
    truths, estimates, masks, lesions = study
    size = (1, 1, 2)
    rows = endpoint_table(
        truths,
        estimates,
        mask=masks,
        lesions=lesions,
        segmenter=threshold,
        voxel_size_mm=size,
        subjects=["a", "b"],
    )
    assert [(row["subject"], row["method"]) for row in rows] == [
        ("a", "exact"),
        ("a", "noisy"),
        ("b", "exact"),
        ("b", "noisy"),
    ]
    for row in rows:
        n = "ab".index(row["subject"])
        pair, mask = (truths[n], estimates[row["method"]][n]), masks[n]
        labels = [threshold(v, mask=mask > 0, voxel_size_mm=size) for v in pair]
        options = {"lesions": lesions[n], "voxel_size_mm": size, "match": "gain"}
        expected = [
            nrmse(*pair, mask=mask, match="gain"),
            tissue_dice(*labels, mask=mask),
            coherence(*pair, mask=mask),
            lesion_contrast(*pair, mask=mask, **options),
        ]
        assert [row[name] for name in COLUMNS] == expected
    assert [rows[0][name] for name in COLUMNS] == pytest.approx([0, 1, 1, 1])
    assert list(mean_scores(rows)[1]) == ["method", "n_rows", *COLUMNS]


def test_images_know_their_voxel_size(study):
    truths, estimates, masks, lesions = study
    images = [nibabel.Nifti1Image(truth, np.diag([1, 1, 2, 1.0])) for truth in truths]
    rows = endpoint_table(images, estimates, mask=masks, lesions=lesions, segmenter=threshold)
    assert rows[0]["lesion contrast"] == pytest.approx(1)
    short = endpoint_table(images, estimates, mask=masks, segmenter=None)
    assert list(short[0]) == ["subject", "method", COLUMNS[0], COLUMNS[2]]


def test_volumes_that_do_not_match_are_refused(study):
    truths, estimates, masks, lesions = study
    options = {"mask": masks, "segmenter": None, "voxel_size_mm": 1}
    with pytest.raises(ValueError, match="mask is None"):
        endpoint_table(truths, estimates, **{**options, "mask": None})
    with pytest.raises(ValueError, match="2 volumes but subjects holds 1"):
        endpoint_table(truths, estimates, subjects=["a"], **options)
    with pytest.raises(ValueError, match=r"y_true holds 2 .*lesions holds 1"):
        endpoint_table(truths, estimates, lesions=lesions[:1], **options)
    with pytest.raises(GeometryMismatchError, match="estimates"):
        endpoint_table(truths, {"a": [v[1:] for v in truths]}, **options)
