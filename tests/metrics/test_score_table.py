"""Tables hold the scores of the metrics for every method and subject."""

import csv
import io

import nibabel
import numpy as np
import pytest

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.metrics import mean_scores, nrmse, psnr, score_table, ssim
from sklearn_iqt.metrics._table import format_csv


@pytest.fixture
def volumes(rng):
    """Truths of two subjects, estimates of two methods, and masks."""
    truth = rng.random((2, 12, 13, 14)) + 1
    estimates = {"a": truth + 0.1 * rng.random(truth.shape), "b": truth[::-1]}
    return truth, estimates, truth > 1.5


def test_rows_are_the_scores_of_the_metrics(volumes):
    truth, estimates, mask = volumes
    rows = score_table(truth, estimates, mask=mask, subjects=["x", "y"])
    keys = [(row["subject"], row["method"]) for row in rows]
    assert keys == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]
    for row in rows:
        n = ["x", "y"].index(row["subject"])
        pair = truth[n], estimates[row["method"]][n]
        assert row["NRMSE (max)"] == nrmse(*pair, mask=mask[n])
        assert row["NRMSE (mean)"] == nrmse(*pair, mask=mask[n], normalization="mean")
        assert row["PSNR (dB)"] == psnr(*pair, mask=mask[n])
        assert row["SSIM"] == ssim(*pair, mask=mask[n])


def test_measures_of_the_user_get_one_subject_at_a_time(volumes):
    truth, estimates, _ = volumes
    measures = {"bias": lambda truth, estimate, mask: np.mean(estimate - truth), "none": missing}
    rows = score_table(truth, estimates, measures=measures)
    assert list(rows[0]) == ["subject", "method", "bias", "none"]
    assert rows[0]["bias"] == pytest.approx(np.mean(estimates["a"][0] - truth[0]))
    assert type(rows[0]["bias"]) is float


def missing(truth, estimate, mask):
    """Return one if there is no mask."""
    return float(mask is None)


def test_the_truth_of_a_subject_is_read_once(volumes, tmp_path, monkeypatch):
    from sklearn_iqt.io import _collection

    truth, estimates, _ = volumes
    paths = [str(tmp_path / f"{n}.nii") for n in range(2)]
    for volume, path in zip(truth, paths, strict=True):
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    read, read_image = [], _collection.read_image
    monkeypatch.setattr(
        _collection, "read_image", lambda path, **nan: read.append(path) or read_image(path, **nan)
    )
    assert len(score_table(paths, estimates)) == 4
    assert read == paths


def test_means_are_grouped_by_the_requested_columns(volumes):
    truth, estimates, _ = volumes
    rows = score_table(truth, estimates)
    means = mean_scores(rows)
    assert [(mean["method"], mean["n_rows"]) for mean in means] == [("a", 2), ("b", 2)]
    for mean in means:
        assert mean["SSIM"] == ssim(truth, estimates[mean["method"]])
    by_both = mean_scores(rows, by=("subject", "method"))
    assert [mean["SSIM"] for mean in by_both] == [row["SSIM"] for row in rows]
    (all_rows,) = mean_scores(rows, by=())
    assert all_rows["n_rows"] == 4
    assert mean_scores([]) == []


def test_volumes_that_do_not_match_are_refused(volumes):
    truth, estimates, mask = volumes
    with pytest.raises(ValueError, match=r"y_true holds 2 .*1"):
        score_table(truth, {"a": estimates["a"][:1]})
    with pytest.raises(ValueError, match=r"y_true holds 2 .*mask.* 1"):
        score_table(truth, estimates, mask=mask[:1])
    with pytest.raises(ValueError, match=r"2 volumes but subjects holds 1"):
        score_table(truth, estimates, subjects=["x"])
    with pytest.raises(GeometryMismatchError):
        score_table(truth, {"a": estimates["a"][:, :-1]})
    image = nibabel.Nifti1Image(truth[0], np.eye(4))
    moved = nibabel.Nifti1Image(truth[0], np.diag([1, 1, 2, 1.0]))
    with pytest.raises(GeometryMismatchError, match="mm"):
        score_table([image], {"a": [moved]})


def test_tables_are_written_as_text(volumes):
    truth, estimates, _ = volumes
    rows = score_table(truth, estimates, subjects=["with, comma", "y"])
    read = list(csv.DictReader(io.StringIO(format_csv(rows))))
    assert read[0]["subject"] == "with, comma"
    assert [float(row["SSIM"]) for row in read] == [row["SSIM"] for row in rows]


def test_scores_in_single_precision_are_averaged():
    rows = [{"method": "a", "SSIM": np.float32(value)} for value in (0.5, 0.75)]
    assert mean_scores(rows) == [{"method": "a", "n_rows": 2, "SSIM": 0.625}]
