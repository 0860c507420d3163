"""Slices of several volumes of one subject, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_iqt.plotting._panels import Panel, draw_panels, share_window
from sklearn_iqt.plotting._slices import check_views
from sklearn_iqt.plotting._subject import Subject, brightness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

_CALLER = "plot_comparison"


def plot_comparison(
    volumes: Mapping[str, Any],
    *,
    truth: Any = None,
    affine: ArrayLike | None = None,
    views: Sequence[str] = ("axial", "coronal", "sagittal"),
    position: Sequence[float] | None = None,
    height: float = 2.2,
) -> Figure:
    """Draw slices of several volumes of one subject, and their errors, side by side.

    Parameters
    ----------
    volumes : dict of str to array of shape (i, j, k), nibabel image or path
        What to compare, one column each. Grids may differ, as those of a scan and its enhancement
        do: slices are taken at the same place in mm, and shown with voxels of their true size.
    truth : array of shape (i, j, k), nibabel image or path, default=None
        Shown last; below each volume of the same shape comes its absolute error.
    affine : array-like of shape (4, 4), default=None
        Voxel to mm, for plain arrays: that of the truth, or of the first volume without one; the
        identity by default. Arrays of another shape cover the same field of view. Images and
        paths have their own.
    views : sequence of {"axial", "coronal", "sagittal"}, default=("axial", "coronal", "sagittal")
        Rows, from top to bottom.
    position : sequence of 3 floats, default=None
        Where the slices meet, in mm of the affine; the centre of the brain by default.
    height : float, default=2.2
        Height of a row in inches.

    Returns
    -------
    matplotlib.figure.Figure
        To be shown or saved with its ``savefig``. The brain is upright whatever the orientation of
        the volume: the right of the subject is at the right, superior or anterior at the top.

    Raises
    ------
    ValueError
        If there is nothing to draw, a view is unknown or the position is outside.
    GeometryMismatchError
        If a volume of the shape of the truth lies elsewhere.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    plot_estimates : One view of several test sets.
    plot_volume : The three planes of one volume.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.plotting import plot_comparison
    >>> truth = np.random.default_rng(0).random((16, 16, 16))
    >>> low = truth.reshape(16, 16, 4, 4).mean(axis=-1)
    >>> figure = plot_comparison({"low": low, "noisy": truth + 0.1}, truth=truth)
    >>> len(figure.axes)  # 3 views and their errors, 3 columns, and a colour bar
    19
    """
    if not volumes:
        raise ValueError(f"{_CALLER}: volumes is empty; pass at least one.")
    check_views(views, _CALLER)
    if truth is not None and "truth" in volumes:
        raise ValueError(f"{_CALLER}: a volume is called 'truth'; that is the last column.")
    main = next(iter(volumes)) if truth is None else "truth"
    subject = Subject(
        volumes[main] if truth is None else truth,
        main,
        affine=affine,
        position=position,
        caller=_CALLER,
    )
    titles = [*volumes, *([] if truth is None else ["truth"])]
    images: dict[str, list[Panel]] = {view: [] for view in views}
    errors: dict[str, list[Panel | None]] = {view: [] for view in views}
    percentiles, windows = [], []
    for name in titles:
        scan = subject.main if name == main else subject.read(volumes[name], name)
        windows.append(brightness(scan.voxels))
        compared = truth is not None and name != main and subject.same_grid(scan, name)
        error = subject.error(scan) if compared else None
        if error is not None:
            percentiles.append(float(np.percentile(error.voxels[subject.brain], 99)))
        for view in views:
            images[view].append(Panel(subject.cut(scan, view), view, subject.window))
            errors[view].append(None if error is None else Panel(subject.cut(error, view), view))
    rows: list[Sequence[Panel | None]] = []
    for view in views:
        rows.append(share_window(images[view], windows))
        if percentiles:
            rows.append(errors[view])
    return draw_panels(
        rows,
        [subject.cut(subject.main, view) for view in views for _ in range(len(rows) // len(views))],
        titles=titles,
        labels=[""] * len(rows),
        height=height,
        largest=max(percentiles, default=None),
        caller=_CALLER,
    )
