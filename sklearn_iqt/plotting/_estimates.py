"""Test sets in rows, methods in columns: the estimates, their errors, and who is closer."""

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
    beside: bool = False,
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
    """Draw what several methods make of several test sets, their errors, and who is closer.

    Each row is a test set and each column a method, or anything else that is compared, such as
    numbers of atoms.

    Parameters
    ----------
    estimates : dict of str to dict of str to array of shape (i, j, k), nibabel image or path
        The volumes of each test set by method: ``{"InD1": {"interpolation": volume, ...}, ...}``.
        A method may miss in a test set.
    truth : array of shape (i, j, k), nibabel image or path; or dict of str to such
        The truth of all test sets, or of each.
    show : {"estimate", "error", "improvement"} or sequence of these, default="estimate"
        What is drawn of each volume: itself, with the truth in the last column; its absolute
        error, on one colour scale for all; or, in red on the truth, where it is closer to the
        truth than the baseline, with the percentage of the brain, of all its slices, that is.
        Of volumes that are not on the grid of the truth only the estimate is drawn.
    beside : bool, default=False
        Whether what is drawn of a test set lies beside one another, not below one another.
    baseline : str, volume, or dict of str to volume, default=None
        What an improvement is measured against: the name of a method, or a volume for all test
        sets or for each. Give a file as :class:`pathlib.Path`.
    improved : sequence of str, default=None
        Methods whose improvement is drawn; by default all but the baseline.
    mask : array of shape (i, j, k), nibabel image or path; or dict of str to such, default=None
        The brain is where it is above zero; by default where the truth is.
    threshold : float, default=None
        How much smaller, in intensity, an error must be to be an improvement, at least 0. By
        default a thousandth of the brightness of the truth, so that what differs by rounding is
        not painted.
    largest_error : float, default=None
        End of the colour scale; by default the 99th percentile of the errors in the brain, in
        the volume where it is largest.
    affine : array-like of shape (4, 4), default=None
        Voxel to mm of a truth that is an array; the identity by default. Other arrays cover the
        field of view of the truth. Images and paths have their own.
    view : {"axial", "coronal", "sagittal"}, default="coronal"
        How the slices are cut.
    position : sequence of 3 floats, default=None
        A point of the slices, in mm; by default the centre of each brain.
    height : float, default=1.8
        Height of a row in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The brain is upright whatever the orientation of the volume: the right of the subject is
        at the right. The estimates and the truth of a row share one grey scale. An oblique
        volume is cut along the planes of its voxels.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a name, view, threshold or position is wrong.
    GeometryMismatchError
        If a volume of the shape of the truth lies elsewhere, or baseline or mask have another
        grid than the truth.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    plot_comparison : Several views of the volumes of one subject.
    plot_improvement : One panel of improvements.

    Notes
    -----
    Figures of the paper [1]_: 4 with the defaults; 5 with ``show=("error", "improvement")``,
    ``beside=True``, ``baseline="IQT-DL"`` and ``improved=("IQT-SRep", "IQT-DDL")``; 6 with the
    numbers of atoms as methods, ``show=("estimate", "error", "improvement")`` and the
    interpolation as baseline.

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
    ...     estimates, truth=truth, show=("error", "improvement"), baseline="A", beside=True
    ... )
    >>> [ax.get_title() for ax in figure.axes[:3]]
    ['A\\nerror', 'B\\nerror', 'B\\ncloser than A']
    """
    kinds = _check(estimates, show, view, threshold, largest_error)
    names = list(dict.fromkeys(name for row in estimates.values() for name in row))
    closer = _closer(names, baseline, improved) if "improvement" in kinds else []
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
        rival = None
        if closer:
            other = volumes.get(baseline) if isinstance(baseline, str) else baseline
            other = _of_row(other, row, estimates, "baseline")
            rival = None if other is None else subject.read_same(other, f"baseline of {row}")
        panels[row], errors = _panels_of_row(
            row, volumes, subject, view, kinds, closer, rival, threshold
        )
        percentiles += errors

    against = baseline if isinstance(baseline, str) else "baseline"
    words = {"estimate": "estimate", "error": "error", "improvement": f"closer than {against}"}
    columns = {"estimate": [*names, "truth"], "error": names, "improvement": closer}
    # Each line of the figure: its row, its label and what it shows.
    if beside:
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
            "to draw; interpolate them first, for example with InterpolationIQT."
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


def _closer(names: list[str], baseline: Any, improved: Sequence[str] | None) -> list[str]:
    """Return the methods that are measured against the baseline."""
    if baseline is None:
        raise ValueError(f"{_CALLER}: an improvement needs a baseline; pass one of {names}.")
    if isinstance(baseline, str) and baseline not in names:
        raise ValueError(
            f"{_CALLER}: baseline {baseline!r} is not among the methods {names}; pass one of "
            "these, or a volume (a file as pathlib.Path)."
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
    closer: list[str],
    rival: Scan | None,
    threshold: float | None,
) -> tuple[dict[tuple[str, str], Panel], list[float]]:
    """Cut all slices of a test set, by kind and name, and tell how large the errors are."""
    frame = subject.cut(subject.main, view)
    images = {"truth": Panel(frame, view, subject.window)}
    windows, percentiles = [subject.window], []
    panels: dict[tuple[str, str], Panel] = {}
    # One volume at a time is in memory, besides the truth and the baseline.
    for name, volume in volumes.items():
        scan = subject.read(volume, f"{name} of {row}")
        images[name] = Panel(subject.cut(scan, view), view, subject.window)
        windows.append(brightness(scan.voxels))
        if kinds == ["estimate"] or not subject.same_grid(scan, f"{name} of {row}"):
            continue
        error = subject.error(scan)
        percentiles.append(float(np.percentile(error.voxels[subject.brain], 99)))
        panels["error", name] = Panel(subject.cut(error, view), view)
        if rival is not None and name in closer:
            red = subject.improvement(scan, rival, threshold)
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
    """Refuse what cannot be drawn, and return what is."""
    if (
        not isinstance(estimates, Mapping)
        or not estimates
        or not all(isinstance(row, Mapping) and row for row in estimates.values())
    ):
        raise ValueError(
            f"{_CALLER}: estimates must be a dict of dicts of volumes, at least one of each, such "
            "as {'InD1': {'interpolation': volume}}."
        )
    if any("truth" in row for row in estimates.values()):
        raise ValueError(f"{_CALLER}: a method is called 'truth'; that is the last column.")
    kinds = [show] if isinstance(show, str) else list(show)
    if not kinds or set(kinds) - set(_KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(f"{_CALLER}: show must be one or more of {_KINDS}, got {show!r}.")
    check_views([view], _CALLER)
    for name, value in (("threshold", threshold), ("largest_error", largest_error)):
        if value is not None and not value >= 0:
            raise ValueError(f"{_CALLER}: {name} must be at least 0, got {value!r}.")
    return kinds


def _of_row(value: Any, row: str, estimates: Mapping[str, Any], name: str) -> Any:
    """Return the volume of a row, if there is one for each."""
    if not isinstance(value, Mapping):
        return value
    if row not in value:
        raise ValueError(
            f"{_CALLER}: {name} has no volume for {row!r}; pass one for each of {list(estimates)}."
        )
    return value[row]


def _label(row: str, word: str, estimates: Mapping[str, Any], kinds: list[str]) -> str:
    """Name a row by what tells it from the others."""
    if len(kinds) == 1:
        return row
    return word if len(estimates) == 1 else f"{row}\n{word}"
