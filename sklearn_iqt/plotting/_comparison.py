"""Slices of several volumes of one subject, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.io import as_volumes, scaled_affine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

# View: the axis that is cut, and the letters at the left and right border; axes are (R, A, S).
_VIEWS = {"axial": (2, "L", "R"), "coronal": (1, "L", "R"), "sagittal": (0, "P", "A")}
_CALLER = "plot_comparison"


class _Scan(NamedTuple):
    """A volume whose axes run to right, anterior and superior."""

    voxels: NDArray[np.floating]
    affine: NDArray[np.float64]


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
    truth : array of shape (i, j, k), nibabel image or path, optional
        Shown last; below each volume of the same shape comes its absolute error.
    affine : array-like of shape (4, 4), optional
        Voxel to mm, for plain arrays: that of the truth, or of the first volume without one; the
        identity by default. Arrays of another shape cover the same field of view. Images and
        paths have their own.
    views : sequence of {"axial", "coronal", "sagittal"}
        Rows, from top to bottom.
    position : sequence of 3 floats, optional
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
    ImportError
        If matplotlib is not installed.

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
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"{_CALLER} needs matplotlib. Run pip install 'sklearn-iqt[plot]'."
        ) from error
    if not volumes:
        raise ValueError(f"{_CALLER}: volumes is empty; pass at least one.")
    unknown = set(views) - set(_VIEWS)
    if unknown or not views:
        raise ValueError(f"{_CALLER}: views must be among {list(_VIEWS)}, got {list(views)}.")
    columns = dict(volumes)
    if truth is not None:
        if "truth" in columns:
            raise ValueError(f"{_CALLER}: a volume is called 'truth'; that is the last column.")
        columns["truth"] = truth
    main = next(iter(columns)) if truth is None else "truth"
    scans = _read_scans(columns, main, affine)
    reference = scans[main]
    place = _center(reference) if position is None else np.asarray(position, dtype=float)
    bright = _window(reference.voxels)
    errors = {} if truth is None else _errors(scans, reference)
    largest = _largest(errors, reference) if errors else 0.0

    # Rows as high and columns as wide as what they show, in mm, leave no gaps.
    sizes = {view: _size(reference, view) for view in views}
    wide, high = (max(size[n] for size in sizes.values()) for n in (0, 1))
    per_view = 2 if errors else 1
    heights = [height * sizes[view][1] / high for view in views for _ in range(per_view)]
    figure = Figure(
        figsize=(height * wide / high * len(scans) + 1, sum(heights)), layout="constrained"
    )
    axes = figure.subplots(
        len(heights), len(scans), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    mappable = None
    for row, view in enumerate(views):
        row *= per_view
        for column, (name, scan) in enumerate(scans.items()):
            axis = axes[row, column]
            _show(axis, scan, view, place, cmap="gray", vmin=0, vmax=bright)
            if row == 0:
                axis.set_title(name)
            if not errors:
                continue
            below = axes[row + 1, column]
            below.set_axis_off()
            if name in errors:
                difference = _Scan(errors[name], scan.affine)
                mappable = _show(
                    below, difference, view, place, cmap="inferno", vmin=0, vmax=largest
                )
    if mappable is not None:
        figure.colorbar(mappable, ax=axes, shrink=0.3, aspect=30, label="absolute error")
    return figure


def _read_scans(columns: dict[str, Any], main: str, affine: ArrayLike | None) -> dict[str, _Scan]:
    """Load the volumes and turn them upright; arrays lie in the field of view of the main one."""
    loaded = {
        name: as_volumes([volume], name=name, caller=_CALLER).read(0)
        for name, volume in columns.items()
    }
    reference, common = loaded[main]
    if common is None:
        common = np.eye(4) if affine is None else np.asarray(affine, dtype=float)
    scans = {}
    for name, (voxels, own) in loaded.items():
        if own is None:
            own = scaled_affine(common, np.divide(voxels.shape, reference.shape))
        orientation = io_orientation(own)
        upright = own @ inv_ornt_aff(orientation, voxels.shape)
        scans[name] = _Scan(apply_orientation(voxels, orientation), upright)
    return scans


def _center(scan: _Scan) -> NDArray[np.float64]:
    """Return the middle, in mm, of what is brighter than the mean."""
    inside = np.argwhere(scan.voxels > scan.voxels.mean())
    middle = np.median(inside, axis=0) if len(inside) else (np.array(scan.voxels.shape) - 1) / 2
    return apply_affine(scan.affine, middle)


def _window(voxels: NDArray[np.floating]) -> float:
    bright = voxels[voxels > voxels.mean()]
    return float(np.percentile(bright, 99.5)) if bright.size else 1.0


def _errors(scans: dict[str, _Scan], truth: _Scan) -> dict[str, NDArray[np.floating]]:
    return {
        name: np.abs(scan.voxels - truth.voxels)
        for name, scan in scans.items()
        if scan is not truth and scan.voxels.shape == truth.voxels.shape
    }


def _largest(errors: dict[str, NDArray[np.floating]], truth: _Scan) -> float:
    inside = truth.voxels > 0
    if not inside.any():
        inside = np.ones_like(inside)
    return max(float(np.percentile(error[inside], 99)) for error in errors.values())


def _size(scan: _Scan, view: str) -> tuple[float, float]:
    """Return width and height of a slice in mm."""
    across, up = _across_and_up(view)
    sizes = voxel_sizes(scan.affine) * scan.voxels.shape
    return float(sizes[across]), float(sizes[up])


def _across_and_up(view: str) -> list[int]:
    return [axis for axis in range(3) if axis != _VIEWS[view][0]]


def _show(axis: Axes, scan: _Scan, view: str, place: NDArray[np.float64], **style: Any) -> Any:
    """Draw the slice of a volume that goes through a place in mm."""
    cut, left, right = _VIEWS[view]
    voxel = apply_affine(np.linalg.inv(scan.affine), place)
    number = int(np.round(voxel[cut]))
    if not -1 <= number <= scan.voxels.shape[cut]:
        raise ValueError(
            f"{_CALLER}: position {place.tolist()} mm is outside of a volume on the {view} axis."
        )
    number = min(max(number, 0), scan.voxels.shape[cut] - 1)
    picture = np.take(scan.voxels, number, axis=cut).T
    # The borders of the first and last voxel, in mm relative to the place: columns line up even
    # if their grids do not.
    sizes = voxel_sizes(scan.affine)
    extent = [
        sizes[a] * (end - voxel[a])
        for a in _across_and_up(view)
        for end in (-0.5, scan.voxels.shape[a] - 0.5)
    ]
    drawn = axis.imshow(
        picture, origin="lower", extent=tuple(extent), interpolation="nearest", **style
    )
    axis.set_axis_off()
    marks: dict[str, Any] = {
        "color": "white",
        "fontsize": "small",
        "transform": axis.transAxes,
        "va": "center",
    }
    axis.text(0.02, 0.5, left, ha="left", **marks)
    axis.text(0.98, 0.5, right, ha="right", **marks)
    return drawn
