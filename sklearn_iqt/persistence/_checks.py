"""Check that the attributes of a model from a file are consistent."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _is_fitted as is_fitted

from sklearn_iqt.base._training_scans import PATCHES, SLICES
from sklearn_iqt.compose import AnyGridIQT, ConformalIQT
from sklearn_iqt.compose._conformal import N_FRACTIONS
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.io._gate import MAX_INTENSITY, MIN_INTENSITY
from sklearn_iqt.io._orientation import is_orientation
from sklearn_iqt.patches import PatchTransformer, per_axis
from sklearn_iqt.persistence._registry import (
    ESTIMATORS,
    MAX_WIDTH,
    SCALERS,
    SHAPES,
    class_name,
)

# Limits that real models do not reach: voxels along an axis of a patch, scale,
# atoms, steps of a pipeline, ratios of tissues. Without them, a small file could make the
# loader use far too much memory.
_MAX_LENGTH = 2**9
_MAX_SCALE = 2**6
_MAX_ATOMS = 2**12
_MAX_STEPS = 2**4
_MAX_RATIO = 1e3
# Voxels of a patch with which a net is tried. The memory for a patch does not depend on the size of
# the file.
_MAX_TRIED = 2**15


def check_model(model: Any) -> None:
    """Raise an error if attributes of a model contradict its parameters or each other.

    Parameters
    ----------
    model : estimator
        Model that was built from a file.

    Raises
    ------
    UntrustedModelError
        If a size is too large, an array has the wrong shape, or rows cannot be predicted.
    """
    while (check := _check_outer(model)) is not None:
        model = check(model)
    name = type(model).__name__
    scaler = getattr(model, "scaler_", None)
    if class_name(scaler) in SCALERS:
        _check_scaler(scaler, name)
    if not (hasattr(model, "net_") and model.n_features_in_ > _MAX_TRIED):
        _check_prediction(model, name)


def check_state(model: Any) -> None:
    """Raise an error if sizes of a model are too large or contradict each other.

    Parameters
    ----------
    model : BaseIQTRegressor
        Model with its parameters and attributes, from which nothing was computed yet.

    Raises
    ------
    UntrustedModelError
        If a size is too large, or an array has the wrong shape.
    """
    name = type(model).__name__
    for key in ("n_features_in_", "n_outputs_"):
        if not hasattr(model, key):
            raise UntrustedModelError(f"{name} has no {key}.")
    if type(getattr(model, "_flat_target", None)) is not bool:
        raise UntrustedModelError(
            f"{name}: the file does not say whether targets had one dimension."
        )
    _check_geometry(model, name)
    _check_rows(model, name)
    _check_training_grid(model, name)
    _check_training_scans(model, name)
    _check_shapes(model, name)


def _refuse_large(value: Any, limit: int, what: str) -> None:
    """Refuse a size, or sizes along axes, beyond a limit. Other values are checked later."""
    sizes = value.tolist() if isinstance(value, np.ndarray) else value
    for size in sizes if isinstance(sizes, (list, tuple)) else [sizes]:
        if isinstance(size, (int, float)) and size > limit:
            raise UntrustedModelError(f"{what} is {str(size)[:20]}, more than {limit}.")


def _check_outer(model: Any) -> Callable[[Any], Any] | None:
    """Return the check of a class that contains a model; None for an estimator of volumes."""
    checks = {Pipeline: _check_steps, AnyGridIQT: _check_any_grid, ConformalIQT: _check_conformal}
    return next((check for kind, check in checks.items() if isinstance(model, kind)), None)


def _check_any_grid(model: AnyGridIQT) -> Any:
    """Return the model inside, after checking that the grid of results does not name a file."""
    if not is_storable_grid(model.grid):
        raise UntrustedModelError("AnyGridIQT.grid is not the name of a grid or a voxel size.")
    voxel_range = vars(model).get("voxel_range_")
    if voxel_range is not None and not (
        isinstance(voxel_range, np.ndarray)
        and voxel_range.shape == (2, 2)
        and voxel_range.dtype == np.float64
        and (voxel_range > 0).all()
        and (voxel_range[0] <= voxel_range[1]).all()
    ):
        raise UntrustedModelError("AnyGridIQT.voxel_range_ is not two rows of increasing lengths.")
    return _inner_model(model)


def _check_conformal(model: ConformalIQT) -> Any:
    """Return the model inside, after checking the factors of the calibration."""
    factors: Any = getattr(model, "factors_", np.zeros((1, N_FRACTIONS)))
    valid = (
        isinstance(factors, np.ndarray)
        and factors.dtype == np.float64
        and factors.ndim == 2
        and factors.shape[0] > 0
        and factors.shape[1] == N_FRACTIONS
    )
    if not (valid and (factors >= 0).all() and (np.diff(factors, axis=1) >= 0).all()):
        raise UntrustedModelError("ConformalIQT.factors_ does not hold increasing factors.")
    if hasattr(model, "factors_") != hasattr(model, "calibration_scans_") or not _describes_scans(
        getattr(model, "calibration_scans_", {})
    ):
        raise UntrustedModelError("ConformalIQT.calibration_scans_ does not describe scans.")
    return _inner_model(model)


def _describes_scans(described: Any) -> bool:
    """Return whether a value from a file has the form that ``describe_scans`` returns."""
    shapes = {PATCHES: (28, 28)}
    valid = isinstance(described, dict) and all(
        isinstance(values, np.ndarray)
        and values.dtype == np.float64
        and values.size > 0
        and values.shape == shapes.get(key, (values.size,))
        for key, values in described.items()
    )
    return bool(valid and np.isin(described.get(SLICES, 0), (0, 1, 2)).all())


def _inner_model(model: Any) -> Any:
    """Return the model inside of a wrapper."""
    name = type(model).__name__
    if not is_fitted(model):
        raise UntrustedModelError(f"{name} has no fitted model.")
    inner = model._fitted_estimator()
    while isinstance(inner, FrozenEstimator):
        inner = inner.estimator
    if _check_outer(inner) is None and class_name(inner, ESTIMATORS) is None:
        raise UntrustedModelError(f"{name} contains a {type(inner).__name__}, not a model.")
    return inner


def is_storable_grid(grid: Any) -> bool:
    """Return whether the grid of an AnyGridIQT is the name of a grid or a voxel size."""
    if isinstance(grid, str):
        return grid in ("model", "scan")
    return isinstance(grid, Real) or (
        isinstance(grid, (list, tuple)) and all(isinstance(size, Real) for size in grid)
    )


def _check_steps(pipeline: Pipeline) -> Any:
    """Return the last step of a pipeline, after checking that all other steps scale volumes."""
    try:
        names, steps = zip(*pipeline.steps, strict=True)
    except (TypeError, ValueError) as error:
        raise UntrustedModelError("its pipeline has no named steps.") from error
    if not all(isinstance(name, str) and name and "__" not in name for name in names):
        raise UntrustedModelError("its pipeline has steps with invalid names.")
    if len(steps) > _MAX_STEPS or len(set(names)) < len(names):
        raise UntrustedModelError(
            f"its pipeline has {len(steps)} steps, where {_MAX_STEPS} are allowed, or two steps "
            "of the same name."
        )
    *scalers, model = steps
    if class_name(model, ESTIMATORS) is None and _check_outer(model) is None:
        raise UntrustedModelError(
            f"its pipeline ends in a {type(model).__name__}, which is not a model."
        )
    for scaler in scalers:
        if isinstance(scaler, str) and scaler == "passthrough":
            continue
        _check_scaler(scaler, "its pipeline")
    return model


def _check_scaler(scaler: Any, owner: str) -> None:
    """Check the fitted numbers of a scaler, and scale a volume of three tissues with it."""
    name = type(scaler).__name__
    if name not in SCALERS or class_name(scaler) is None:
        raise UntrustedModelError(f"{owner} contains a {name}, which does not scale volumes.")
    if (learned := SCALERS[name]) is not None:
        numbers = getattr(scaler, learned, None)
        if not (isinstance(numbers, np.ndarray) and numbers.dtype == np.float64):
            raise UntrustedModelError(f"{name}.{learned} is not an array of numbers.")
        if learned == "ratios_" and not (
            numbers.shape == (3,)
            and abs(numbers[1] - 1) < 1e-6
            and 1 / _MAX_RATIO < numbers[0] < numbers[1] < numbers[2] < _MAX_RATIO
        ):
            raise UntrustedModelError(f"{name}.ratios_ cannot be ratios of three tissues.")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, size=(12, 12, 12)) * (np.arange(12) > 5)
    volume = np.array([0.0, 40, 100, 150])[labels] + rng.uniform(0, 5, labels.shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (scaled,) = scaler.transform([volume])
        finite = scaled.shape == volume.shape and bool(np.isfinite(scaled).all())
    except Exception as error:
        raise UntrustedModelError(f"{name} cannot scale a volume: {error}") from error
    if not finite:
        raise UntrustedModelError(f"{name} returns a volume that is not finite.")


def _check_geometry(model: Any, name: str) -> None:
    patcher = getattr(model, "patcher_", None)
    if not isinstance(patcher, PatchTransformer):
        raise UntrustedModelError(f"{name} has no fitted patcher.")
    _refuse_large(model.scale, _MAX_SCALE, f"{name}.scale")
    for part in (model, patcher):
        for key in ("patch_size", "stride"):
            _refuse_large(getattr(part, key, None), _MAX_LENGTH, f"{name}: {key}")
    try:
        scale = per_axis(model.scale, "scale", name)
        if not _same(getattr(model, "scale_", None), scale):
            raise UntrustedModelError(f"{name}.scale_ differs from its parameter scale, {scale}.")
        expected = clone(patcher).fit_geometry(model._patch_scale())
    except (TypeError, ValueError) as error:
        raise UntrustedModelError(str(error)) from error
    gains = getattr(model, "target_gains_", None)
    if not (isinstance(gains, np.ndarray) and gains.dtype == np.float64 and gains.ndim == 1):
        raise UntrustedModelError(f"{name}.target_gains_ is not an array of numbers.")
    smallest, largest = MIN_INTENSITY / MAX_INTENSITY, MAX_INTENSITY / MIN_INTENSITY
    if not ((gains >= smallest) & (gains <= largest)).all():
        raise UntrustedModelError(
            f"{name}.target_gains_ has gains that are not from {smallest:g} to {largest:g}."
        )
    for key in ("patch_size_", "stride_", "scale_"):
        if not _same(getattr(patcher, key, None), getattr(expected, key)):
            raise UntrustedModelError(
                f"{name}.patcher_.{key} contradicts the parameters of the patcher."
            )
    # Python integers do not overflow.
    n_voxels = 1
    for size, factor in zip(expected.patch_size_, scale, strict=True):
        n_voxels *= size * factor
    if n_voxels > MAX_WIDTH or max(expected.patch_size_) > _MAX_LENGTH or max(scale) > _MAX_SCALE:
        raise UntrustedModelError(
            f"{name}: patches of {expected.patch_size_} voxels and scale {scale} are too large."
        )


def _same(value: Any, expected: tuple[int, ...]) -> bool:
    """Return whether a value is this tuple, and not an array, which cannot be compared with it."""
    return isinstance(value, tuple) and value == expected


def _check_rows(model: Any, name: str) -> None:
    """Check that rows have the size of patches, or that the mean of other rows is stored."""
    mean = getattr(model, "row_mean_", "missing")
    if mean is None:
        grid = model.patcher_.grid(model.patcher_.patch_size_)
        expected = (grid.n_voxels, grid.high.n_voxels)
        if (model.n_features_in_, model.n_outputs_) != expected:
            raise UntrustedModelError(f"{name}: its rows are not patches of {expected} voxels.")
    elif not (
        isinstance(mean, np.ndarray)
        and mean.dtype in (np.float32, np.float64)
        and mean.shape == (model.n_outputs_,)
    ):
        raise UntrustedModelError(f"{name}.row_mean_ must be one number for each output.")


def _check_training_grid(model: Any, name: str) -> None:
    spacing: Any = getattr(model, "spacing_", "missing")
    is_size = isinstance(spacing, np.ndarray) and spacing.shape == (3,)
    if not (spacing is None or (is_size and spacing.dtype == np.float64 and (spacing > 0).all())):
        raise UntrustedModelError(f"{name}.spacing_ is not a voxel size.")
    codes: Any = getattr(model, "orientation_", "missing")
    if (codes is None) != (spacing is None) or not (codes is None or is_orientation(codes)):
        raise UntrustedModelError(f"{name}.orientation_ is not a direction for each axis.")


def _check_training_scans(model: Any, name: str) -> None:
    described: Any = getattr(model, "training_scans_", None)
    if described is None:
        return
    if not _describes_scans(described):
        raise UntrustedModelError(f"{name}.training_scans_ does not describe scans.")


def _check_shapes(model: Any, name: str) -> None:
    sizes: dict[str, int] = {}
    for key, dimensions in SHAPES.get(name, {}).items():
        array = getattr(model, key, None)
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            raise UntrustedModelError(f"{name}.{key} is not an array of floats.")
        expected = tuple(getattr(model, d, sizes.get(d)) for d in dimensions)
        if array.ndim != len(dimensions) or any(
            size is not None and size != length
            for size, length in zip(expected, array.shape, strict=True)
        ):
            raise UntrustedModelError(
                f"{name}.{key} has shape {array.shape}, but {dimensions} is {expected}."
            )
        sizes.update(zip(dimensions, array.shape, strict=True))
    if sizes.get("atoms", 0) > _MAX_ATOMS:
        raise UntrustedModelError(f"{name}: {sizes['atoms']} atoms are more than {_MAX_ATOMS}.")


def _check_prediction(model: Any, name: str) -> None:
    """Predict two rows, so that inconsistent parts fail here and not on a patient's scan."""
    rows = np.zeros((2, model.n_features_in_), dtype=np.float32)
    rows[1] = np.linspace(0, 1, model.n_features_in_)  # intensities of patches
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prediction = model.predict(rows)
        finite = np.isfinite(prediction).all()
    except ImportError:
        raise
    except Exception as error:
        raise UntrustedModelError(f"{name} cannot predict rows of patches: {error}") from error
    expected = (2,) if model._flat_target else (2, model.n_outputs_)
    if prediction.shape != expected or not finite:
        raise UntrustedModelError(
            f"{name} predicts {'an array of' if finite else 'values that are not finite, in'} "
            f"shape {prediction.shape} for two rows of patches, which must have shape {expected}."
        )
