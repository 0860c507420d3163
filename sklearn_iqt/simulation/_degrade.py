"""Blur and sampling of high-quality volumes, which make thick slices."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from sklearn_iqt._axes import check_alignment, per_axis
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import VolumeCollection
from sklearn_iqt.simulation._sampling import sample_axes

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))


def degrade(
    volume: Any,
    *,
    scale: int | Sequence[int] = (1, 1, 4),
    thickness: ArrayLike = 3,
    alignment: str = "center",
) -> Any:
    """
    Blur a volume by the slice profile and sample it at the centres of low voxels.

    :class:`LowFieldSimulator` does the same, and changes contrast and noise as well. The result is
    like an ideal scan with thick slices.

    Parameters
    ----------
    volume : array-like of shape (..., i, j, k), nibabel image or path
        High-quality volume of real numbers, or several on one grid, such as tissue maps.
    scale : int or sequence of 3 ints, default=(1, 1, 4)
        High voxels in a low voxel, along each axis.
    thickness : float or sequence of 3 floats, default=3
        Full width at half maximum of the slice profile in high voxels, finite and at least 1. It
        is used along axes with a scale above 1. A thickness of 1 is one high voxel, without blur.
    alignment : {"center", "corner"}, default="center"
        Position of a low voxel: in the centre of its block of high voxels, or on the first of them.

    Returns
    -------
    ndarray of shape (..., i // scale, j // scale, k // scale), or nibabel.Nifti1Image
        The low volume, which does not share memory with ``volume``. For an image or a path it is an
        image with affine and header. High voxels at the far end that do not fill a block only add
        to the blur. Float types are kept, others become float32.

    Raises
    ------
    GeometryMismatchError
        If the volume has fewer voxels along an axis than one low voxel needs.
    ValueError
        If a parameter is out of its range, or the volume does not hold real numbers.

    Notes
    -----
    The blur is a Gaussian with edges repeated, and the sampling is a cubic spline. Both are linear
    and separable, so that they are applied as one matrix for each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import degrade
    >>> ramp = np.broadcast_to(np.arange(32.0), (4, 4, 32))
    >>> low = degrade(ramp)
    >>> low.shape
    (4, 4, 8)
    >>> low[0, 0, 2:6].round(3)  # the means of blocks of four
    array([ 9.5, 13.5, 17.5, 21.5])
    """
    if isinstance(volume, (SpatialImage, str, os.PathLike)):
        image = VolumeCollection([volume], name="volume", caller="degrade", single=True)
        low = degrade(image[0], scale=scale, thickness=thickness, alignment=alignment)
        zoom = [1 / step for step in per_axis(scale, "scale", "degrade")]
        return image.wrap([low], zoom, alignment)[0]
    low = np.asarray(volume)
    if low.dtype.kind not in "fiub":
        raise ValueError(
            f"degrade: volume must hold real numbers, got dtype {low.dtype}. Pass the magnitude of "
            "a complex volume."
        )
    if low.dtype.kind != "f":
        low = low.astype(np.float32)
    if low.ndim < 3:
        raise ValueError(f"degrade: volume must have 3 axes or more, got shape {low.shape}.")
    steps, widths = per_axis(scale, "scale", "degrade"), check_thickness(thickness, "degrade")
    check_alignment(alignment, "degrade")
    if any(n < step for n, step in zip(low.shape[-3:], steps, strict=True)):
        raise GeometryMismatchError(
            f"degrade: the volume has shape {low.shape}, but one low voxel needs "
            f"scale={steps} voxels. Pass a larger volume or a smaller scale."
        )
    for axis, step, width in zip((-3, -2, -1), steps, widths, strict=True):
        if step > 1:
            size, first = low.shape[axis], (step - 1) / 2 if alignment == "center" else 0.0
            low = apply_matrix(low, slice_matrix(size, size // step, step, first, width), axis)
    return low.copy() if steps == (1, 1, 1) else low


def check_thickness(thickness: ArrayLike, caller: str) -> list[float]:
    """
    Return a thickness along each axis.

    Parameters
    ----------
    thickness : float or sequence of 3 floats
        In high voxels.
    caller : str
        Function that the message names.

    Returns
    -------
    list of 3 floats
        The thickness along each axis.

    Raises
    ------
    ValueError
        If a number is not finite or below 1.
    """
    widths = np.asarray(thickness)
    if (
        widths.shape not in ((), (3,))
        or widths.dtype.kind not in "iuf"
        or not (np.isfinite(widths) & (widths >= 1)).all()
    ):
        raise ValueError(
            f"{caller}: thickness must be one finite number or three, each of at least 1 high "
            f"voxel, got {thickness!r}."
        )
    return np.broadcast_to(widths, 3).astype(float).tolist()


def slice_matrix(
    size: int,
    n_slices: int,
    step: float,
    first: float,
    thickness: float,
    *,
    profile: str = "gaussian",
    mode: str = "constant",
) -> NDArray[np.float64]:
    """
    Return the matrix that blurs and samples along one axis.

    Row j is the slice profile of low voxel j. With a Gaussian profile, the matrix is the result of
    the blur (edges repeated) and the cubic spline for the identity, because both are linear.

    Parameters
    ----------
    size : int
        High voxels along the axis.
    n_slices : int
        Low voxels along the axis.
    step : float
        Distance between the centres of low voxels, in high voxels.
    first : float
        Centre of the first low voxel, in high voxels.
    thickness : float
        Full width at half maximum of the profile, in high voxels. Up to 1, nothing is blurred.
    profile : {"gaussian", "box"}, default="gaussian"
        Shape of the profile.
    mode : str, default="constant"
        What the spline of a Gaussian profile assumes beyond the edges.

    Returns
    -------
    ndarray of shape (n_slices, size), float64
        The matrix.
    """
    if profile == "box" and thickness > 1:
        centers = first + step * np.arange(n_slices)[:, np.newaxis]
        edges = np.arange(size + 1) - 0.5
        edges[0], edges[-1] = -np.inf, np.inf  # the outermost voxels are repeated
        inside = np.clip(edges, centers - thickness / 2, centers + thickness / 2)
        return np.diff(inside, axis=1) / thickness
    blur = np.eye(size)
    if thickness > 1:
        blur = gaussian_filter1d(blur, thickness / FWHM_PER_SIGMA, axis=0, mode="nearest")
    return sample_axes(blur, (step, 1), (first, 0), (n_slices, size), order=3, mode=mode)


def apply_matrix(array: NDArray[np.floating], matrix: NDArray, axis: int) -> NDArray[np.floating]:
    """
    Multiply an axis of an array by a matrix.

    Parameters
    ----------
    array : ndarray
        Values.
    matrix : ndarray of shape (n_new, n_old)
        Matrix.
    axis : int
        Axis with n_old entries.

    Returns
    -------
    ndarray
        Array with n_new entries along the axis.
    """
    product = np.tensordot(array, matrix.astype(array.dtype), axes=(axis, 1))
    return np.ascontiguousarray(np.moveaxis(product, -1, axis))
