"""Rigid registration, by SimpleITK."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from sklearn_iqt.prepare._itk import FLIP, load_itk, one_thread, to_itk

_FWHM = float(np.sqrt(8 * np.log(2)))

# Coarse search: rotations about each axis, in degrees, and how many starts are followed.
_TURNS, _N_STARTS, _COARSE_MM = (-40, -20, 20, 40), 5, 5.0
# Registration in levels, from coarse to fine.
_SHRINK, _SMOOTHING_MM = (4, 2, 1), (4.0, 2.0, 0.0)
_BINS, _SEED, _SAMPLED = 50, 1, 0.25
# A larger motion is more likely a mistake.
_MOST_DEGREES, _MOST_MM = 30.0, 50.0


@dataclass(frozen=True)
class Motion:
    """A rigid motion that brings one scan onto another.

    Parameters
    ----------
    matrix : ndarray of shape (4, 4)
        From mm of the moving scan to mm of the fixed one.
    angles : tuple of 3 floats
        Rotation about the right, anterior and superior axis, in degrees.
    rotation : float
        The whole rotation, in degrees.
    shift : tuple of 3 floats
        Movement of the point that comes to the centre of the fixed scan, in mm.
    start : str
        The start that matched best: "affines" or "centres of mass".
    metric : float
        Mutual information at the end; larger is better.
    metric_before : float or None
        Mutual information by the affines of the files; None if the scans do not overlap by them.
    """

    matrix: NDArray[np.float64]
    angles: tuple[float, float, float]
    rotation: float
    shift: tuple[float, float, float]
    start: str
    metric: float
    metric_before: float | None

    def to_record(self) -> dict[str, Any]:
        """Return the motion as JSON holds it."""
        return {
            "matrix": self.matrix.tolist(),
            "angles_degrees": [round(angle, 4) for angle in self.angles],
            "rotation_degrees": round(self.rotation, 4),
            "shift_mm": [round(length, 4) for length in self.shift],
            "start": self.start,
            "mutual_information": self.metric,
            "mutual_information_before": self.metric_before,
        }


def register(fixed: nibabel.Nifti1Image, moving: nibabel.Nifti1Image, caller: str) -> Motion:
    """Find the rigid motion that brings one scan of a person onto another.

    Parameters
    ----------
    fixed : nibabel.Nifti1Image
        Low scan, with thick slices or without.
    moving : nibabel.Nifti1Image
        High scan, of any contrast.
    caller : str
        Start of error messages.

    Returns
    -------
    Motion
        The motion. The same scans give the same motion, to the last bit.

    Raises
    ------
    MissingExtraError
        If SimpleITK is not installed.
    ValueError
        If the motion is implausibly large, or the scans have nothing in common.

    Notes
    -----
    Mattes et al., IEEE Transactions on Medical Imaging 22 (2003) 120-128, as implemented in ITK.
    """
    sitk = load_itk(caller)
    moving = _thickened(moving, fixed)
    target, source = to_itk(sitk, fixed), to_itk(sitk, moving)
    centre = (FLIP @ [*_centre(fixed), 1.0])[:3]
    with one_thread(sitk):
        name, start, transform = _find_start(sitk, fixed, moving, centre, caller)
        unmoved = sitk.Euler3DTransform(centre.tolist(), 0, 0, 0)
        before = _mutual_information(_fine_method(sitk, unmoved), target, source)
        method = _fine_method(sitk, transform)
        try:
            method.Execute(target, source)
        except RuntimeError as error:
            raise ValueError(
                f"{caller}: the registration failed. Check that the two scans belong together. "
                f"(SimpleITK: {str(error).splitlines()[-1].strip()})"
            ) from error
    motion = _motion(transform, centre, name, -method.GetMetricValue(), before)
    moved = float(np.linalg.norm(np.array(transform.TransformPoint(centre)) - centre - start))
    if motion.rotation > _MOST_DEGREES or moved > _MOST_MM:
        raise ValueError(
            f"{caller}: the registration turned the high scan by {motion.rotation:.0f} degrees and "
            f"moved it by {moved:.0f} mm from its start ({name}). More than {_MOST_DEGREES:.0f} "
            f"degrees or {_MOST_MM:.0f} mm are hardly right. Check that the two scans belong "
            "together, or register them with another tool first."
        )
    return motion


def _find_start(
    sitk: Any,
    fixed: nibabel.Nifti1Image,
    moving: nibabel.Nifti1Image,
    centre: NDArray[np.float64],
    caller: str,
) -> tuple[str, NDArray[np.float64], Any]:
    """Return the name, the shift and the transform of the best start.

    From a single start, rotations of more than 15 degrees can end in a local optimum. Coarse
    images are fast enough to try many.
    """
    target, source = (to_itk(sitk, _coarse(image)) for image in (fixed, moving))
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    to_masses = sitk.CenteredTransformInitializer(target, source, sitk.Euler3DTransform(), moments)
    shifts = {
        "affines": np.zeros(3),
        "centres of mass": np.array(to_masses.TransformPoint(centre)) - centre,
    }
    turns = [(0.0, 0.0, 0.0)]
    turns += [tuple(t) for angle in _TURNS for t in np.radians(angle) * np.eye(3)]
    starts = []
    for name, shift in shifts.items():
        for turn in turns:
            transform = sitk.Euler3DTransform(centre.tolist(), *turn, shift.tolist())
            value = _mutual_information(_method(sitk, transform), target, source)
            if np.isfinite(value):
                starts.append((value, name, transform))
    if not starts:
        raise ValueError(
            f"{caller}: the two scans overlap neither by their affines nor by their centres of "
            "mass. Check that they belong together, and their headers."
        )
    tried = []
    for _, name, transform in sorted(starts, key=lambda start: -start[0])[:_N_STARTS]:
        method = _method(sitk, transform)
        with suppress(RuntimeError):  # moved out of the overlap
            method.Execute(target, source)
            tried.append((-method.GetMetricValue(), name, transform))
    if not tried:
        raise ValueError(
            f"{caller}: the registration failed. Check that the two scans belong together."
        )
    _, name, transform = max(tried, key=lambda end: end[0])
    return name, shifts[name], transform


def _thickened(moving: nibabel.Nifti1Image, fixed: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """Blur the moving scan as coarsely as the fixed one is sampled."""
    to_moving = np.linalg.inv(moving.affine) @ fixed.affine
    step = np.linalg.norm(to_moving[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(step**2 - 1, 0)) / _FWHM
    voxels = ndimage.gaussian_filter(np.asarray(moving.dataobj, dtype=np.float32), sigma)
    return nibabel.Nifti1Image(voxels, moving.affine)


def _centre(image: nibabel.Nifti1Image) -> NDArray[np.float64]:
    return apply_affine(image.affine, (np.array(image.shape) - 1) / 2)


def _coarse(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """Blur a scan, and take voxels of about `_COARSE_MM` in each direction."""
    sizes = voxel_sizes(image.affine)
    steps = np.clip(_COARSE_MM // sizes, 1, image.shape).astype(int)
    sigma = _COARSE_MM / 2 / sizes
    voxels = ndimage.gaussian_filter(np.asarray(image.dataobj, dtype=np.float32), sigma)
    affine = image.affine @ np.diag([*steps, 1])
    return nibabel.Nifti1Image(voxels[tuple(slice(None, None, step) for step in steps)], affine)


def _mutual_information(method: Any, target: Any, source: Any) -> float:
    """Return the mutual information at the start of a method; minus infinity without overlap."""
    try:
        return -float(method.MetricEvaluate(target, source))
    except RuntimeError:
        return -np.inf


def _method(sitk: Any, transform: Any) -> Any:
    """Return a registration on one level and all voxels, which changes the transform in place."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-4, numberOfIterations=200, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    return method


def _fine_method(sitk: Any, transform: Any) -> Any:
    """Return the same with levels from coarse to fine, on a part of the voxels."""
    method = _method(sitk, transform)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetShrinkFactorsPerLevel(list(_SHRINK))
    method.SetSmoothingSigmasPerLevel(list(_SMOOTHING_MM))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _motion(
    transform: Any, centre: NDArray[np.float64], start: str, metric: float, before: float
) -> Motion:
    """Return the motion of a transform from the fixed to the moving scan, in mm of NIfTI."""
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = FLIP @ np.linalg.inv(from_matvec(rotation, origin)) @ FLIP
    turned = Rotation.from_matrix(matrix[:3, :3])
    angles = turned.as_euler("xyz", degrees=True)
    here = (FLIP @ [*centre, 1.0])[:3]
    shift = here - np.linalg.inv(matrix)[:3] @ [*here, 1.0]
    return Motion(
        matrix=matrix,
        angles=tuple(angles.tolist()),
        rotation=float(np.degrees(turned.magnitude())),
        shift=tuple(shift.tolist()),
        start=start,
        metric=metric,
        metric_before=before if np.isfinite(before) else None,
    )
