"""Width of the edges between tissues in mm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.special import erf

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes
from sklearn_iqt.metrics._tissues import TISSUES, check_labels

__all__ = ["edge_width", "edge_width_error"]

_FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
# Samples of a profile in a voxel.
_PER_VOXEL = 4
# Widths that are tried, as multiples of the smallest voxel, and how far an edge may lie from the
# border of the labels, in voxels. Labels are whole voxels, so that an edge lies off by half a one.
_WIDTHS = np.geomspace(0.5, 12, 64)
_SHIFTS = np.linspace(-1, 1, 17)
# Borders are evenly spread; more of them take longer and change the result little.
_MAX_BORDERS = 20_000
_MIN_BORDERS = 30
# Cosine of 30 degrees.
_CONE = np.sqrt(3) / 2


def edge_width(
    volumes: Any,
    *,
    labels: Any,
    reference: Any = None,
    tissues: tuple[str, str] = ("gm", "wm"),
    axis: int | None = None,
    reach_mm: float = 4.0,
    voxel_size_mm: ArrayLike | None = None,
    mask: Any = None,
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the width in mm of the edges between two tissues.

    Parameters
    ----------
    volumes : array of shape (i, j, k), image, path, or collection of volumes
        A volume, or several.
    labels : volume or collection of volumes
        Label maps on the same grids, 0 for background, 1 for CSF, 2 for GM, 3 for WM. For an
        estimate, pass the label map of its truth.
    reference : volume or collection of volumes, default=None
        Volumes that show where exactly the edges are. For an estimate, pass its truth, because
        noise makes edges look narrower that are located in the same volume. By default the volumes
        themselves.
    tissues : tuple of 2 str, default=("gm", "wm")
        The tissues on both sides of the edge, each one of "csf", "gm" and "wm".
    axis : int, default=None
        Count only edges whose normal lies within 30 degrees of this axis, 0, 1 or 2. Along the
        thick axis, they show the blur of thick slices. By default all edges count.
    reach_mm : float, default=4.0
        Length of the profiles on each side of the edge. Both tissues must be this thick, so that
        other edges are not part of the profile. Widths of up to about this length can be measured.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine; it is required for arrays.
    mask : volume or collection of volumes, default=None
        Only borders whose voxels are above zero count.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Full width at half maximum of the Gaussian that turns an ideal step into these edges.

    Raises
    ------
    ValueError
        If a label map holds other values, fewer than 30 borders are left, a parameter is out of its
        range, or the edges are wider than the profiles can show.
    GeometryMismatchError
        If a label map or a mask is not on the grid of its volume.

    See Also
    --------
    edge_width_error : Difference between the widths of estimate and truth.

    Notes
    -----
    Profiles run through the borders of the labels, along the normal of the smoothed label map, by
    cubic splines. A step that is blurred by a Gaussian is fitted to each profile of the reference,
    which gives the position of the edge. With these positions, one height and one width are then
    fitted to all profiles of the volume by least squares, so that its noise averages out. A gain
    and an offset of the volume change nothing. Without a reference, widths are too small by less
    than 5 % if the step is 10 times the noise, and by a third if it is 3 times the noise.

    Only places where both tissues are thick can be measured, mostly deep ones. A step has about the
    width of one voxel because of the voxels themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from sklearn_iqt.metrics import edge_width
    >>> labels = np.full((24, 24, 24), 2)
    >>> labels[12:] = 3
    >>> volume = gaussian_filter(labels.astype(float), 3 / 2.355)
    >>> round(edge_width(volume, labels=labels, voxel_size_mm=1), 1)
    2.9
    """
    caller = "edge_width"
    _check(tissues, axis, reach_mm, caller)

    def measure(pair: ScoredPair) -> float:
        return _widths(pair, tissues, axis, reach_mm, voxel_size_mm)[1]

    return score_volumes(
        measure,
        volumes if reference is None else reference,
        volumes,
        caller=caller,
        mask=mask,
        labels=labels,
        per_volume=per_volume,
        verbose=verbose,
    )


