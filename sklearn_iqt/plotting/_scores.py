"""Scores of methods on the same subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sklearn_iqt.plotting._style import COLORS, GREY, axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_scores"]

_CALLER = "plot_scores"
# The mean stands this far to the right of the subjects.
_BESIDE = 0.22


def plot_scores(
    scores: Any,
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    label: str = "score",
    ax: Axes | None = None,
) -> Axes:
    """Draw the scores of every subject by method, and their means with confidence intervals.

    Parameters
    ----------
    scores : dict of str to sequence of float, or pandas.DataFrame
        One score for each subject by method, subjects in the same order. NaN where there is none.
    baseline : str, default=None
        Draw differences from this method, subject by subject, instead of the scores. Their
        intervals tell whether methods differ; those of the scores also hold how subjects differ.
    confidence : float, default=0.95
        Coverage of the intervals of the mean, between 0 and 1.
    label : str, default="score"
        What the scores are.
    ax : Axes, default=None
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A dot for every subject, joined by lines, and beside them the mean with its interval. A
        line marks zero if there are differences or negative scores.

    Raises
    ------
    ValueError
        If methods have different numbers of subjects, the baseline is unknown or the confidence is
        not between 0 and 1.
    TypeError
        If the scores are no table.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Intervals are Student's, on the subjects: of the mean score of one method, or of the mean
    difference of two methods on the same subjects. One subject has no interval.

    Examples
    --------
    >>> from sklearn_iqt.plotting import plot_scores
    >>> nrmse = {"interpolation": [0.12, 0.15, 0.11], "IQT-SRep": [0.10, 0.14, 0.10]}
    >>> ax = plot_scores(nrmse, baseline="interpolation", label="NRMSE")
    >>> ax.get_ylabel()
    'NRMSE minus that of interpolation'
    """
    names, values = _table(scores)
    if not 0 < confidence < 1:
        raise ValueError(f"{_CALLER}: confidence must be between 0 and 1, got {confidence!r}.")
    if baseline is not None:
        if baseline not in names:
            raise ValueError(f"{_CALLER}: baseline must be one of {names}, got {baseline!r}.")
        values = values - values[names.index(baseline)]
        label = f"{label} minus that of {baseline}"
        others = [n for n, name in enumerate(names) if name != baseline]
        names, values = [names[n] for n in others], values[others]
        if not names:
            raise ValueError(f"{_CALLER}: there is nothing to compare with {baseline!r}.")
    ax = axes_or_new(ax, (1.2 + 1.1 * len(names), 3.8), _CALLER)
    columns = np.arange(len(names))
    ax.plot(columns, values, color=GREY, linewidth=0.6, alpha=0.6, zorder=1)
    for column, one in zip(columns, values, strict=True):
        color = COLORS[column % len(COLORS)]
        known = one[np.isfinite(one)]
        ax.scatter(np.full(len(known), column), known, s=14, color=color, zorder=2)
        if not len(known):
            continue
        half = _half_interval(known, confidence)
        ax.errorbar(
            column + _BESIDE, known.mean(), half, fmt="D", color="black", markersize=4, capsize=3
        )
    known = values[np.isfinite(values)]
    if baseline is not None or (known.size and known.min() <= 0):
        ax.axhline(0, color="black", linewidth=0.8, linestyle="--", zorder=0)
    slanted = len(names) > 3 and max(map(len, names)) > 8
    slant: dict[str, Any] = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(columns, names, **(slant if slanted else {}))
    plain(ax, xlim=(-0.4, len(names) - 0.6 + _BESIDE), ylabel=label)
    return ax


def _table(scores: Any) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of methods, and their scores as rows."""
    if not hasattr(scores, "items"):
        raise TypeError(
            f"{_CALLER}: scores must be a dict of lists or a DataFrame, got "
            f"{type(scores).__name__}."
        )
    columns = {str(name): np.asarray(column, dtype=float) for name, column in scores.items()}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 1 or not s[0] for s in shapes.values()):
        raise ValueError(
            f"{_CALLER}: each method needs one score for every subject, the same number for all; "
            f"got shapes {shapes}."
        )
    return list(columns), np.stack(list(columns.values()))


def _half_interval(values: NDArray[np.float64], confidence: float) -> float:
    """Return how far the confidence interval of a mean reaches to each side."""
    n = len(values)
    if n < 2:
        return np.nan
    return float(stats.t.ppf((1 + confidence) / 2, n - 1) * stats.sem(values))
