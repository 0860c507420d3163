"""Use of a model on scans of any voxel size, orientation and direction of slices."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from sklearn.base import _fit_context, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from sklearn_iqt.base import TrainingGrid, enhancer_of
from sklearn_iqt.base._routing import route_mask
from sklearn_iqt.compose._scan_plan import (
    ScanPlan,
    interpolated_pair,
    plan_interpolation,
    plan_scan,
    voxel_range,
)
from sklearn_iqt.compose._wrapper import ModelWrapper, given
from sklearn_iqt.exceptions import ScanWarning
from sklearn_iqt.io import Cohort, Grid, VolumeCollection, is_rows, scaled_affine
from sklearn_iqt.io._carry import carried_image
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.preprocessing import foreground_mask, resample_to, resample_to_voxel_size
from sklearn_iqt.simulation import back_project
from sklearn_iqt.simulation._back_projection import make_consistent
from sklearn_iqt.simulation._degrade import apply_matrix, slice_matrix

__all__ = ["AnyGridIQT"]


def _has_partial_fit(model: Any) -> bool:
    return hasattr(model.estimator, "partial_fit")


def _has_intervals(model: Any) -> bool:
    return hasattr(model.estimator, "predict_interval")


class AnyGridIQT(ModelWrapper):
    """Enhance scans of any voxel size, orientation and direction of slices with a model.

    The model knows only scans like those that it was trained on. This estimator brings each scan
    to that grid, lets the model enhance it, and puts the result where the scan is, in mm:

    1. Axes are swapped and flipped into the order of the training scans, with the slices where the
       model expects them. This changes no intensity.
    2. In plane, the scan is resampled to the voxel size of the training if the two differ by more
       than 5 %. Slices are never resampled: the model makes ``scale`` thin slices of each.
    3. The model enhances the scan.
    4. The result is put back into the order of axes of the scan, on the grid that `grid` says.

    Parameters
    ----------
    estimator : estimator
        Estimator of this package, or a pipeline that ends with one. To use a model that is fitted
        already, for example one from a file, pass ``FrozenEstimator(model)``; ``fit`` is then not
        needed.
    slices : {"keep", "interpolate"}, default="keep"
        What happens to the slices of a scan before the model sees it.

        - "keep": nothing. The model makes `scale` thin slices of each.
        - "interpolate": scans are interpolated to the voxel size of the results along all axes, and
          the axis along which their slices are stacked is put last. The scale of the model is 1.
          ``fit`` and ``partial_fit`` do the same with the training scans, so one model can learn
          from scans of any slice thickness and direction, and enhance such scans.
    grid : {"model", "scan"}, float, sequence of 3 floats, Grid, nibabel image or path, \
