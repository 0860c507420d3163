"""Paired differences equal scipy's paired t test, and p follows the definition of Holm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sklearn_iqt.metrics import paired_differences

METHODS = ("cubic", "srep", "net", "ridge")


@pytest.fixture
def scores(rng):
    """Scores of four methods for seven subjects, which differ more than the methods."""
    subjects = rng.normal(0.3, 0.1, 7)
    return {m: subjects - 0.01 * n + rng.normal(0, 0.01, 7) for n, m in enumerate(METHODS)}


def table(scores, **more):
    return [
        {"subject": f"s{n}", "method": method, "NRMSE": float(score), **more}
        for method, column in scores.items()
        for n, score in enumerate(column)
    ]


def test_differences_equal_the_paired_t_test(scores):
    rows = paired_differences(table(scores), "cubic", confidence=0.9)
    assert [row["method"] for row in rows] == ["srep", "net", "ridge"]
    for row in rows:
        expected = stats.ttest_rel(scores[row["method"]], scores["cubic"])
        assert row["difference"] == pytest.approx(np.mean(scores[row["method"]] - scores["cubic"]))
        assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.9)))
        assert row["p"] == pytest.approx(expected.pvalue)
        assert row["n_subjects"] == 7
        assert row["reference"] == "cubic"
        assert row["measure"] == "NRMSE"


def test_p_is_corrected_for_the_number_of_methods(scores):
    rows = paired_differences(table(scores), "cubic")
    p = [row["p"] for row in rows]
    # Holm 1979: the smallest p times m, the next times m - 1, and never below a smaller one.
    smallest, middle, largest = np.sort(p)
    steps = np.minimum(1, np.maximum.accumulate([3 * smallest, 2 * middle, largest]))
    assert np.sort([row["p_holm"] for row in rows]) == pytest.approx(steps)
    assert [row["p_holm"] for row in rows] == pytest.approx(steps[np.argsort(np.argsort(p))])


def test_the_order_of_subjects_and_missing_or_infinite_scores_do_not_matter(scores):
    rows = table(scores)
    whole = paired_differences([row for row in rows if row["subject"] != "s3"], "net")
    partial = [row for row in rows if (row["subject"], row["method"]) != ("s3", "net")]
    assert paired_differences(partial[::-1], "net", measures=["NRMSE"])[::-1] == [
        pytest.approx(row) for row in whole
    ]
    infinite = [
        {**row, "NRMSE": np.inf} if (row["subject"], row["method"]) == ("s3", "net") else row
        for row in rows
    ]
    assert paired_differences(infinite, "net") == [pytest.approx(row) for row in whole]
    assert {row["n_subjects"] for row in whole} == {6}


def test_several_scans_of_a_subject_count_once(scores):
    rows = table(scores)
    noise = iter(np.random.default_rng(1).normal(0, 0.02, len(rows)))
    moved = [(row, next(noise)) for row in rows]
    twice = [{**row, "NRMSE": row["NRMSE"] + sign * m} for row, m in moved for sign in (-1, 1)]
    expected = paired_differences(rows, "cubic")
    assert paired_differences(twice, "cubic") == [pytest.approx(row) for row in expected]


def test_one_subject_has_no_interval_and_equal_differences_no_p():
    (row,) = paired_differences(table({"a": [1.0], "b": [3.0]}), "a")
    assert row["difference"] == 2
    assert np.isnan([row["low"], row["high"], row["p"], row["p_holm"]]).all()
    (row,) = paired_differences(table({"a": [1.0, 2.0], "b": [3.0, 4.0]}), "a")
    assert (row["low"], row["difference"], row["high"]) == (2, 2, 2)
    assert np.isnan(row["p"])


def test_wrong_arguments_are_refused(scores):
    rows = table(scores, scan="a.nii")
    for arguments, options, reason in (
        ((rows, "dl"), {}, r"reference must be one of \['cubic', .*got 'dl'"),
        ((rows[:7], "cubic"), {}, "no method to compare with 'cubic'"),
        ((rows, "cubic"), {"confidence": 95}, "confidence must be between 0 and 1"),
        ((rows, "cubic"), {"measures": ["scan"]}, "'scan' is not a column of numbers"),
        ((rows, "cubic"), {"measures": ["SSIM"]}, "'SSIM' is not a column of numbers"),
    ):
        with pytest.raises(ValueError, match=reason):
            paired_differences(*arguments, **options)
