"""Lesions of known size and contrast in white matter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from sklearn.utils import Bunch, check_random_state

from sklearn_iqt.io import Cohort
from sklearn_iqt.simulation._maps import read_maps

_CALLER = "insert_lesions"
# The semi-axes of a lesion differ by up to this factor from their mean, in the logarithm.
_ELONGATION = 0.25
# White matter in mm between two lesions, so that each has its own surroundings.
_APART_MM = 5.0


def insert_lesions(
    volume: Any,
    labels: Any,
    *,
    n_lesions: int = 1,
    diameter_mm: float | Sequence[float] = (2.0, 12.0),
    contrast: float | Sequence[float] = (0.1, 0.4),
    rim_mm: float = 1.0,
    voxel_size_mm: ArrayLike | None = None,
    random_state: Any = None,
) -> Bunch:
    """
    Insert ellipsoids of another intensity into white matter.

    Insert them into a high volume before it is degraded, and measure with
    :func:`sklearn_iqt.metrics.lesion_contrast` what a method recovers.

    Parameters
    ----------
    volume : array of shape (i, j, k), image or path
        High-quality volume.
    labels : array of shape (i, j, k), image or path
        Its label map: 0 for background, 1 for CSF, 2 for GM, 3 for WM.
    n_lesions : int, default=1
        Number of lesions, at least 1.
    diameter_mm : float or pair of floats, default=(2.0, 12.0)
        Diameter of the sphere of the same volume in mm. A pair is a range, from which the diameter
        of each lesion is drawn; the logarithm is uniform.
    contrast : float or pair of floats, default=(0.1, 0.4)
        Intensity to add, as a fraction of the mean of white matter. One number is used for all
        lesions; a negative one makes dark lesions. A pair of positive numbers is a range, from
        which the size is drawn uniformly, and the sign is random.
    rim_mm : float, default=1.0
        Width in mm of the rim, over which the change fades out. The surface of the ellipsoid is in
        its middle.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine of the volume; it is required for arrays.
    random_state : int, RandomState instance or None, default=None
        Source of places, sizes, shapes and contrasts.

    Returns
    -------
    sklearn.utils.Bunch
        ``volume``, a new volume in a container of the same kind; ``lesions``, uint8 of the same
        shape, n inside the n-th lesion and 0 elsewhere; ``center`` of shape (n_lesions, 3) in
        voxels, ``diameter_mm`` of shape (n_lesions, 3) along the axes of each ellipsoid, and
        ``contrast`` of shape (n_lesions,).

    Raises
    ------
    ValueError
        If a parameter is out of its range, the voxel size of an array is not given, or no place in
        white matter is left for a lesion of this size.
    GeometryMismatchError
        If the label map is not on the grid of the volume.

    Notes
    -----
    A lesion lies inside white matter, at least 5 mm from other lesions. Its largest and smallest
    diameter differ by a factor of at most about 1.6, and its orientation is random. The change is
    added to the volume, whose own texture and noise remain. The label map does not change: for the
    simulator, lesions are white matter.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import insert_lesions
    >>> labels = np.full((32, 32, 32), 3)
    >>> brain = np.full((32, 32, 32), 100.0)
    >>> found = insert_lesions(brain, labels, diameter_mm=8, contrast=-0.3, voxel_size_mm=1,
    ...                        random_state=0)
    >>> float(found.volume.min().round(6)), int(found.lesions.max())
    (70.0, 1)
    """
    if not (isinstance(n_lesions, Integral) and 1 <= n_lesions <= 255):
        raise ValueError(f"{_CALLER}: n_lesions must be from 1 to 255, got {n_lesions!r}.")
    if not (np.isfinite(rim_mm) and rim_mm >= 0):
        raise ValueError(f"{_CALLER}: rim_mm must be finite and at least 0, got {rim_mm!r}.")
    low, high = _range("diameter_mm", diameter_mm, positive=True)
    cohort = Cohort.of_one(volume, caller=_CALLER, names=("volume", "", ""))
    high_volume, _, _, affine = cohort.read(0)
    size = _voxel_size(voxel_size_mm, affine)
    white = (
        read_maps(labels, high_volume, affine, None, border_width=0, name="labels", caller=_CALLER)[
            2
        ]
        > 0.5
    )
    if not white.any():
        raise ValueError(f"{_CALLER}: labels have no white matter (3). Check the label map.")
    rng = check_random_state(random_state)
    ranges = (low, high), contrast
    result = high_volume.astype(np.result_type(high_volume.dtype, np.float32))
    unit = float(high_volume[white].mean(dtype=np.float64))
    lesions = np.zeros(white.shape, np.uint8)
    centers, diameters, contrasts = [], [], []
    for n in range(n_lesions):
        axes, change = _draw_lesion(*ranges, rng)
        # Depth in white matter that no other lesion uses.
        free = white & (lesions == 0)
        depth = ndimage.distance_transform_edt(np.pad(free, 1), sampling=size)[1:-1, 1:-1, 1:-1]
        allowed = depth >= (axes.max() + rim_mm) / 2
        if n:
            away = ndimage.distance_transform_edt(lesions == 0, sampling=size)
            allowed &= away >= axes.max() / 2 + _APART_MM
        places = np.flatnonzero(allowed)
        if not places.size:
            raise ValueError(
                f"{_CALLER}: there is no place in white matter for lesion {n + 1} of {n_lesions}, "
                f"of {axes.max():.3g} mm. Pass a smaller diameter_mm or fewer lesions."
            )
        center = np.array(np.unravel_index(rng.choice(places), white.shape))
        box, weights = _ellipsoid(white.shape, center, axes / 2, rim_mm, size, rng)
        result[box] += (change * unit * weights).astype(result.dtype)
        lesions[box][weights >= 0.5] = n + 1
        lesions[tuple(center)] = n + 1
        centers.append(center)
        diameters.append(axes)
        contrasts.append(change)
    single = isinstance(volume, (SpatialImage, str, os.PathLike))
    found = [cohort.low.wrap([v])[0] if single else v for v in (result, lesions)]
    return Bunch(
        volume=found[0],
        lesions=found[1],
        center=np.stack(centers),
        diameter_mm=np.stack(diameters),
        contrast=np.array(contrasts),
    )


def add_lesions(
    volume: NDArray[np.floating],
    depth: NDArray[np.floating],
    unit: float,
    n_lesions: int,
    *,
    diameter_mm: tuple[float, float],
    contrast: tuple[float, float],
    rim_mm: float,
    size: NDArray[np.float64],
    rng: np.random.RandomState,
) -> NDArray[np.floating]:
    """
    Return a volume with lesions like those of :func:`insert_lesions`, in a fraction of the time.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        High volume.
    depth : ndarray of shape (i, j, k)
        Distance to the surface of white matter in mm; 0 outside of it.
    unit : float
        Mean intensity of white matter.
    n_lesions : int
        Number of lesions. Those for which there is no place are left out.
    diameter_mm, contrast : tuple of two floats
        Ranges.
    rim_mm : float
        Width of the rim.
    size : ndarray of shape (3,)
        Voxel size in mm.
    rng : RandomState
        Source of randomness.

    Returns
    -------
    ndarray of shape (i, j, k)
        A new volume.
    """
    result = volume.copy()
    centers = np.empty((0, 3))
    radii = np.empty(0)
    for _ in range(n_lesions):
        axes, change = _draw_lesion(diameter_mm, contrast, rng)
        places = np.argwhere(depth >= (axes.max() + rim_mm) / 2)
        for center, radius in zip(centers, radii, strict=True):
            away = np.linalg.norm((places - center) * size, axis=1)
            places = places[away >= radius + axes.max() / 2 + _APART_MM]
        # The place is drawn in any case, so that the next lesion does not depend on this one.
        place = rng.uniform()
        box_rng = np.random.RandomState(rng.randint(np.iinfo(np.int32).max))
        if not len(places):
            continue
        center = places[int(place * len(places))]
        box, weights = _ellipsoid(volume.shape, center, axes / 2, rim_mm, size, box_rng)
        result[box] += (change * unit * weights).astype(result.dtype)
        centers, radii = np.vstack([centers, center]), np.append(radii, axes.max() / 2)
    return result


def depth_of(white: NDArray[np.bool_], size: NDArray[np.float64]) -> NDArray[np.float32]:
    """
    Return how deep voxels lie in a structure.

    Parameters
    ----------
    white : ndarray of bool, shape (i, j, k)
        The structure.
    size : ndarray of shape (3,)
        Voxel size in mm.

    Returns
    -------
    ndarray of shape (i, j, k), float32
        Distance to the outside in mm.
    """
    depth = ndimage.distance_transform_edt(np.pad(white, 1), sampling=size)
    return depth[1:-1, 1:-1, 1:-1].astype(np.float32)


def _draw_lesion(
    diameter_mm: tuple[float, float], contrast: Any, rng: np.random.RandomState
) -> tuple[NDArray[np.float64], float]:
    """Return the diameters of a lesion along its axes, and its contrast."""
    diameter = float(np.exp(rng.uniform(*np.log(diameter_mm))))
    stretch = np.exp(rng.uniform(-_ELONGATION, _ELONGATION, 3))
    return diameter * stretch / np.prod(stretch) ** (1 / 3), _draw_contrast(contrast, rng)


def _range(name: str, value: Any, *, positive: bool) -> tuple[float, float]:
    """Return a number twice, or the two ends of a range."""
    ends = np.asarray(value, dtype=np.float64)
    if (
        ends.shape not in ((), (2,))
        or not np.isfinite(ends).all()
        or (ends.ndim and ends[0] > ends[1])
        or ((positive or ends.ndim) and not (ends > 0).all())
    ):
        kind = "a positive number" if positive else "a number"
        raise ValueError(
            f"{_CALLER}: {name} must be {kind} or a range of two positive numbers, got {value!r}."
        )
    return (float(ends), float(ends)) if ends.ndim == 0 else (float(ends[0]), float(ends[1]))


def _draw_contrast(contrast: Any, rng: np.random.RandomState) -> float:
    low, high = _range("contrast", contrast, positive=False)
    if np.ndim(contrast) == 0:
        return low
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def _voxel_size(
    voxel_size_mm: ArrayLike | None, affine: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if voxel_size_mm is None:
        if affine is None:
            raise ValueError(
                f"{_CALLER}: the voxel size of an array is not known. Pass voxel_size_mm, or an "
                "image with an affine."
            )
        return np.asarray(voxel_sizes(affine), dtype=np.float64)
    size = np.asarray(voxel_size_mm, dtype=np.float64)
    if size.shape not in ((), (3,)) or not (np.isfinite(size) & (size > 0)).all():
        raise ValueError(
            f"{_CALLER}: voxel_size_mm must be one positive number or three, got {voxel_size_mm!r}."
        )
    return np.broadcast_to(size, 3).copy()


def _ellipsoid(
    shape: tuple[int, ...],
    center: NDArray[np.integer],
    semi_axes: NDArray[np.float64],
    rim_mm: float,
    size: NDArray[np.float64],
    rng: np.random.RandomState,
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return the part of the volume around an ellipsoid, and its weight in each voxel."""
    rotation = Rotation.random(random_state=rng).as_matrix()
    reach = np.ceil((semi_axes.max() + rim_mm) / size).astype(int) + 1
    box = tuple(
        slice(max(c - r, 0), min(c + r + 1, n))
        for c, r, n in zip(center, reach, shape, strict=True)
    )
    grid = np.stack(np.meshgrid(*[np.arange(b.start, b.stop) for b in box], indexing="ij"), axis=-1)
    place = ((grid - center) * size) @ rotation
    radius = np.linalg.norm(place / semi_axes, axis=-1)
    distance = np.linalg.norm(place, axis=-1)
    # Distance to the surface along the line from the centre.
    outside = np.where(radius > 0, distance * (1 - 1 / np.maximum(radius, 1e-9)), -semi_axes.min())
    if rim_mm == 0:
        return box, (outside <= 0).astype(np.float64)
    share = np.clip(0.5 - outside / rim_mm, 0, 1)
    return box, 0.5 - 0.5 * np.cos(np.pi * share)
