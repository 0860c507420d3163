"""What subclasses of the base write, and what they get from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from sklearn_iqt.base._rows import RowGeometry
from sklearn_iqt.base._tags import VolumeTags
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchSource, PatchTransformer

__all__ = ["VolumeHooks"]


class VolumeHooks:
    """The private methods behind ``fit`` and ``predict``.

    The first five are for subclasses to write; :class:`BasePatchRegressor` writes three of them.
    The others are there for subclasses to use.
    """

    _volume_tags = VolumeTags()
    # Spline order of the baseline: what the estimator improves on, and the value of background.
    order = 3

    scale: Any
    alignment: str
    verbose: Any
    # What ``fit`` sets before it calls a hook.
    scale_: tuple[int, int, int]
    patcher_: PatchTransformer
    n_features_in_: int
    n_outputs_: int
    row_mean_: NDArray | None

    def _make_patcher(self) -> PatchTransformer:
        """Return the patches that rows are, fitted to ``_patch_scale()``."""
        raise NotImplementedError(f"{type(self).__name__} must write _make_patcher.")

    def _fit_patches(self, X: NDArray, y: NDArray, groups: NDArray | None) -> None:
        """Learn from paired rows, which are patches of ``row_geometry_``."""
        raise NotImplementedError(f"{type(self).__name__} must write _fit_patches.")

    def _predict_patches(self, X: NDArray) -> NDArray:
        """Predict rows of outputs for rows of inputs."""
        raise NotImplementedError(f"{type(self).__name__} must write _predict_patches.")

    def _fit_cohort(self, cohort: Cohort) -> None:
        """Learn from pairs of volumes."""
        raise NotImplementedError(f"{type(self).__name__} must write _fit_cohort.")

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Callable[[float], Any],
    ) -> tuple[NDArray[np.float32], ...]:
        """Return the enhanced volume, and the spread if it is asked for."""
        raise NotImplementedError(f"{type(self).__name__} must write _predict_volume.")

    @property
    def row_geometry_(self) -> RowGeometry:
        """What the rows are that the estimator was fitted on."""
        if self.row_mean_ is None:
            return RowGeometry(self.patcher_.patch_size_, self.patcher_.scale_, self.n_outputs_)
        return RowGeometry.of_features(self.n_features_in_, self.n_outputs_)

    def _patch_scale(self) -> tuple[int, int, int]:
        return (1, 1, 1) if self._volume_tags.interpolates_first else self.scale_

    def _patch_source(self) -> PatchSource:
        return PatchSource(
            self.patcher_,
            self.scale_,
            self.alignment,
            self.order,
            self._volume_tags.interpolates_first,
        )

    def _progress(self, items: Iterable | None, what: str, **options: Any) -> Any:
        title = f"{type(self).__name__}: {what}"
        return tqdm(items, desc=title, disable=not self.verbose, **options)

    def _expect_patches(self) -> None:
        """Take patches for rows, as after every fit on volumes."""
        grid = self.patcher_.grid(self.patcher_.patch_size_)
        self.n_features_in_, self.n_outputs_ = grid.n_voxels, grid.high.n_voxels
        self._flat_target, self.row_mean_ = False, None

    def _baseline_patches(self, X: NDArray) -> NDArray:
        """Return what to expect before learning: interpolated patches, or the mean target."""
        if self.row_mean_ is not None:
            return np.broadcast_to(self.row_mean_, (len(X), self.n_outputs_))
        return self._patch_source().interpolate_rows(X)
