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
        Volumes to compare, one column each. Their grids may differ, such as the grids of a scan
        and its enhancement: slices are cut at the same position in mm, and voxels are drawn in
        their true size.
    truth : array of shape (i, j, k), nibabel image or path, default=None
        Volume of the last column. The absolute error of every volume that has the same shape is
        drawn below that volume.
    affine : array-like of shape (4, 4), default=None
        Map from voxels to mm of the truth, or without a truth of the first volume, if it is an
        array. The default is the identity. Other arrays cover the same field of view, regardless
        of their shape. Images and files have their own affine.
    views : sequence of {"axial", "coronal", "sagittal"}, default=("axial", "coronal", "sagittal")
        Views of the rows, from top to bottom. Each row is labelled with its view.
    position : sequence of 3 floats, default=None
        Point in mm where the slices meet. The default is the centre of the brain.
    height : float, default=2.2
        Height of a row in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The new figure. The brain is upright for every orientation of the volume: the right of the
        subject is at the right, superior or anterior at the top.

    Raises
    ------
    ValueError
        If `volumes` is empty, a view is unknown or the position is outside of a volume.
    GeometryMismatchError
        If a volume has the shape of the truth but another affine.
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
        raise ValueError(f"{_CALLER}: volumes is empty. Pass at least one volume.")
    check_views(views, _CALLER)
    if truth is not None and "truth" in volumes:
        raise ValueError(f"{_CALLER}: a volume is named 'truth', as the last column is. Rename it.")
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
        labels=[label for view in views for label in ([view, "error"] if percentiles else [view])],
        height=height,
        largest=max(percentiles, default=None),
        caller=_CALLER,
    )
