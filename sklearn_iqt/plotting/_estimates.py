"""Figures with test sets in rows and methods in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_iqt.plotting._panels import Panel, draw_panels, share_window
from sklearn_iqt.plotting._slices import Scan, check_views
from sklearn_iqt.plotting._subject import Subject, brightness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_estimates"]

_CALLER = "plot_estimates"
_KINDS = ("estimate", "error", "improvement")


def plot_estimates(
    estimates: Mapping[str, Mapping[str, Any]],
    *,
    truth: Any,
    show: str | Sequence[str] = "estimate",
    side_by_side: bool = False,
    baseline: Any = None,
    improved: Sequence[str] | None = None,
    mask: Any = None,
    threshold: float | None = None,
    largest_error: float | None = None,
    affine: ArrayLike | None = None,
    view: str = "coronal",
    position: Sequence[float] | None = None,
    height: float = 1.8,
) -> Figure:
    """Draw the estimates of several methods for several test sets, and their errors.

    Each row is a test set and each column a method. Columns may also be something else that is
    compared, such as numbers of atoms.

    Parameters
    ----------
    estimates : dict of str to dict of str to array of shape (i, j, k), nibabel image or path
        The volumes of each test set by method: ``{"InD1": {"interpolation": volume, ...}, ...}``.
        A test set does not have to contain all methods.
    truth : array of shape (i, j, k), nibabel image or path; or dict of str to such
        One truth for all test sets, or one for each test set.
    show : {"estimate", "error", "improvement"} or sequence of these, default="estimate"
        Pictures to draw for each volume:

        - ``"estimate"``: the volume itself. The truth is drawn in the last column.
        - ``"error"``: the absolute error, on one colour scale for all volumes.
        - ``"improvement"``: the truth, painted red where the volume is closer to the truth than
          the baseline is. A number is the percentage of the brain that is closer, over all slices.

        For volumes that are not on the grid of the truth, only the estimate is drawn.
    side_by_side : bool, default=False
        Whether the pictures of a test set are drawn in one row. By default, they are drawn in
        rows below each other.
    baseline : str, volume, or dict of str to volume, default=None
        Reference for the improvements: the name of a method, one volume for all test sets, or one
        volume for each test set. Pass a file as :class:`pathlib.Path`.
    improved : sequence of str, default=None
        Methods whose improvement is drawn. By default, all methods except the baseline.
    mask : array of shape (i, j, k), nibabel image or path; or dict of str to such, default=None
        Brain, where it is above zero. By default, the voxels where the truth is above zero.
    threshold : float, default=None
        Difference in intensity by which an error must be smaller to count as an improvement, at
        least 0. The default is a thousandth of the brightness of the truth, so that rounding
        errors are not painted.
    largest_error : float, default=None
        Error at the end of the colour scale. The default is the largest 99th percentile of the
        errors in the brain among all volumes.
    affine : array-like of shape (4, 4), default=None
        Map from voxels to mm of a truth that is an array. The default is the identity. Other
        arrays cover the field of view of the truth. Images and files have their own affine.
    view : {"axial", "coronal", "sagittal"}, default="coronal"
        View of the slices. To show the detail that a method adds, choose one that contains the
        thick axis: not the coronal view of coronal slices.
    position : sequence of 3 floats, default=None
        Point in mm through which the slices are cut. The default is the centre of each brain.
    height : float, default=1.8
        Height of a row in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The new figure. The brain is upright for every orientation of the volume: the right of the
        subject is at the right. The estimates and the truth of a test set share one grey scale. An
        oblique volume is cut along the planes of its voxels.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a name, view, threshold or position is invalid.
    GeometryMismatchError
        If a volume has the shape of the truth but another affine, or the baseline or the mask is
        not on the grid of the truth.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    plot_comparison : Several views of the volumes of one subject.
    plot_improvement : Improvement of one volume.

    Notes
    -----
    The function draws three figures of the paper [1]_:

    - Figure 4 with the default parameters.
    - Figure 5 with ``show=("error", "improvement")``, ``side_by_side=True``,
      ``baseline="IQT-DL"`` and ``improved=("IQT-SRep", "IQT-DDL")``.
    - Figure 6 with the numbers of atoms as methods,
      ``show=("estimate", "error", "improvement")`` and the interpolation as baseline.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.plotting import plot_estimates
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((16, 16, 16))
    >>> estimates = {
    ...     name: {"A": truth + rng.normal(0, sigma, truth.shape), "B": truth + sigma}
    ...     for name, sigma in {"InD1": 0.1, "OOD": 0.3}.items()
    ... }
    >>> figure = plot_estimates(estimates, truth=truth)
    >>> [ax.get_title() for ax in figure.axes[:3]]
    ['A', 'B', 'truth']
    >>> figure = plot_estimates(
    ...     estimates, truth=truth, show=("error", "improvement"), baseline="A", side_by_side=True
    ... )
    >>> [ax.get_title() for ax in figure.axes[:3]]
    ['A\\nerror', 'B\\nerror', 'B\\ncloser than A']
    """
    kinds = _check(estimates, show, view, threshold, largest_error)
    names = list(dict.fromkeys(name for row in estimates.values() for name in row))
    compared = _compared_methods(names, baseline, improved) if "improvement" in kinds else []
    panels, frames, percentiles = {}, {}, []
    for row, volumes in estimates.items():
        subject = Subject(
            _of_row(truth, row, estimates, "truth"),
            f"truth of {row}",
            affine=affine,
            mask=_of_row(mask, row, estimates, "mask"),
            position=position,
            caller=_CALLER,
        )
        frames[row] = subject.cut(subject.main, view)
        reference = None
        if compared:
            volume = volumes.get(baseline) if isinstance(baseline, str) else baseline
            volume = _of_row(volume, row, estimates, "baseline")
            if volume is not None:
                reference = subject.read_same(volume, f"baseline of {row}")
        panels[row], errors = _panels_of_row(
            row, volumes, subject, view, kinds, compared, reference, threshold
        )
        percentiles += errors

    against = baseline if isinstance(baseline, str) else "baseline"
    words = {"estimate": "estimate", "error": "error", "improvement": f"closer than {against}"}
    columns = {"estimate": [*names, "truth"], "error": names, "improvement": compared}
    # Each line of the figure has a test set, a label and a kind and a method for each column.
    if side_by_side:
        places = [(kind, name) for kind in kinds for name in columns[kind]]
        titles = [f"{name}\n{words[kind]}" if len(kinds) > 1 else name for kind, name in places]
        lines = [(row, row, places) for row in estimates]
    else:
        titles = list(dict.fromkeys(name for kind in kinds for name in columns[kind]))
        lines = [
            (row, _label(row, words[kind], estimates, kinds), [(kind, name) for name in titles])
            for row in estimates
            for kind in kinds
        ]
    cells = [[panels[row].get(place) for place in places] for row, _, places in lines]
    if not any(panel for line in cells for panel in line):
        raise ValueError(
            f"{_CALLER}: no volume has the grid of the truth, so there is no {' or '.join(kinds)} "
            "to draw. Interpolate the volumes first, for example with InterpolationIQT."
        )
    if largest_error is None:
        largest_error = max(percentiles, default=0.0)
    return draw_panels(
        cells,
        [frames[row] for row, _, _ in lines],
        titles=titles,
        labels=[label for _, label, _ in lines],
        height=height,
        largest=largest_error,
        caller=_CALLER,
    )


def _compared_methods(names: list[str], baseline: Any, improved: Sequence[str] | None) -> list[str]:
    """Return the methods that are compared with the baseline."""
    if baseline is None:
        raise ValueError(f"{_CALLER}: show='improvement' needs a baseline. Pass one of {names}.")
    if isinstance(baseline, str) and baseline not in names:
        raise ValueError(
            f"{_CALLER}: baseline {baseline!r} is not among the methods {names}. Pass one of "
            "them, or a volume (a file as pathlib.Path)."
        )
    others = [name for name in names if not isinstance(baseline, str) or name != baseline]
    if improved is None:
        return others
    if isinstance(improved, str) or not set(improved) <= set(others):
        raise ValueError(
            f"{_CALLER}: improved must be a list of names among {others}, got {improved!r}."
        )
    return list(improved)


def _panels_of_row(
    row: str,
    volumes: Mapping[str, Any],
    subject: Subject,
    view: str,
    kinds: list[str],
    compared: list[str],
    reference: Scan | None,
    threshold: float | None,
) -> tuple[dict[tuple[str, str], Panel], list[float]]:
    """Return the panels of a test set by kind and method, and a percentile of each error."""
    frame = subject.cut(subject.main, view)
    images = {"truth": Panel(frame, view, subject.window)}
    windows, percentiles = [subject.window], []
    panels: dict[tuple[str, str], Panel] = {}
    # Only the truth, the baseline and one other volume are in memory at a time.
    for name, volume in volumes.items():
        scan = subject.read(volume, f"{name} of {row}")
        images[name] = Panel(subject.cut(scan, view), view, subject.window)
        windows.append(brightness(scan.voxels))
        if kinds == ["estimate"] or not subject.same_grid(scan, f"{name} of {row}"):
            continue
        error = subject.error(scan)
        percentiles.append(float(np.percentile(error.voxels[subject.brain], 99)))
        panels["error", name] = Panel(subject.cut(error, view), view)
        if reference is not None and name in compared:
            red = subject.improvement(scan, reference, threshold)
            panels["improvement", name] = Panel(
                frame,
                view,
                subject.window,
                painted=subject.cut(red, view),
                note=f"{subject.fraction(red):.0%}",
            )
    shared = share_window(list(images.values()), windows)
    panels |= {("estimate", name): panel for name, panel in zip(images, shared, strict=True)}
    return panels, percentiles


def _check(
    estimates: Any,
    show: str | Sequence[str],
    view: str,
    threshold: float | None,
    largest_error: float | None,
) -> list[str]:
    """Check the parameters, and return `show` as a list."""
    if (
        not isinstance(estimates, Mapping)
        or not estimates
        or not all(isinstance(row, Mapping) and row for row in estimates.values())
    ):
        raise ValueError(
            f"{_CALLER}: estimates must be a dict of dicts of volumes, none of them empty, such as "
            "{'InD1': {'interpolation': volume}}."
        )
    if any("truth" in row for row in estimates.values()):
        raise ValueError(f"{_CALLER}: a method is named 'truth', as the last column is. Rename it.")
    kinds = [show] if isinstance(show, str) else list(show)
    if not kinds or set(kinds) - set(_KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(f"{_CALLER}: show must be one or more of {_KINDS}, got {show!r}.")
    check_views([view], _CALLER)
    for name, value in (("threshold", threshold), ("largest_error", largest_error)):
        if value is not None and not value >= 0:
            raise ValueError(f"{_CALLER}: {name} must be at least 0, got {value!r}.")
    return kinds


def _of_row(value: Any, row: str, estimates: Mapping[str, Any], name: str) -> Any:
    """Return the volume of a test set, or the volume that all test sets share."""
    if not isinstance(value, Mapping):
        return value
    if row not in value:
        raise ValueError(
            f"{_CALLER}: {name} has no volume for {row!r}. Pass one for each of {list(estimates)}."
        )
    return value[row]


def _label(row: str, word: str, estimates: Mapping[str, Any], kinds: list[str]) -> str:
    """Return the label of a line: its test set and kind, without those that all lines share."""
    if len(kinds) == 1:
        return row
    return word if len(estimates) == 1 else f"{row}\n{word}"
