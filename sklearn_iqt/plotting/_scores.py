"""Scores of several methods for the same subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.metrics._differences import mean_interval
from sklearn_iqt.plotting._style import COLORS, GREY, axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_scores"]

_CALLER = "plot_scores"
# Distance of the mean from the dots of the subjects, to the right.
_MEAN_OFFSET = 0.22


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
        One score for each subject, by method. All methods have the subjects in the same order.
        A missing score is NaN.
    baseline : str, default=None
        Method whose score is subtracted from the scores of the same subject. Intervals of these
        differences show whether methods differ. Without a baseline, intervals also contain the
        differences between subjects.
    confidence : float, default=0.95
        Coverage of the confidence intervals of the means, between 0 and 1.
    label : str, default="score"
        Name of the scores.
    ax : Axes, default=None
        Axes to draw on. By default, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn on. Dots are subjects, and lines join the dots of a subject. The
        mean and its interval are drawn to the right of the dots. A horizontal line marks zero if
        there are differences or negative scores.

    Raises
    ------
    ValueError
        If methods have different numbers of subjects, the baseline is unknown or the confidence is
        not between 0 and 1.
    TypeError
        If `scores` is neither a dict nor a DataFrame.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Intervals follow Student's t distribution. They are intervals of the mean score of one method
    over subjects, or of the mean difference of two methods on the same subjects. One subject has
    no interval.

    Examples
    --------
    >>> from sklearn_iqt.plotting import plot_scores
    >>> nrmse = {"interpolation": [0.12, 0.15, 0.11], "IQT-SRep": [0.10, 0.14, 0.10]}
    >>> ax = plot_scores(nrmse, baseline="interpolation", label="NRMSE")
    >>> ax.get_ylabel()
    'NRMSE,\\ndifference from interpolation'
    """
    names, values = _table(scores)
    if not 0 < confidence < 1:
        raise ValueError(f"{_CALLER}: confidence must be between 0 and 1, got {confidence!r}.")
    if baseline is not None:
        if baseline not in names:
            raise ValueError(f"{_CALLER}: baseline must be one of {names}, got {baseline!r}.")
        values = values - values[names.index(baseline)]
        label = f"{label},\ndifference from {baseline}"
        others = [n for n, name in enumerate(names) if name != baseline]
        names, values = [names[n] for n in others], values[others]
        if not names:
            raise ValueError(
                f"{_CALLER}: there is no method to compare with {baseline!r}. Pass one."
            )
    ax = axes_or_new(ax, (1.2 + 1.1 * len(names), 3.8), _CALLER)
    columns = np.arange(len(names))
    ax.plot(columns, values, color=GREY, linewidth=0.6, alpha=0.6, zorder=1)
    for column, row in zip(columns, values, strict=True):
        color = COLORS[column % len(COLORS)]
        known = row[np.isfinite(row)]
        ax.scatter(np.full(len(known), column), known, s=14, color=color, zorder=2)
        if not len(known):
            continue
        _, high = mean_interval(known, confidence)
        ax.errorbar(
            column + _MEAN_OFFSET,
            known.mean(),
            high - known.mean(),
            fmt="D",
            color="black",
            markersize=4,
            capsize=3,
        )
    known = values[np.isfinite(values)]
    if baseline is not None or (known.size and known.min() <= 0):
        ax.axhline(0, color="black", linewidth=0.8, linestyle="--", zorder=0)
    longest = max(map(len, names))
    slanted = longest > 12 or (len(names) > 3 and longest > 8)
    slant: dict[str, Any] = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(columns, names, **(slant if slanted else {}))
    plain(ax, xlim=(-0.4, len(names) - 0.6 + _MEAN_OFFSET), ylabel=label)
    return ax


def _table(scores: Any) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of the methods, and their scores of shape (n_methods, n_subjects)."""
    if not hasattr(scores, "items"):
        raise TypeError(
            f"{_CALLER}: scores must be a dict of lists or a DataFrame, got "
            f"{type(scores).__name__}."
        )
    columns = {str(name): np.asarray(column, dtype=float) for name, column in scores.items()}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 1 or not s[0] for s in shapes.values()):
        raise ValueError(
            f"{_CALLER}: all methods must have the same number of scores, one for each subject, "
            f"got shapes {shapes}."
        )
    return list(columns), np.stack(list(columns.values()))
