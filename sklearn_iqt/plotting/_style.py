"""Colours and axes of all figures. Matplotlib is imported when the first figure is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn_iqt._extras import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind readers can distinguish. Its yellow is left out
# because it is hard to see on white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#767676"
RED = "#F03B20"


def new_figure(size: tuple[float, float], caller: str) -> Figure:
    """Return an empty figure of a size in inches; raise ImportError without matplotlib."""
    with needs_extra(caller, "plot", "matplotlib"):
        import matplotlib.pyplot as plt
    return plt.figure(figsize=size, layout="constrained")


def axes_or_new(ax: Axes | None, size: tuple[float, float], caller: str) -> Axes:
    """Return the axes that the user passed, or the axes of a new figure."""
    return new_figure(size, caller).add_subplot() if ax is None else check_axes(ax, caller)


def check_axes(ax: Any, caller: str) -> Axes:
    """Return `ax`; raise TypeError if it is not a matplotlib Axes."""
    if not hasattr(ax, "imshow") or not hasattr(ax, "figure"):
        raise TypeError(f"{caller}: ax must be a matplotlib Axes, got {type(ax).__name__}.")
    return ax


def plain(ax: Axes, **labels: Any) -> None:
    """Set properties of axes, and hide the borders without ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(**labels)
