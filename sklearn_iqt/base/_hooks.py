"""Private methods that subclasses of the base implement or call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from sklearn_iqt.base._rows import RowGeometry
from sklearn_iqt.base._tags import VolumeTags
from sklearn_iqt.base._target_unit import warn_of_units
from sklearn_iqt.base._training_grid import TrainingGrid
from sklearn_iqt.base._training_scans import describe_scans
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchSource, PatchTransformer
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._noise import noise_level

__all__ = ["VolumeHooks"]


class VolumeHooks:
    """The private methods behind ``fit`` and ``predict``.

    Subclasses implement the first five; :class:`BasePatchRegressor` implements three of these. The
    other methods are helpers for subclasses.
    """

    _volume_tags = VolumeTags()
    # Spline order of the interpolation, which an estimator improves and which fills background.
    order = 3
    # Whether background stays 0. It is a parameter of the estimators of this package.
    keep_zeros: bool = True
    # Unit of high volumes in training. It is a parameter of most estimators that learn.
    target_unit: str = "own"

    scale: Any
    alignment: str
    verbose: Any
    # Attributes that ``fit`` sets before it calls a hook.
    scale_: tuple[int, int, int]
    patcher_: PatchTransformer
    n_features_in_: int
    n_outputs_: int
    row_mean_: NDArray | None
    spacing_: NDArray[np.float64] | None
    orientation_: str | None
    target_gains_: NDArray[np.float64]
    training_scans_: dict[str, NDArray[np.float64]] | None

    def _make_patcher(self) -> PatchTransformer:
        """Return the patcher whose patches are the rows, fitted to ``_patch_scale()``."""
        raise NotImplementedError(f"{type(self).__name__} must implement _make_patcher.")

    def _fit_patches(self, X: NDArray, y: NDArray, groups: NDArray | None) -> None:
        """Learn from paired rows, which hold patches of ``row_geometry_``."""
        raise NotImplementedError(f"{type(self).__name__} must implement _fit_patches.")

    def _predict_patches(self, X: NDArray) -> NDArray:
        """Predict rows of outputs for rows of inputs."""
        raise NotImplementedError(f"{type(self).__name__} must implement _predict_patches.")

    def _fit_cohort(self, cohort: Cohort) -> None:
        """Learn from pairs of volumes."""
        raise NotImplementedError(f"{type(self).__name__} must implement _fit_cohort.")

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Callable[[float], Any],
    ) -> tuple[NDArray[np.float32], ...]:
        """Return the enhanced volume, and its standard deviation with ``return_std``.

        The standard deviation is the part that comes from the method. The noise of the scan is
        added by ``predict``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement _predict_volume.")

    @property
    def row_geometry_(self) -> RowGeometry:
        """The patches that rows hold, according to the last fit."""
        if self.row_mean_ is None:
            return RowGeometry(self.patcher_.patch_size_, self.patcher_.scale_, self.n_outputs_)
        return RowGeometry.of_features(self.n_features_in_, self.n_outputs_)

    @property
    def target_gain_(self) -> float:
        """Gain of a typical high volume, relative to its low volume, according to the last fit."""
        gains = getattr(self, "target_gains_", ())
        return float(np.median(gains)) if len(gains) else 1.0

    def _describe_scans(self, cohort: Cohort, *, reset: bool) -> None:
        """Remember what training scans are like, in addition to those of an earlier fit."""
        earlier = None if reset else getattr(self, "training_scans_", None)
        self.training_scans_ = describe_scans(cohort, earlier) if self._volume_tags.learns else None

    def _add_target_gains(self, cohort: Cohort, gains: Sequence[float]) -> None:
        """Remember the gains of high volumes, and warn if they differ between subjects."""
        warn_of_units(cohort, gains, self.target_unit)
        if self.target_unit == "own":
            self.target_gains_ = np.append(self.target_gains_, gains)

    def _patch_scale(self) -> tuple[int, int, int]:
        return (1, 1, 1) if self._volume_tags.interpolates_first else self.scale_

    def _patch_source(self) -> PatchSource:
        return PatchSource(
            self.patcher_,
            self.scale_,
            self.alignment,
            self.order,
            self._volume_tags.interpolates_first,
            self.target_unit,
        )

    def _noise(self, volume: NDArray, mask: NDArray[np.bool_] | None) -> float:
        """Return the standard deviation of the noise of a low volume."""
        sharp = [axis for axis, step in enumerate(self.scale_) if step == 1]
        inside = foreground_mask(volume) if mask is None else mask
        inside = inside if inside.any() else np.ones(volume.shape, dtype=bool)
        return noise_level(volume, inside, axes=sharp or (0, 1, 2))

    def _trained_on(self) -> TrainingGrid | None:
        """Return the grid of the training images, or None if they were arrays."""
        if self.spacing_ is None or self.orientation_ is None:
            return None
        return TrainingGrid(self.spacing_, self.orientation_, self.scale_)

    def _progress(self, items: Iterable | None, task: str, **options: Any) -> Any:
        title = f"{type(self).__name__}: {task}"
        return tqdm(items, desc=title, disable=not self.verbose, **options)

    def _set_rows_to_patches(self) -> None:
        """Set the attributes of rows to the patches of the patcher, as after a fit on volumes."""
        grid = self.patcher_.grid(self.patcher_.patch_size_)
        self.n_features_in_, self.n_outputs_ = grid.n_voxels, grid.high.n_voxels
        self._flat_target, self.row_mean_ = False, None

    def _baseline_patches(self, X: NDArray) -> NDArray:
        """Return the baseline of each row: its interpolated patch, or the mean target."""
        if self.row_mean_ is not None:
            return np.broadcast_to(self.row_mean_, (len(X), self.n_outputs_))
        return self._patch_source().interpolate_rows(X)
