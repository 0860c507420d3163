"""Map of the voxels where one volume is closer to the truth than another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from sklearn_iqt.plotting._panels import Panel, draw_panel
from sklearn_iqt.plotting._slices import check_views
from sklearn_iqt.plotting._style import axes_or_new
from sklearn_iqt.plotting._subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_improvement"]

_CALLER = "plot_improvement"


def plot_improvement(
    estimate: Any,
    baseline: Any,
    truth: Any,
    *,
    mask: Any = None,
    threshold: float | None = None,
    affine: ArrayLike | None = None,
    view: str = "coronal",
    position: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Paint red where an estimate is closer to the truth than a baseline.

    Parameters
    ----------
    estimate, baseline, truth : array of shape (i, j, k), nibabel image or path
        Volumes on the same grid. The truth is drawn in grey.
    mask : array of shape (i, j, k), nibabel image or path, default=None
        Brain, where it is above zero. By default, the voxels where the truth is above zero.
    threshold : float, default=None
        Difference in intensity by which an error must be smaller to count as an improvement, at
        least 0. The default is a thousandth of the brightness of the truth, so that rounding
        errors are not painted.
    affine : array-like of shape (4, 4), default=None
        Map from voxels to mm of a truth that is an array. The default is the identity.
    view : {"axial", "coronal", "sagittal"}, default="coronal"
        View of the slice. Choose one that contains the thick axis.
    position : sequence of 3 floats, default=None
        Point in mm through which the slice is cut. The default is the centre of the brain.
    ax : Axes, default=None
        Axes to draw on. By default, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn on. The title is the percentage of the brain in which the estimate
        is closer, over all slices.

    Raises
    ------
    ValueError
        If a volume, view, position or threshold is invalid.
    GeometryMismatchError
        If the volumes are not on the same grid.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    plot_estimates : Improvements of several methods and test sets.

    Notes
    -----
    The function draws the binary maps of Figures 5 and 6 of the paper [1]_.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.plotting import plot_improvement
    >>> truth = np.random.default_rng(0).random((16, 16, 16))
    >>> estimate = truth + 0.2
    >>> estimate[:4] = truth[:4]
    >>> plot_improvement(estimate, truth + 0.2, truth).get_title()
    'closer in 25% of the brain'
    """
    check_views([view], _CALLER)
    if threshold is not None and not threshold >= 0:
        raise ValueError(f"{_CALLER}: threshold must be at least 0, got {threshold!r}.")
    subject = Subject(truth, "truth", affine=affine, mask=mask, position=position, caller=_CALLER)
    ours, theirs = (
        subject.read_same(volume, name)
        for name, volume in (("estimate", estimate), ("baseline", baseline))
    )
    red = subject.improvement(ours, theirs, threshold)
    frame = subject.cut(subject.main, view)
    ax = axes_or_new(ax, (3.2, 3.2 * frame.size[1] / frame.size[0] + 0.3), _CALLER)
    panel = Panel(frame, view, subject.window, painted=subject.cut(red, view))
    draw_panel(ax, panel, frame, letters=2)
    ax.set_title(f"closer in {subject.fraction(red):.0%} of the brain", fontsize="medium")
    return ax
