"""Slices of one volume in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_iqt.plotting._panels import Panel, draw_panel
from sklearn_iqt.plotting._slices import check_views
from sklearn_iqt.plotting._style import check_axes, new_figure
from sklearn_iqt.plotting._subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_volume"]

_CALLER = "plot_volume"


def plot_volume(
    volume: Any,
    *,
    affine: ArrayLike | None = None,
    views: Sequence[str] = ("axial", "coronal", "sagittal"),
    position: Sequence[float] | None = None,
    title: str | None = None,
    cmap: str = "gray",
    window: tuple[float, float] | None = None,
    label: str | None = None,
    height: float = 2.6,
    ax: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw slices of a volume through one point, upright and to scale.

    Parameters
    ----------
    volume : array of shape (i, j, k), nibabel image or path
        Volume to draw.
    affine : array-like of shape (4, 4), default=None
        Map from voxels to mm of an array. The default is the identity. Images and files have
        their own affine.
    views : sequence of {"axial", "coronal", "sagittal"}, default=("axial", "coronal", "sagittal")
        Views of the panels, from left to right.
    position : sequence of 3 floats, default=None
        Point in mm where the slices meet. The default is the centre of the brain.
    title : str, default=None
        Title above the panels.
    cmap : str, default="gray"
        Name of a matplotlib colour map. Choose a coloured one for a volume that is not a scan,
        such as the uncertainty of a prediction.
    window : tuple of two floats, default=None
        Intensities of the first and the last colour. By default, 0 and the 99.5th percentile of the
        bright voxels. In a volume with mean zero, the 0.5th percentile replaces 0.
    label : str, default=None
        Label of a colour bar. By default, there is no colour bar.
    height : float, default=2.6
        Height of a new figure in inches.
    ax : Axes or sequence of Axes, default=None
        Axes to draw on, one for each view. By default, a new figure is made.

    Returns
    -------
    matplotlib.figure.Figure
        The new figure, or the figure of `ax`. In a new figure, all panels have the same scale in
        mm. Letters are the sides of the subject: the right is at the right. An oblique volume is
        cut along the planes of its voxels.

    Raises
    ------
    ValueError
        If a view is unknown, the position is outside of the volume, the window is empty, or the
        number of axes is not the number of views.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    plot_comparison : Several volumes of one subject.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.plotting import plot_volume
    >>> figure = plot_volume(np.random.default_rng(0).random((16, 20, 12)), title="noise")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['L', 'R', 'P', 'A']
    """
    check_views(views, _CALLER)
    if window is not None and not (len(window) == 2 and window[0] < window[1]):
        raise ValueError(
            f"{_CALLER}: window must be (first, last) with first < last, got {window!r}."
        )
    subject = Subject(volume, "volume", affine=affine, position=position, caller=_CALLER)
    slices = [subject.cut(subject.main, view) for view in views]
    if ax is None:
        widths = [piece.size[0] for piece in slices]
        highest = max(piece.size[1] for piece in slices)
        size = (height * sum(widths) / highest + 0.7 * bool(label), height + 0.3 * bool(title))
        figure = new_figure(size, _CALLER)
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
        axes = figure.subplots(1, len(views), squeeze=False, width_ratios=widths)[0].tolist()
    else:
        axes = [check_axes(one, _CALLER) for one in np.ravel(np.array(ax, dtype=object))]
        figure = axes[0].figure
    if len(axes) != len(views):
        raise ValueError(f"{_CALLER}: {len(views)} views need {len(views)} axes, got {len(axes)}.")
    for panel_ax, piece, view in zip(axes, slices, views, strict=True):
        panel = Panel(piece, view, window or subject.window)
        drawn = draw_panel(panel_ax, panel, piece, letters=4, cmap=cmap)
    if title and len(axes) == 1:
        axes[0].set_title(title)
    elif title:
        figure.suptitle(title)
    if label:
        figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=25, label=label)
    return figure
