"""Slices in rows and columns that share one colour scale of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn_iqt.plotting._slices import VIEWS, Slice
from sklearn_iqt.plotting._style import RED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ERROR_COLORS = "inferno"


class Panel(NamedTuple):
    """A slice with its style."""

    picture: Slice
    view: str
    # Intensities of black and white, or None for errors, which share one colour scale.
    window: tuple[float, float] | None = None
    # Voxels that are painted red where they are 1.
    painted: Slice | None = None
    note: str = ""


def draw_panel(
    ax: Axes,
    panel: Panel,
    frame: Slice,
    *,
    letters: int = 0,
    largest: float | None = None,
    cmap: str = "gray",
) -> Any:
    """Draw a slice in the field of view of a frame, with the letters of its first borders."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patheffects import withStroke

    low, high = panel.window or (0.0, largest)
    drawn = ax.imshow(
        panel.picture.pixels,
        cmap=cmap if panel.window else _ERROR_COLORS,
        vmin=low,
        vmax=high,
        extent=panel.picture.extent,
        origin="lower",
        interpolation="nearest",
    )
    if panel.painted is not None:
        ax.imshow(
            panel.painted.pixels,
            cmap=ListedColormap([RED]),
            # The opacity is zero where nothing is painted.
            alpha=0.75 * panel.painted.pixels,
            extent=panel.painted.extent,
            origin="lower",
            interpolation="nearest",
        )
    left, right, bottom, top = frame.extent
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_axis_off()
    style: dict[str, Any] = {
        "color": "white",
        "fontsize": "small",
        "transform": ax.transAxes,
        "path_effects": [withStroke(linewidth=1.5, foreground="black")],
    }
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
    aligned = (("left", "center"), ("right", "center"), ("center", "bottom"), ("center", "top"))
    for n, letter in enumerate(VIEWS[panel.view][1][:letters]):
        ax.text(*places[n], letter, ha=aligned[n][0], va=aligned[n][1], **style)
    if panel.note:
        ax.text(0.97, 0.03, panel.note, ha="right", va="bottom", **style)
    return drawn


def share_window(panels: Sequence[Panel], windows: Sequence[tuple[float, float]]) -> list[Panel]:
    """Return the panels with one window that covers all windows."""
    window = min(low for low, _ in windows), max(high for _, high in windows)
    return [panel._replace(window=window) for panel in panels]


def draw_panels(
    rows: Sequence[Sequence[Panel | None]],
    frames: Sequence[Slice],
    *,
    titles: Sequence[str],
    labels: Sequence[str],
    height: float,
    largest: float | None,
    caller: str,
) -> Figure:
    """Return a figure with rows of slices, each row in the field of view of its frame."""
    # Sizes of rows and columns are proportional to the slices in mm, so that there are no gaps.
    wide = max(frame.size[0] for frame in frames)
    high = max(frame.size[1] for frame in frames)
    heights = [height * frame.size[1] / high for frame in frames]
    has_errors = any(panel and panel.window is None for row in rows for panel in row)
    label_lines = max(label.count("\n") + 1 if label else 0 for label in labels)
    margins = 0.2 * label_lines + 0.8 * has_errors
    figure = new_figure((height * wide / high * len(titles) + margins, sum(heights) + 0.3), caller)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(
        len(rows), len(titles), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    mappable = None
    for row, frame, label, line in zip(rows, frames, labels, axes, strict=True):
        for column, (panel, ax) in enumerate(zip(row, line, strict=True)):
            if panel is None:
                ax.set_axis_off()
                continue
            drawn = draw_panel(ax, panel, frame, letters=0 if column else 2, largest=largest)
            mappable = drawn if panel.window is None else mappable
        if label:
            place = {"transform": line[0].transAxes, "ha": "right", "va": "center"}
            line[0].text(-0.03, 0.5, label, rotation=90, multialignment="center", **place)
    for title, ax in zip(titles, axes[0], strict=True):
        ax.set_title(title, fontsize="medium")
    if mappable is not None:
        figure.colorbar(
            mappable,
            ax=axes,
            shrink=min(1.0, 4 / sum(heights)),
            aspect=30,
            extend="max",
            label="absolute error",
        )
    return figure
