"""What all pictures share: colours, and matplotlib, imported when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn_iqt._extras import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, told apart by colour-blind readers, without its yellow, which
# white paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#767676"
RED = "#F03B20"


def new_figure(size: tuple[float, float], caller: str) -> Figure:
    """Return an empty figure of a size in inches, or say how to install matplotlib."""
    with needs_extra(caller, "plot", "matplotlib"):
        import matplotlib.pyplot as plt
    return plt.figure(figsize=size, layout="constrained")


def axes_or_new(ax: Axes | None, size: tuple[float, float], caller: str) -> Axes:
    """Return the axes of the user, or those of a new figure."""
    return new_figure(size, caller).add_subplot() if ax is None else check_axes(ax, caller)


def check_axes(ax: Any, caller: str) -> Axes:
    """Refuse what cannot be drawn on."""
    if not hasattr(ax, "imshow") or not hasattr(ax, "figure"):
        raise TypeError(f"{caller}: ax must be a matplotlib Axes, got {type(ax).__name__}.")
    return ax


def plain(ax: Axes, **labels: Any) -> None:
    """Label axes and take away the borders that carry no numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(**labels)
