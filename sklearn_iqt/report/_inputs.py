"""Read and check the volumes of a report, and enhance the scan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator

from sklearn_iqt.base import BaseIQTRegressor, enhancer_of, steps_of
from sklearn_iqt.checks import ScanCheck, check_scan
from sklearn_iqt.compose import AnyGridIQT, ConformalIQT
from sklearn_iqt.exceptions import GeometryMismatchError, IntervalRefusedError
from sklearn_iqt.io import (
    Cohort,
    Grid,
    VolumeCollection,
    compare_grids,
    read_volume,
    scaled_affine,
)
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.plotting._slices import Scan, upright
from sklearn_iqt.plotting._subject import Subject
from sklearn_iqt.preprocessing import foreground_mask, resample_to, upsample

CALLER = "write_report"


@dataclass(frozen=True)
class Inputs:
    """The scan, its enhancement, truth and mask, checked against each other.

    Parameters
    ----------
    name : str
        Name of the file of the scan, or "scan".
    scan, enhanced, interpolated : Nifti1Image
        The scan, its enhancement, and its cubic interpolation on the grid of the enhancement.
    spread : Nifti1Image or None
        Standard deviation of the enhancement, or None if it was not passed or is 0 everywhere.
    interval : Nifti1Image, str or None
        Half the length of the interval of each voxel, the reason why the scan has no intervals, or
        None if the model is not calibrated.
    foreground : ndarray of bool
        Voxels of the scan that are not background.
    mask : ndarray of bool or None
        The foreground, or None if the user passed none.
    scale : tuple of 3 ints
        Voxels of the enhancement for each voxel of the scan.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    subject : Subject
        The truth, or the enhancement if there is no truth.
    has_truth : bool
        Whether the user passed a truth.
    steps : str or None
        Changes that brought the scan to the grid of the training scans, or None.
    check : ScanCheck or None
        Whether the scan is like the training scans; None for a model that is not fitted, or
        of another package.
    """

    name: str
    scan: Nifti1Image
    enhanced: Nifti1Image
    interpolated: Nifti1Image
    spread: Nifti1Image | None
    interval: Nifti1Image | str | None
    foreground: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None
    scale: tuple[int, ...]
    alignment: str
    subject: Subject
    has_truth: bool
    steps: str | None
    check: ScanCheck | None

    @property
    def voxels(self) -> NDArray[Any]:
        """Intensities of the scan."""
        return np.asarray(self.scan.dataobj)

    @property
    def spacing(self) -> list[float]:
        """Voxel size of the scan in mm."""
        return voxel_sizes(self.scan.affine).tolist()


def read_inputs(
    model: Any,
    low: Any,
    *,
    enhanced: Any,
    std: Any,
    truth: Any,
    mask: Any,
    affine: ArrayLike | None,
) -> Inputs:
    """Read and check the volumes, and enhance the scan unless `enhanced` is given."""
    if std is not None and enhanced is None:
        raise ValueError(f"{CALLER}: std was passed without enhanced. Pass both or neither.")
    names = ("low", "truth", "mask")
    cohort = Cohort.of_one(low, mask=mask, caller=CALLER, names=names)
    voxels, _, inside, own = cohort.read(0)
    if own is not None:
        scan = cohort.low.as_image(0, voxels)
    elif affine is not None:
        scan = Nifti1Image(voxels, scaled_affine(affine, 1))
        cohort = Cohort.of_one(scan, mask=mask, caller=CALLER, names=names)
    else:
        scan = Nifti1Image(voxels, np.eye(4))
    has_place = own is not None or affine is not None
    check = _check(scan if has_place else voxels, model, inside)
    steps = None
    if isinstance(model, AnyGridIQT) and model._trained_on() is not None and has_place:
        (plan,) = model._plan(cohort)
        _, scan, inside = model._prepare(cohort, 0, plan)
        voxels, steps = np.asarray(scan.dataobj), plan.describe()
        enhanced, std = (
            None if v is None else reorient(_read_image(v, name), plan.orientation)
            for v, name in ((enhanced, "enhanced"), (std, "std"))
        )
        # The scan is on the grid of the training now, and the result stays there.
        model = AnyGridIQT(FrozenEstimator(model._fitted_estimator()))
    half: Any = None
    if enhanced is None:
        # A scan without a place is enhanced as an array, because its grid is unknown.
        enhanced, std, half = _enhance(model, scan if has_place else voxels, inside)
    alignment = getattr(steps_of(model)[-1], "alignment", "center")
    fine, scale = _on_fine_grid(enhanced, "enhanced", scan, alignment)
    spread = None if std is None else _on_fine_grid(std, "std", scan, alignment)[0]
    interval = half
    if half is not None and not isinstance(half, str):
        interval = _on_fine_grid(half, "interval", scan, alignment)[0]
    if steps is not None and truth is not None:
        truth = resample_to(truth, fine, order=3)
    if spread is not None and not np.asarray(spread.dataobj).any():
        spread = None
    return Inputs(
        name=_title(low),
        scan=scan,
        enhanced=fine,
        interpolated=Nifti1Image(upsample(voxels, scale, alignment=alignment), fine.affine),
        spread=spread,
        interval=interval,
        foreground=foreground_mask(voxels) if inside is None else inside,
        mask=inside,
        scale=scale,
        alignment=alignment,
        subject=_read_subject(fine, truth),
        has_truth=truth is not None,
        steps=steps,
        check=check,
    )


def slice_profile(thickness: Any, scale: tuple[int, ...]) -> tuple[float, ...]:
    """Return the width of the slice profile along each axis, 1 along axes with scale 1."""
    refined = np.array(scale) > 1
    given = np.maximum(1, np.array(scale) - 1) if thickness is None else np.asarray(thickness)
    if given.shape not in ((), (3,)) or given.dtype.kind not in "fiu" or not (given >= 1).all():
        raise ValueError(
            f"{CALLER}: thickness must be one number or three numbers, in voxels of the "
            f"enhancement and at least 1, got {thickness!r}."
        )
    return tuple(np.where(refined, given, 1).astype(float).tolist())


def _check(scan: Any, model: Any, inside: NDArray[np.bool_] | None) -> ScanCheck | None:
    """Compare the scan with the training scans, before it is changed."""
    mask: Any = inside
    if inside is not None and isinstance(scan, SpatialImage):
        mask = Nifti1Image(inside.astype(np.uint8), scan.affine)
    enhancer = steps_of(model)[-1]
    known = isinstance(enhancer, BaseIQTRegressor) and hasattr(enhancer, "spacing_")
    return check_scan(scan, model, mask=mask) if known else None


def _title(volume: Any) -> str:
    """Return the name of the file of a volume, or "scan"."""
    file = volume.get_filename() if isinstance(volume, SpatialImage) else volume
    return os.path.basename(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else "scan"


def _read_image(volume: Any, name: str) -> Nifti1Image:
    """Return an image of the checked voxels of a volume."""
    voxels, affine = read_volume(volume, name=name, caller=CALLER)
    return Nifti1Image(voxels, np.eye(4) if affine is None else affine)


def calibrated(model: Any) -> ConformalIQT | None:
    """Return the calibrated estimator inside a model, or None."""
    while isinstance(model, (FrozenEstimator, AnyGridIQT)):
        model = model.estimator if isinstance(model, FrozenEstimator) else model._fitted_estimator()
    is_calibrated = isinstance(model, ConformalIQT) and hasattr(model, "factors_")
    return model if is_calibrated else None


def _enhance(
    model: Any, volume: Any, mask: NDArray[np.bool_] | None
) -> tuple[Any, Any, NDArray | str | None]:
    """Return the enhancement of a scan, its standard deviation, and half of its intervals.

    If the scan has no intervals although the model is calibrated, the last one is the reason.
    """
    try:
        enhancer_of(model, CALLER)
    except TypeError as error:
        raise TypeError(f"{error} Pass enhanced to report on another model.") from error
    masks: list[Any] | None = None
    if mask is not None:
        inside = mask.astype(np.uint8)
        is_array = isinstance(volume, np.ndarray)
        masks = [inside if is_array else Nifti1Image(inside, volume.affine)]
    scan = VolumeCollection([volume], name="low", caller=CALLER, single=True)
    enhanced, spread = model.predict(scan, mask=masks, return_std=True)
    if calibrated(model) is None:
        return enhanced[0], spread[0], None
    try:
        _, *ends = model.predict_interval(scan, mask=masks)
    except IntervalRefusedError as error:
        return enhanced[0], spread[0], str(error)
    lower, upper = (np.asarray(getattr(end[0], "dataobj", end[0])) for end in ends)
    return enhanced[0], spread[0], (upper - lower) / 2


def _on_fine_grid(
    volume: Any, name: str, image: Nifti1Image, alignment: str
) -> tuple[Nifti1Image, tuple[int, ...]]:
    """Return a volume as an image, and the number of its voxels per voxel of the scan."""
    voxels, affine = read_volume(volume, name=name, caller=CALLER)
    scale = tuple(max(1, n // m) for n, m in zip(voxels.shape, image.shape, strict=True))
    expected = Grid(image.shape, image.affine).scaled(scale, alignment)
    difference = compare_grids(expected, Grid(voxels.shape, affine))
    if difference is None:
        return Nifti1Image(voxels, expected.affine), scale
    if difference.shape_differs:
        fault = f"has shape {voxels.shape}, not a multiple of the shape {image.shape} of low"
    else:
        fault = f"{difference}, compared with the enhancement of low"
    raise GeometryMismatchError(f"{CALLER}: {name} {fault}. Pass a volume made from this scan.")


def _read_subject(fine: Nifti1Image, truth: Any) -> Subject:
    """Return the truth, or the enhancement if there is no truth, as the main volume."""
    if truth is None:
        return Subject(fine, "enhanced", caller=CALLER)
    subject = Subject(truth, "truth", affine=fine.affine, caller=CALLER)
    subject.read_same(fine, "enhanced")
    return subject


def turn_upright(image: Nifti1Image) -> Scan:
    """Return a volume with axes that run to right, anterior and superior."""
    return upright(np.asarray(image.dataobj), image.affine)