default="model"
        Grid of the result.

        - "model": the grid that the model makes, with the axes and the field of view of the scan.
          Its voxels have the size of the training in plane, and along the slices the thickness of
          the scan divided by the scale of the model.
        - "scan": the grid of the scan.
        - One or three lengths in mm: voxels of this size along the axes of the scan, with its field
          of view.
        - A grid, an image or a path: the grid of this volume.

        Only "model" does not interpolate the result.
    order : int in [0, 5], default=3
        Order of the splines that resample scans and results. Masks are resampled to the nearest
        voxel.
    consistency : bool or float, default=False
        Whether to correct results, so that they agree with the scan except for its noise and for
        the contrast that the model changes, see :func:`~sklearn_iqt.simulation.back_project`. A
        number is the thickness of the slices in voxels of the result, at least 1. With True, there
        is a gap of one such voxel between slices, as in
        :class:`~sklearn_iqt.simulation.LowFieldSimulator`.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    voxel_range_ : ndarray of shape (2, 2)
        Smallest and largest length of the voxels of the low training scans in mm, in plane and
        along the slices. Only after a fit with ``slices="interpolate"``.
    n_features_in_ : int
        Length of an input row of the model.

    See Also
    --------
    sklearn_iqt.prepare.prepare_pairs : Bring pairs of scans to one grid before training.
    sklearn_iqt.preprocessing.resample_to : Resample one volume.

    Notes
    -----
    This is an estimator around the model and not a step before it, because the result must be
    brought back to the grid of the scan, which a step does not see. It is not a parameter of each
    estimator, because a model may be a whole pipeline, whose scalers then see the same grid as in
    training.

    Scans that no resampling can mend are refused: slices that are more than twice or less than half
    as thick as in training, voxels that are more than twice as long in plane, thick slices if the
    training had none, and scans that are as fine as the result already. A warning says if the
    slices of a scan are stacked in another direction than in training, if their thickness differs
    by more than 10 %, or if resampling makes voxels more than 10 % longer. A tilted scan stays
    tilted: its axes count as the directions that are closest.

    If slices are interpolated, scans are refused whose voxels are more than twice as long as in
    training, or as small as those of the results already. A warning says if voxels are more than
    10 % longer or shorter than in training.

    Arrays have no voxel size. They are passed to the model unchanged if it was fitted on arrays,
    and refused if it was fitted on images. Rows are passed to the model unchanged.

    A standard deviation is resampled linearly, like an intensity.

    Examples
    --------
    A model of slices of 1 x 1 x 4 mm, and a scan of 1.5 x 1.5 x 4 mm in another orientation:

    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_iqt import PatchwiseRegressor
    >>> from sklearn_iqt.compose import AnyGridIQT
    >>> rng = np.random.default_rng(0)
    >>> high = rng.random((16, 16, 32), np.float32) + 1
    >>> low = high.reshape(16, 16, 8, 4).mean(axis=-1)
    >>> low = nibabel.Nifti1Image(low, np.diag([1, 1, 4, 1]))
    >>> model = AnyGridIQT(PatchwiseRegressor(random_state=0)).fit([low], [high])
    >>> scan = nibabel.Nifti1Image(rng.random((12, 12, 6), np.float32), np.diag([-1.5, -1.5, 4, 1]))
    >>> (enhanced,) = model.predict([scan])
    >>> enhanced.shape, [float(size) for size in enhanced.header.get_zooms()]
    ((18, 18, 24), [1.0, 1.0, 1.0])
    >>> nibabel.aff2axcodes(enhanced.affine)
    ('L', 'P', 'S')
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "slices": [StrOptions({"keep", "interpolate"})],
        "grid": [
            StrOptions({"model", "scan"}),
            Interval(Real, 0, None, closed="neither"),
            list,
            tuple,
            np.ndarray,
            Grid,
            SpatialImage,
            str,
            os.PathLike,
        ],
        "order": [Interval(Integral, 0, 5, closed="both")],
        "consistency": ["boolean", Interval(Real, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        slices: str = "keep",
        grid: Any = "model",
        order: int = 3,
        consistency: bool | float = False,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.slices = slices
        self.grid = grid
        self.order = order
        self.consistency = consistency
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Fit the model on pairs.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low-quality volumes or rows, see the ``fit`` of the model. Only images and paths have a
            voxel size.
        y : same kind as X, default=None
            High-quality volumes or rows. If slices are kept, each is on the grid that the model
            makes of its low volume. If they are interpolated, it only has to be in the same place
            in mm, with voxels of the size of the results.
        mask : sequence of volumes, default=None
            Foreground of each low volume.

        Returns
        -------
        object
            The fitted estimator.
        """
        return self._fit(clone(self.estimator).fit, X, y, mask, None)

    @available_if(_has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, *, mask: Any = None) -> Any:
        """Train the model further, for example a pretrained one on your own pairs.

        Parameters
        ----------
        X, y : volumes or rows
            See :meth:`fit`. If slices are interpolated, high volumes are resampled to the voxel
            size of the results.
        mask : sequence of volumes, default=None
            See :meth:`fit`.

        Returns
        -------
        object
            The fitted estimator.
        """
        if "estimator_" not in vars(self):
            return self._fit(clone(self.estimator).partial_fit, X, y, mask, None)
        return self._fit(self.estimator_.partial_fit, X, y, mask, self._trained_on())

    def _fit(
        self,
        train: Callable[..., Any],
        X: Any,
        y: Any,
        mask: Any,
        trained_on: TrainingGrid | None,
    ) -> Any:
        """Train, after bringing the pairs to the grids that the model needs."""
        if self.slices == "interpolate" and not is_rows(X):
            X, y, mask, learned = self._interpolate(X, y, mask, trained_on)
        with route_mask(mask):
            model = train(X, y, **given(mask=mask))
        self.estimator_ = model
        if self.slices == "interpolate" and not is_rows(X):
            if trained_on is not None:
                both = np.array([learned, self.voxel_range_])
                learned = np.array([both[:, 0].min(axis=0), both[:, 1].max(axis=0)])
            self.voxel_range_: NDArray[np.float64] = learned
        return self

    def _interpolate(
        self, X: Any, y: Any, mask: Any, trained_on: TrainingGrid | None
    ) -> tuple[list, list, list | None, NDArray[np.float64]]:
        """Return pairs and masks on the grids of the high scans, and the voxels of the low ones."""
        name = type(self).__name__
        volumes = [
            VolumeCollection(data, name=argument, caller=name)
            for argument, data in (("X", X), ("y", y), ("mask", mask))
            if data is not None
        ]
        if len({len(collection) for collection in volumes}) > 1 or y is None:
            counts = [f"{len(collection)} in {collection.name}" for collection in volumes]
            raise ValueError(f"{name}: got {', '.join(counts)}. Pass one y and mask for each X.")
        size = None if trained_on is None else np.asarray(trained_on.spacing)
        affines, pairs = [], []
        for n in range(len(volumes[0])):
            for collection in volumes:
                if collection.grid(n).affine is None:
                    raise ValueError(
                        f"{name}: {collection.name_of(n)} is an array, which has no voxel size, so "
                        "that slices cannot be interpolated. Pass an image or a path."
                    )
            images = [collection.as_image(n, collection[n]) for collection in volumes]
            affines.append(images[0].affine)
            pairs.append(interpolated_pair(images, size, self.order))
        low, high, *masks = map(list, zip(*pairs, strict=True))
        return low, high, masks[0] if masks else None, voxel_range(affines)

    def predict(self, X: Any, *, mask: Any = None, return_std: bool = False) -> Any:
        """Enhance scans of any grid.

        Parameters
        ----------
        X : sequence of nibabel images or paths
            Scans. Arrays and rows are passed to the model if it was fitted on such.
        mask : sequence of volumes, default=None
            Foreground of each scan, on its grid. In a pipeline inside, it reaches every step that
            uses masks.
        return_std : bool, default=False
            Whether to return a standard deviation as well.

        Returns
        -------
        prediction : ndarray of shape (n_scans,) of nibabel images
            Results in the units of the scans, on the grid that was asked for.
        std : same kind as the prediction
            Standard deviation of each voxel; only with ``return_std``.

        Raises
        ------
        GeometryMismatchError
            If no resampling can bring a scan to the grid of the training.
        ValueError
            If ``X`` holds arrays although the model was fitted on images, or the other way round.

        Warns
        -----
        UserWarning
            If the slices of a scan are stacked in another direction than in training, or are
            thicker or thinner, or if its voxels become longer.
        """
        options = given(return_std=return_std or None)
        return self._on_training_grid("predict", X, mask, (self.order, 1), **options)

    @available_if(_has_intervals)
    def predict_interval(self, X: Any, *, mask: Any = None) -> Any:
        """Enhance scans of any grid, with the intervals of a calibrated model.

        Parameters
        ----------
        X : sequence of nibabel images or paths
            Scans, see :meth:`predict`.
        mask : sequence of volumes, default=None
            Foreground of each scan, on its grid.

        Returns
        -------
        prediction, lower, upper : ndarray of shape (n_scans,) of nibabel images
            Results and the ends of their intervals, see
            :meth:`sklearn_iqt.compose.ConformalIQT.predict_interval`. If `grid` is not "model", all
            three are resampled by the same spline.

        Raises
        ------
        GeometryMismatchError
            If no resampling can bring a scan to the grid of the training.
        """
        return self._on_training_grid("predict_interval", X, mask, (self.order,) * 3)

    def _on_training_grid(
        self, method: str, X: Any, mask: Any, orders: Sequence[int], **options: Any
    ) -> Any:
        """Call a method of the model on scans on the grid of its training, and place its results.

        There is one spline order for each result.
        """
        check_is_fitted(self)
        self._validate_params()
        call = getattr(self._fitted_estimator(), method)
        if is_rows(X):
            with route_mask(mask):
                return call(X, **given(mask=mask), **options)
        cohort = Cohort(X, mask=mask, caller=type(self).__name__)
        if self._trained_on() is None and cohort.low.kind != "images":
            with route_mask(mask):
                outputs = call(X, **given(mask=mask), **options)
            several = outputs if isinstance(outputs, tuple) else (outputs,)
            for n in range(len(cohort)) if self.consistency else ():
                low, _, inside, _ = cohort.read(n)
                corrected = self._consistent(several[0][n], low, inside)
                _replace(method, [volumes[n] for volumes in several], corrected)
            return outputs
        plans, target = self._plan(cohort), self._target()
        results = []
        bar = tqdm(plans, desc=f"{cohort.caller}: enhancing", disable=not self.verbose)
        for n, plan in enumerate(bar):
            if plan.notes:
                warnings.warn(
                    f"{cohort.caller}: the result for {cohort.low.name_of(n)} may be worse than "
                    f"for scans like those of the training, because {', and '.join(plan.notes)}.",
                    ScanWarning,
                    stacklevel=3,
                )
            scan, prepared, inside = self._prepare(cohort, n, plan)
            with route_mask(inside):
                outputs = call(
                    [np.asarray(prepared.dataobj)],
                    **given(mask=None if inside is None else [inside]),
                    **options,
                )
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            if self.consistency:
                corrected = self._agreeing(outputs[0][0], scan, prepared, inside, plan)
                _replace(method, [volumes[0] for volumes in outputs], corrected)
            results.append(
                [
                    self._place(output[0], prepared, scan, plan, target, order)
                    for output, order in zip(outputs, orders, strict=False)
                ]
            )
        columns = [_as_objects(column) for column in zip(*results, strict=True)]
        return tuple(columns) if len(columns) > 1 else columns[0]

    def _trained_on(self) -> TrainingGrid | None:
        return enhancer_of(self, type(self).__name__)._trained_on()

    def _plan(self, cohort: Cohort) -> list[ScanPlan]:
        """Return the steps for each scan, or refuse a scan."""
        trained_on = self._trained_on()
        if trained_on is None:
            raise ValueError(
                f"{cohort.caller}: {cohort.low.name} holds images, but the model was fitted on "
                "arrays, which have no voxel size, so that there is no grid to bring the images "
                "to. Fit it on images or paths."
            )
        plans = []
        for n in range(len(cohort)):
            affine, name = cohort.low.grid(n).affine, f"{cohort.caller}: {cohort.low.name_of(n)}"
            if affine is None:
                raise ValueError(
                    f"{name} is an array, which has no voxel size, but the model was fitted on "
                    "images. Pass an image or a path. If the array is on the grid of the training "
                    "scans, pass it to the model itself (estimator_)."
                )
            if self.slices == "keep":
                plans.append(plan_scan(trained_on, affine, name))
            else:
                target = np.asarray(trained_on.spacing)
                learned = vars(self).get("voxel_range_")
                plans.append(plan_interpolation(target, learned, affine, name))
        return plans

    def _prepare(
        self, cohort: Cohort, n: int, plan: ScanPlan
    ) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image, NDArray[np.bool_] | None]:
        """Return a scan, and the same scan and its mask on the grid of the training scans."""
        pair = cohort.read(n)
        scan = cohort.low.as_image(n, pair.low)
        inside = None
        if pair.mask is not None:
            mask = cohort.low.as_image(n, pair.mask.astype(np.uint8))
            inside = np.asarray(plan.apply(mask, 0).dataobj) > 0
        return scan, plan.apply(scan, self.order), inside

    def _consistent(
        self, output: NDArray[np.float32], low: NDArray, inside: NDArray[np.bool_] | None
    ) -> NDArray[np.float32]:
        """Correct a result on blocks of high voxels, so that it agrees with its low volume."""
        enhancer = enhancer_of(self, type(self).__name__)
        scale, alignment = enhancer.scale_, enhancer.alignment
        widths = [self._thickness(step) for step in scale]
        return back_project(
            low, output, scale=scale, thickness=widths, alignment=alignment, mask=inside
        )

    def _agreeing(
        self,
        output: NDArray[np.float32],
        scan: nibabel.Nifti1Image,
        prepared: nibabel.Nifti1Image,
        inside: NDArray[np.bool_] | None,
        plan: ScanPlan,
    ) -> NDArray[np.float32]:
        """Correct a result, so that it agrees with its scan."""
        if self.slices == "keep":
            return self._consistent(output, np.asarray(prepared.dataobj), inside)
        low = reorient(scan, plan.orientation)
        to_high = np.linalg.inv(prepared.affine) @ low.affine
        profiles = [
            slice_matrix(size, n_slices, step, first, self._thickness(step))
            for size, n_slices, step, first in zip(
                output.shape, low.shape, np.diag(to_high), to_high[:3, 3], strict=False
            )
        ]
        voxels = np.asarray(low.dataobj)
        if inside is None:
            foreground = foreground_mask(voxels)
        else:
            part: NDArray[np.floating] = inside.astype(np.float32)
            for axis, profile in enumerate(profiles):
                part = apply_matrix(part, profile, axis)
            foreground = part >= 0.5
        return make_consistent(voxels, output, foreground, profiles)

    def _thickness(self, step: float) -> float:
        """Return the width of a slice profile in high voxels, for the distance of slices."""
        given = step - 1 if isinstance(self.consistency, bool) else self.consistency
        return max(float(given), 1.0) if step > 1 else 1.0

    def _place(
        self,
        output: NDArray[np.float32],
        prepared: nibabel.Nifti1Image,
        scan: nibabel.Nifti1Image,
        plan: ScanPlan,
        target: Any,
        order: int,
    ) -> nibabel.Nifti1Image:
        """Return a result of the model on the grid that was asked for."""
        enhancer = enhancer_of(self, type(self).__name__)
        affine = scaled_affine(prepared.affine, enhancer.scale_, enhancer.alignment)
        image = carried_image(output, prepared.header, prepared.affine, affine)
        image = reorient(image, plan.codes)
        if target == "model":
            return image
        if isinstance(target, tuple):
            return resample_to_voxel_size(image, target, order=order)
        grid = Grid(scan.shape, scan.affine) if target == "scan" else target
        return resample_to(image, (grid.shape, grid.affine), order=order)

    def _target(self) -> Any:
        """Return "model", "scan", a voxel size as a tuple, or a grid."""
        grid, name = self.grid, type(self).__name__
        if isinstance(grid, str) and grid in ("model", "scan"):
            return grid
        if isinstance(grid, (SpatialImage, str, os.PathLike)):
            return VolumeCollection([grid], name="grid", caller=name, single=True).grid(0)
        if isinstance(grid, Grid):
            if grid.affine is None:
                raise ValueError(
                    f"{name}: grid has no affine. Pass one, such as Grid(shape, affine)."
                )
            return grid
        sizes = np.asarray(grid)
        if sizes.shape not in ((), (3,)) or sizes.dtype.kind not in "iuf" or not (sizes > 0).all():
            raise ValueError(
                f"{name}: grid must be 'model', 'scan', one or three positive lengths in mm, a "
                f"Grid, a nibabel image or a path, got {grid!r}."
            )
        return tuple(np.broadcast_to(sizes, 3).astype(float).tolist())


def _replace(method: str, outputs: Sequence[NDArray], corrected: NDArray) -> None:
    """Replace the first volume by the corrected one. The ends of intervals move by as much."""
    if method == "predict_interval":
        for end in outputs[1:]:
            end += corrected - outputs[0]
    outputs[0][...] = corrected


def _as_objects(images: Sequence[Any]) -> NDArray:
    """Return images in a 1-D array, as all estimators do."""
    result = np.empty(len(images), dtype=object)
    result[:] = images
    return result
