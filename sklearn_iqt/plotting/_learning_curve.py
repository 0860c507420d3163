"""Losses of a net during its training."""

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
    """Draw the loss and the validation NRMSE of every epoch.

    Parameters
    ----------
    history : DDLRegressor, AnisoUNetRegressor or sequence of dict
        A fitted net, or its ``net_.history``: one dict for each epoch, with ``train_loss`` and,
        if there were validation volumes, ``valid_loss`` and ``valid_nrmse``.
    against : {"epoch", "step"}, default="epoch"
        Unit of the horizontal axis. A step is one batch. Steps allow comparing trainings whose
        epochs have different numbers of batches; they require ``train_batch_count`` in each epoch.
    ax : Axes, default=None
        Axes to draw on. By default, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the losses. The NRMSE is drawn on a second axes, with its scale at the right.

    Raises
    ------
    ValueError
        If there is no epoch, an epoch has no training loss, or `against` is ``"step"`` and an epoch
        has no number of batches.
    TypeError
        If `history` is neither a net nor a list of epochs.
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
            f"{_CALLER}: against='step' needs a 'train_batch_count' in each epoch. Pass "
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
    # Epochs and steps are whole numbers.
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
                f"{_CALLER}: {type(history).__name__} has no history of epochs. Pass a fitted "
                "AnisoUNetRegressor or DDLRegressor."
            )
        history = net.history
    if not isinstance(history, Sequence) or not all(isinstance(e, Mapping) for e in history):
        raise TypeError(
            f"{_CALLER}: history must be a fitted net or a list with one dict for each epoch, got "
            f"{type(history).__name__}."
        )
    if not history or not all("train_loss" in epoch for epoch in history):
        raise ValueError(
            f"{_CALLER}: history must have at least one epoch, and a 'train_loss' in each, got "
            f"{len(history)} epochs."
        )
    return history


def _draw(
    ax: Axes, ends: list[int], epochs: Sequence[Mapping[str, Any]], key: str, **style: Any
) -> None:
    """Draw the value of a key at the end of each epoch that has it."""
    points = [(n, float(e[key])) for n, e in zip(ends, epochs, strict=True) if key in e]
    if points:
        # A line through one point is invisible.
        ax.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else None, **style)
