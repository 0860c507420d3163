"""Differences between methods on the same subjects, with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["mean_interval", "paired_differences"]

_CALLER = "paired_differences"
_FLOAT = (float, np.floating)


def paired_differences(
    rows: Iterable[Mapping[str, Any]],
    reference: str,
    *,
    measures: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Compare each method with a reference method on the same subjects.

    Parameters
    ----------
    rows : iterable of dict
        Rows with the columns "subject" and "method" and columns of scores, such as
        :func:`score_table` returns. Several rows of one subject and method, for example of two
        scans, are averaged first, because the subject is the unit that varies independently.
    reference : str
        Method whose scores are subtracted from the scores of the other methods.
    measures : sequence of str, default=None
        Columns to compare. By default all columns of floats.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    list of dict
        A row for each measure and each other method, with the columns "measure", "method",
        "reference", "n_subjects", "difference" (the mean of method minus reference), "low" and
        "high" (its confidence interval), "p" and "p_holm". A subject without a finite score of both
        methods is left out and is not counted in "n_subjects". With fewer than two subjects,
        interval and p are NaN, and p is NaN if all differences are equal.

    Raises
    ------
    ValueError
        If there is no other method, or the reference, a measure or the confidence is not valid.

    See Also
    --------
    score_table : Scores of several methods for each subject.
    sklearn_iqt.plotting.plot_scores : The same differences as a figure.

    Notes
    -----
    Intervals and p are from Student's t test of paired samples. "p_holm" corrects p for the number
    of methods that are compared with the reference by one measure [1]_. It does not correct for the
    number of measures.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
       of Statistics 6 (1979).

    Examples
    --------
    >>> from sklearn_iqt.metrics import paired_differences
    >>> scores = {"cubic": [0.20, 0.25, 0.30], "srep": [0.11, 0.14, 0.21]}
    >>> rows = [
    ...     {"subject": str(n), "method": method, "NRMSE": score}
    ...     for method, column in scores.items()
    ...     for n, score in enumerate(column)
    ... ]
    >>> (row,) = paired_differences(rows, "cubic")
    >>> row["method"], row["n_subjects"], round(row["difference"], 4)
    ('srep', 3, -0.0967)
    >>> round(row["low"], 4), round(row["high"], 4)
    (-0.1254, -0.068)
    """
    rows = list(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    if reference not in methods:
        raise ValueError(f"{_CALLER}: reference must be one of {methods}, got {reference!r}.")
    others = [method for method in methods if method != reference]
    if not others:
        raise ValueError(
            f"{_CALLER}: there is no method to compare with {reference!r}. Pass the rows of two "
            "or more methods."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"{_CALLER}: confidence must be between 0 and 1, got {confidence!r}.")
    if measures is None:
        measures = [
            name for name, value in rows[0].items() if isinstance(value, (float, np.floating))
        ]
    for name in measures:
        if not all(
            isinstance(row.get(name), (float, int, np.floating, np.integer)) for row in rows
        ):
            raise ValueError(f"{_CALLER}: {name!r} is not a column of numbers in all rows.")
    compared = []
    for measure in measures:
        scores = {method: _by_subject(rows, method, measure) for method in methods}
        family = [
            _compare(scores[method], scores[reference], confidence)
            | {"measure": measure, "method": method, "reference": reference}
            for method in others
        ]
        corrected = _holm([row["p"] for row in family])
        keys = ("measure", "method", "reference", "n_subjects", "difference", "low", "high", "p")
        compared += [
            {**{key: row[key] for key in keys}, "p_holm": float(p)}
            for row, p in zip(family, corrected, strict=True)
        ]
    return compared


def mean_interval(values: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the confidence interval of a mean by Student's t distribution.

    Parameters
    ----------
    values : array-like of shape (n,)
        Independent finite values.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    low, high : float
        The interval. It is NaN for fewer than two values.

    Examples
    --------
    >>> low, high = mean_interval([1.0, 2.0, 3.0], 0.95)
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def _by_subject(rows: list[Mapping[str, Any]], method: str, measure: str) -> dict[Any, float]:
    """Return the mean score of each subject."""
    scores: dict[Any, list[float]] = {}
    for row in rows:
        if row["method"] == method:
            scores.setdefault(row["subject"], []).append(row[measure])
    return {subject: float(np.mean(values)) for subject, values in scores.items()}


def _compare(
    ours: Mapping[Any, float], theirs: Mapping[Any, float], confidence: float
) -> dict[str, Any]:
    """Return number, mean, interval and p of the differences on the subjects of both."""
    shared = [subject for subject in ours if subject in theirs]
    pairs = np.array([(ours[subject], theirs[subject]) for subject in shared]).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    differences = pairs[:, 0] - pairs[:, 1]
    low, high = mean_interval(differences, confidence)
    varies = len(differences) > 1 and np.ptp(differences) > 0
    return {
        "n_subjects": len(differences),
        "difference": float(differences.mean()) if len(differences) else np.nan,
        "low": low,
        "high": high,
        "p": float(stats.ttest_1samp(differences, 0).pvalue) if varies else np.nan,
    }


def _holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p after Holm's correction; NaN is not part of the family."""
    corrected = np.array(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(corrected))
    order = known[np.argsort(corrected[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * corrected[order]))
    return corrected
