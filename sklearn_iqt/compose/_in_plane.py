"""Pairs to learn from inside one scan: sharp in plane, and blurred as by thick slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.preprocessing import resample_to_voxel_size
from sklearn_iqt.simulation import degrade

__all__ = ["Plane", "lost_noise", "plane_pair"]

# In-plane voxels that differ less from the voxels of the result are not resampled.
_SAME = 0.01


class Plane(NamedTuple):
    """Axes of a scan: a sharp axis to learn from, the other in-plane axis and the thick axis."""

    sharp: int
    other: int
    thick: int


def plane_pair(
    volume: NDArray,
    mask: NDArray[np.bool_] | None,
    plane: Plane,
    *,
    scale: Sequence[int],
    alignment: str,
    thickness: float,
    spacing: NDArray[np.float64] | None,
    caller: str,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return a scan blurred along a sharp axis, and the scan itself, with this axis last.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        The scan.
    mask : ndarray of bool, shape (i, j, k), or None
        Its foreground.
    plane : Plane
        Axes of the scan.
    scale : sequence of 3 ints
        Sharp voxels for each blurred voxel: 1, 1 and the number in a slice.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    thickness : float
        Width of the slice profile, in sharp voxels.
    spacing : ndarray of shape (3,) or None
        Lengths of a voxel of the scan in mm; None if they are not known.
    caller : str
        Class that error messages name.

    Returns
    -------
    low, high : ndarray of float32
        The blurred and sampled scan, and the sharp scan.
    inside : ndarray of bool, or None
        The mask on the grid of ``low``.

    Raises
    ------
    GeometryMismatchError
        If the scan is thinner along the sharp axis than a slice.
    ValueError
        If no voxel of ``low`` lies in the mask.
    """
    profile: dict = {"scale": scale, "alignment": alignment, "thickness": thickness}
    name = "ijk"[plane.sharp]
    fine = _with_result_voxels(volume.astype(np.float32), plane, scale[-1], spacing)
    if fine.shape[-1] < scale[-1]:
        raise GeometryMismatchError(
            f"{caller}: along {name} the scan has {volume.shape[plane.sharp]} voxels, which is "
            "less than one slice is thick. There is nothing to learn from in it."
        )
    low = degrade(fine, **profile)
    high = fine[..., : low.shape[-1] * scale[-1]]
    if mask is None:
        return low, high, None
    covered = _with_result_voxels(mask.astype(np.float32), plane, scale[-1], spacing)
    inside = degrade(covered, **profile) > 0.5
    if not inside.any():
        raise ValueError(
            f"{caller}: the mask is too small to learn from. Along {name}, it fills no block as "
            "long as a thick slice by more than half. Pass a larger mask, or none."
        )
    return low, high, inside


def lost_noise(scale: Sequence[int], alignment: str, thickness: float) -> float:
    """Return the part of white noise that the blur removes, as a standard deviation.

    Slices of a scan have all of its noise, and their blurred copies only the rest.

    Parameters
    ----------
    scale, alignment, thickness
        See :func:`plane_pair`.

    Returns
    -------
    float
        From 0, if the blur keeps all noise, to 1.
    """
    line = np.eye(16 * scale[-1])[None]
    blurred = degrade(line, scale=scale, alignment=alignment, thickness=thickness)
    return float(np.sqrt(max(1 - np.square(blurred[0, :, 8]).sum(), 0)))


def _with_result_voxels(
    volume: NDArray, plane: Plane, step: int, spacing: NDArray[np.float64] | None
) -> NDArray:
    """Put the sharp axis last, with voxels that are as long as in the result."""
    order = plane[::-1]
    turned = volume.transpose(order)
    if spacing is None:
        return turned
    sizes = spacing[list(order)]
    wanted = np.append(sizes[:2], sizes[0] / step)
    if abs(wanted[-1] / sizes[-1] - 1) <= _SAME:
        return turned
    affine = np.diag([*sizes, 1.0])
    return np.asarray(resample_to_voxel_size((turned, affine), wanted.tolist(), order=3).dataobj)
