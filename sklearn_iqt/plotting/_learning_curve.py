"""How the training of a net went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from sklearn_iqt.plotting._style import COLORS, axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_learning_curve"]

_CALLER = "plot_learning_curve"


def plot_learning_curve(history: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the loss of every epoch, and the NRMSE on the validation volumes.

    Parameters
    ----------
    history : DDLRegressor, AnisoUNetRegressor or sequence of dict
        A fitted net, or its ``net_.history``: one dict for each epoch with ``train_loss`` and,
        where there was a validation, ``valid_loss`` and ``valid_nrmse``.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        That of the losses. The NRMSE has an axis of its own at the right, which shares its epochs.

    Raises
    ------
    ValueError
        If there is no epoch, or one without a training loss.
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
    epochs = _epochs(history)
    ax = axes_or_new(ax, (4.5, 3), _CALLER)
    from matplotlib.ticker import MaxNLocator

    curves = {"training": "train_loss", "validation": "valid_loss"}
    for (label, key), style in zip(curves.items(), ("-", "--"), strict=True):
        _draw(ax, epochs, key, label=label, color=COLORS[0], linestyle=style)
    plain(ax, xlabel="epoch", ylabel="loss")
    # Half an epoch is none.
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(ax.lines) > 1:
        ax.legend(frameon=False)
    if any("valid_nrmse" in epoch for epoch in epochs):
        right = ax.twinx()
        right.spines["top"].set_visible(False)
        _draw(right, epochs, "valid_nrmse", color=COLORS[1], linestyle="-.", label="NRMSE")
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


def _draw(ax: Axes, epochs: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    """Draw one number against the epochs that have it, counted from one."""
    points = [(n, float(epoch[key])) for n, epoch in enumerate(epochs, start=1) if key in epoch]
    if points:
        # A point shows where a line cannot.
        ax.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else None, **style)
