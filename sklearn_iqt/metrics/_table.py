"""Tables of the scores of methods for subjects, their means, and their CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from sklearn_iqt.io import Cohort, as_volumes
from sklearn_iqt.metrics._volume import nrmse, psnr, ssim

__all__ = ["MEASURES", "format_csv", "mean_scores", "score_table"]

Measure = Callable[[Any, Any, Any], Any]

# The measures of tables for users, under the headings of their columns.
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "NRMSE (max)": lambda truth, estimate, mask: nrmse(truth, estimate, mask=mask),
        "NRMSE (mean)": lambda truth, estimate, mask: nrmse(
            truth, estimate, mask=mask, normalization="mean"
        ),
        "NRMSE (max, after gain)": lambda truth, estimate, mask: nrmse(
            truth, estimate, mask=mask, match="gain"
        ),
        "PSNR (dB)": lambda truth, estimate, mask: psnr(truth, estimate, mask=mask),
        "SSIM": lambda truth, estimate, mask: ssim(truth, estimate, mask=mask),
    }
)


def score_table(
    y_true: Any,
    estimates: Mapping[str, Any],
    *,
    mask: Any = None,
    subjects: Sequence[str] | None = None,
    measures: Mapping[str, Measure] | None = None,
) -> list[dict[str, Any]]:
    """Score the estimates of several methods for each subject.

    Parameters
    ----------
    y_true : array of shape (n, i, j, k) or sequence of volumes
        True volumes, one for each subject.
    estimates : dict of str to the same kind
        Name of each method and its estimates, in the order of the subjects.
    mask : same kind, default=None
        Only voxels above zero count. By default all voxels count.
    subjects : sequence of str, default=None
        Names of the subjects; by default "0", "1" and so on.
    measures : dict of str to callable, default=None
        Name of each measure, and a function of the truth, the estimate and the mask (or None) of
        one subject, as arrays. By default :func:`nrmse` with two normalizations and with a matched
        gain, :func:`psnr` and :func:`ssim`.

    Returns
    -------
    list of dict
        A row for each subject and method, with all methods of a subject together. It has the
        columns "subject" and "method", and a column of floats for each measure.
        ``pandas.DataFrame(rows)`` makes a data frame.

    Raises
    ------
    ValueError
        If the numbers of volumes differ, or a measure is not defined for a volume.
    GeometryMismatchError
        If an estimate or a mask is not on the grid of its truth.

    See Also
    --------
    mean_scores : Means over subjects.
    paired_differences : Differences between methods on the same subjects.
    volume_scorers : The same measures for scikit-learn's model selection.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import mean_scores, score_table
    >>> truth = np.random.default_rng(0).random((2, 12, 12, 12))
    >>> rows = score_table(truth, {"exact": truth, "off by a tenth": truth + 0.1})
    >>> [(row["subject"], row["method"]) for row in rows[:2]]
    [('0', 'exact'), ('0', 'off by a tenth')]
    >>> [round(row["SSIM"], 2) for row in mean_scores(rows)]
    [1.0, 0.98]
    """
    caller = "score_table"
    measures = MEASURES if measures is None else measures
    truths = Cohort(y_true, mask=mask, caller=caller, names=("y_true", "", "mask"))
    collections = {}
    for method, volumes in estimates.items():
        names = ("y_true", f"estimates[{method!r}]", "")
        collections[method] = as_volumes(volumes, name=names[1], caller=caller)
        Cohort(truths.low, collections[method], caller=caller, names=names)  # checks the grids
    subjects = [str(n) for n in range(len(truths))] if subjects is None else subjects
    if len(subjects) != len(truths):
        raise ValueError(
            f"{caller}: y_true holds {len(truths)} volumes but subjects holds {len(subjects)} "
            "names. Pass one name for each volume."
        )
    rows = []
    for n, subject in enumerate(subjects):
        truth, _, inside, _ = truths.read(n)
        background = None if inside is None else ~inside
        for method, collection in collections.items():
            estimate, _ = collection.read(n, background)
            scores = {
                name: float(measure(truth, estimate, inside)) for name, measure in measures.items()
            }
            rows.append({"subject": subject, "method": method, **scores})
    return rows


def mean_scores(
    rows: Iterable[Mapping[str, Any]], by: Sequence[str] = ("method",)
) -> list[dict[str, Any]]:
    """Average scores over subjects.

    Parameters
    ----------
    rows : iterable of dict
        Rows such as :func:`score_table` returns.
    by : sequence of str, default=("method",)
        Columns to group the rows by.

    Returns
    -------
    list of dict
        A row for each combination of values in these columns, in the order of their first
        appearance. It has the values, the number of rows as "n_rows", and the mean of every column
        of floats.

    Examples
    --------
    >>> from sklearn_iqt.metrics import mean_scores
    >>> mean_scores([{"method": "a", "SSIM": 0.5}, {"method": "a", "SSIM": 0.75}])
    [{'method': 'a', 'n_rows': 2, 'SSIM': 0.625}]
    """
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return [
        {
            **dict(zip(by, key, strict=True)),
            "n_rows": len(group),
            **{
                name: float(np.mean([row[name] for row in group]))
                for name, value in group[0].items()
                if isinstance(value, (float, np.floating)) and name not in by
            },
        }
        for key, group in groups.items()
    ]


def format_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as comma-separated text below a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
