"""How the training of a net went."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from sklearn_iqt.plotting._style import COLORS, axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_learning_curve"]

_CALLER = "plot_learning_curve"


def plot_learning_curve(history: Any, *, against: str = "epoch", ax: Axes | None = None) -> Axes:
    """Draw the loss of every epoch, and the NRMSE on the validation volumes.

    Parameters
    ----------
    history : DDLRegressor, AnisoUNetRegressor or sequence of dict
        A fitted net, or its ``net_.history``: one dict for each epoch with ``train_loss`` and,
        where there was a validation, ``valid_loss`` and ``valid_nrmse``.
    against : {"epoch", "step"}, default="epoch"
        What runs to the right. Steps, batches that were learned from, compare trainings whose
        epochs differ in size; each epoch needs its ``train_batch_count`` then.
    ax : Axes, default=None
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        That of the losses. The NRMSE has an axis of its own at the right, which shares its epochs.

    Raises
    ------
    ValueError
        If there is no epoch, or one without a training loss or, for steps, a number of batches.
    TypeError
        If it is neither a net nor a history.
    NotFittedError
        If the net is not fitted.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from sklearn_iqt.plotting import plot_learning_curve
    >>> history = [
    ...     {"train_loss": 1 / n, "valid_loss": 1.2 / n, "valid_nrmse": 0.2 / n} for n in (1, 2, 3)
    ... ]
    >>> [line.get_label() for line in plot_learning_curve(history).lines]
    ['training', 'validation']
    """
    if against not in ("epoch", "step"):
        raise ValueError(f"{_CALLER}: against must be 'epoch' or 'step', got {against!r}.")
    epochs = _epochs(history)
    if against == "step" and not all("train_batch_count" in epoch for epoch in epochs):
        raise ValueError(
            f"{_CALLER}: epochs without a 'train_batch_count' cannot be drawn against steps; pass "
            "against='epoch'."
        )
    sizes = [epoch["train_batch_count"] if against == "step" else 1 for epoch in epochs]
    ends = list(itertools.accumulate(sizes))
    ax = axes_or_new(ax, (4.5, 3), _CALLER)
    from matplotlib.ticker import MaxNLocator

    curves = {"training": "train_loss", "validation": "valid_loss"}
    for (label, key), style in zip(curves.items(), ("-", "--"), strict=True):
        _draw(ax, ends, epochs, key, label=label, color=COLORS[0], linestyle=style)
    plain(ax, xlabel=against, ylabel="loss")
    # There is no half of one.
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(ax.lines) > 1:
        ax.legend(frameon=False)
    if any("valid_nrmse" in epoch for epoch in epochs):
        right = ax.twinx()
        right.spines["top"].set_visible(False)
        _draw(right, ends, epochs, "valid_nrmse", color=COLORS[1], linestyle="-.", label="NRMSE")
        right.set_ylabel("validation NRMSE", color=COLORS[1])
        right.tick_params(axis="y", labelcolor=COLORS[1])
        ax.yaxis.label.set_color(COLORS[0])
        ax.tick_params(axis="y", labelcolor=COLORS[0])
    return ax


def _epochs(history: Any) -> Sequence[Mapping[str, Any]]:
    if hasattr(history, "fit"):
        check_is_fitted(history)
        net = getattr(history, "net_", history)
        if not hasattr(net, "history"):
            raise TypeError(
                f"{_CALLER}: {type(history).__name__} has no history of epochs; pass a fitted "
                "AnisoUNetRegressor or DDLRegressor."
            )
        history = net.history
    if not isinstance(history, Sequence) or not all(isinstance(e, Mapping) for e in history):
        raise TypeError(
            f"{_CALLER}: history must be a fitted net or a list of dicts, one for each epoch, got "
            f"{type(history).__name__}."
        )
    if not history or not all("train_loss" in epoch for epoch in history):
        raise ValueError(
            f"{_CALLER}: history must hold at least one epoch, and each a 'train_loss'; got "
            f"{len(history)} epochs."
        )
    return history


def _draw(
    ax: Axes, ends: list[int], epochs: Sequence[Mapping[str, Any]], key: str, **style: Any
) -> None:
    """Draw one number at the end of each epoch that has it."""
    points = [(n, float(e[key])) for n, e in zip(ends, epochs, strict=True) if key in e]
    if points:
        # A point shows where a line cannot.
        ax.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else None, **style)