def edge_width_error(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any,
    tissues: tuple[str, str] = ("gm", "wm"),
    axis: int | None = None,
    reach_mm: float = 4.0,
    voxel_size_mm: ArrayLike | None = None,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute by how many mm edges between tissues are wider in the estimate than in the truth.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    labels : volume or collection of volumes
        Label maps on the grids of the truths: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    tissues : tuple of 2 str, default=("gm", "wm")
        The tissues on both sides of the edge, each one of "csf", "gm" and "wm".
    axis : int, default=None
        Count only edges whose normal lies within 30 degrees of this axis, see :func:`edge_width`.
    reach_mm : float, default=4.0
        Length of the profiles on each side of the edge, see :func:`edge_width`.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the truth; it is required for arrays.
    mask : volume or collection of volumes, default=None
        Only borders whose voxels are above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`. Neither a gain nor
        an offset changes the result.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Width in the estimate minus width in the truth, in mm. 0 is best. A negative value means
        that edges are too sharp.

    Raises
    ------
    ValueError
        As for :func:`edge_width`.
    GeometryMismatchError
        If a prediction, a label map or a mask is not on the grid of its truth.

    See Also
    --------
    edge_width : The width itself, and how it is measured.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from sklearn_iqt.metrics import edge_width_error
    >>> labels = np.full((24, 24, 24), 2)
    >>> labels[12:] = 3
    >>> sharp, soft = (gaussian_filter(labels.astype(float), sigma) for sigma in (0.9, 1.5))
    >>> round(edge_width_error(sharp, soft, labels=labels, voxel_size_mm=1), 1)
    1.4
    """
    caller = "edge_width_error"
    _check(tissues, axis, reach_mm, caller)

    def measure(pair: ScoredPair) -> float:
        truth, estimate = _widths(pair, tissues, axis, reach_mm, voxel_size_mm)
        return estimate - truth

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller=caller,
        mask=mask,
        labels=labels,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def _check(tissues: tuple[str, str], axis: int | None, reach_mm: float, caller: str) -> None:
    if len(tissues) != 2 or tissues[0] == tissues[1] or not set(tissues) <= set(TISSUES):
        raise ValueError(
            f"{caller}: tissues must be two different ones of {list(TISSUES)}, got {tissues!r}."
        )
    if axis not in (None, 0, 1, 2):
        raise ValueError(f"{caller}: axis must be None, 0, 1 or 2, got {axis!r}.")
    if not (np.isfinite(reach_mm) and reach_mm > 0):
        raise ValueError(f"{caller}: reach_mm must be positive and finite, got {reach_mm!r}.")


def _widths(
    pair: ScoredPair,
    tissues: tuple[str, str],
    axis: int | None,
    reach_mm: float,
    voxel_size_mm: ArrayLike | None,
) -> list[float]:
    """Return the widths of the same edges in the reference and in the volume."""
    size = pair.size_mm(voxel_size_mm)
    step = size.min() / _PER_VOXEL
    positions = np.arange(-reach_mm, reach_mm + step / 2, step)
    points, normals = _borders(pair, tissues, axis, size, positions)
    # Voxel coordinates of the profiles, of shape (3, n_borders, n_positions).
    at = (points[:, None] + positions[:, None] * normals[:, None] / size).transpose(2, 0, 1)
    low, high = at.min(axis=(1, 2)), at.max(axis=(1, 2))
    box = tuple(
        slice(max(int(a) - 8, 0), int(b) + 9) for a, b in zip(low, high, strict=True)
    )  # a spline needs a few voxels more
    corner = np.array([part.start for part in box])[:, None, None]
    reference, profiles = (
        ndimage.map_coordinates(volume[box].astype(np.float64), at - corner, mode="nearest")
        for volume in (pair.truth, pair.prediction)
    )
    steps = _Steps(positions, size.min())
    places = steps.locate(reference, pair.name)
    return [steps.width(found, places, pair.name) for found in (reference, profiles)]


def _borders(
    pair: ScoredPair,
    tissues: tuple[str, str],
    axis: int | None,
    size: NDArray[np.float64],
    positions: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points in voxels between two tissues, and normals in mm towards the second."""
    if pair.labels is None:
        raise ValueError(f"{pair.name}: labels is None. Pass a label map for each volume.")
    labels = check_labels(pair.labels, pair.name).astype(np.int8)
    first, second = (TISSUES[tissue] for tissue in tissues)
    if pair.inside is not None:
        labels = np.where(pair.inside, labels, 0)
    points = []
    for direction in range(3):
        lower = tuple(slice(None, -1) if d == direction else slice(None) for d in range(3))
        upper = tuple(slice(1, None) if d == direction else slice(None) for d in range(3))
        a, b = labels[lower], labels[upper]
        found = np.argwhere(((a == first) & (b == second)) | ((a == second) & (b == first)))
        points.append(found + 0.5 * (np.arange(3) == direction))
    at = np.concatenate(points)
    if not len(at):
        raise ValueError(
            f"{pair.name}: {tissues[0]} and {tissues[1]} have no common border in labels inside "
            "the mask. Check the label map."
        )
    # The gradient of the second tissue minus the first points across the border.
    indicator = (labels == second).astype(np.float32) - (labels == first)
    blur = ndimage.gaussian_filter(indicator, 1.5 * size.min() / size)
    normals = np.stack(
        [
            ndimage.map_coordinates(np.gradient(blur, size[d], axis=d), at.T, order=1)
            for d in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(normals, axis=1)
    at, normals = at[length > 0], normals[length > 0] / length[length > 0, None]
    if axis is not None:
        steep = np.abs(normals[:, axis]) > _CONE
        at, normals = at[steep], normals[steep]
    # Only borders between tissues as thick as the profile. Voxels at the border may have any label.
    away = np.abs(positions) > 1.5 * size.max()
    expected = np.where(positions > 0, second, first)[away]
    along = positions[away][:, None] * normals[:, None] / size
    voxels = np.rint(at[:, None] + along).astype(int)
    within = ((voxels >= 0) & (voxels < labels.shape)).all(axis=(1, 2))
    at, normals, voxels = at[within], normals[within], voxels[within]
    thick = (labels[tuple(np.moveaxis(voxels, -1, 0))] == expected).all(axis=1)
    at, normals = at[thick], normals[thick]
    if len(at) < _MIN_BORDERS:
        raise ValueError(
            f"{pair.name}: only {len(at)} borders of {tissues[0]} and {tissues[1]} have "
            f"{positions[-1]:.3g} mm of their tissue on both sides, but {_MIN_BORDERS} are needed. "
            "Pass a smaller reach_mm or a larger mask."
        )
    chosen = np.unique(np.linspace(0, len(at) - 1, min(len(at), _MAX_BORDERS)).astype(int))
    return at[chosen], normals[chosen]


class _Steps:
    """Blurred steps of all widths and positions, of shape (n_widths, n_shifts, n_positions).

    Parameters
    ----------
    positions : ndarray of shape (n_positions,)
        Positions of the samples of a profile in mm.
    voxel : float
        Smallest voxel size in mm.
    """

    def __init__(self, positions: NDArray[np.float64], voxel: float) -> None:
        self.positions = positions
        self.widths = voxel * _WIDTHS
        away = positions - voxel * _SHIFTS[:, None]
        steps = erf(away * _FWHM_PER_SIGMA / np.sqrt(2) / self.widths[:, None, None])
        self.steps = steps - steps.mean(axis=-1, keepdims=True)
        self.norms = np.linalg.norm(self.steps, axis=-1)

    def locate(self, profiles: NDArray[np.float64], name: str) -> NDArray[np.intp]:
        """Return the shift of each profile, with the width that explains most of all profiles."""
        centered = profiles - profiles.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(centered, axis=1)
        if not norms.max() > 1e-9 * np.abs(profiles).max():
            raise ValueError(f"{name}: the volume is constant across the borders, without edges.")
        centered /= np.where(norms > 0, norms, 1)[:, None]
        # A negative sum means that the second tissue is darker.
        centered *= np.sign((centered @ np.sign(self.positions)).sum()) or 1.0
        explained, places = [], []
        for steps, lengths in zip(self.steps, self.norms, strict=True):
            fits = centered @ (steps / lengths[:, None]).T
            places.append(fits.argmax(axis=1))
            explained.append(np.mean(np.maximum(fits.max(axis=1), 0) ** 2))
        return places[int(np.argmax(explained))]

    def width(self, profiles: NDArray[np.float64], places: NDArray[np.intp], name: str) -> float:
        """Return the FWHM of the blurred steps, of one height, that explain most."""
        sums = np.zeros((len(_SHIFTS), profiles.shape[1]))
        np.add.at(sums, places, profiles)
        counts = np.bincount(places, minlength=len(_SHIFTS))
        heights = np.einsum("wsp,sp->w", self.steps, sums)
        explained = heights**2 / (self.norms**2 @ counts)
        n = int(explained.argmax())
        if n in (0, len(self.widths) - 1) or self.widths[n] > 2 * self.positions[-1]:
            raise ValueError(
                f"{name}: edges of {self.widths[n]:.2g} mm cannot be measured with profiles of "
                f"{self.positions[-1]:.3g} mm to each side. Pass a larger reach_mm, and check that "
                "the labels belong to the volume."
            )
        # The top of the parabola through the three best values, in the logarithm of the width.
        before, top, after = explained[n - 1 : n + 2]
        offset = 0.5 * (before - after) / (before - 2 * top + after)
        return float(self.widths[n] * (self.widths[n + 1] / self.widths[n]) ** offset)
