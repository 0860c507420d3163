"""Base class of all estimators, which handles rows and volumes."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_iqt._axes import ALIGNMENTS
from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt._fitted_params import remember_params
from sklearn_iqt.base._hooks import VolumeHooks
from sklearn_iqt.base._report import ReportMixin
from sklearn_iqt.base._rows import check_rows, refuse_volume_options
from sklearn_iqt.base._training_grid import warn_of_mixed_axes
from sklearn_iqt.base._volumes import predict_cohort, r2_of_volumes, refuse_nonfinite
from sklearn_iqt.io import Cohort, Pair, is_rows
from sklearn_iqt.patches import per_axis

__all__ = ["BaseIQTRegressor"]


class BaseIQTRegressor(ReportMixin, DocLinkMixin, RegressorMixin, VolumeHooks, BaseEstimator):
    """Base class of estimators that enhance volumes, or rows that hold patches of volumes.

    Given a 2-D array, an estimator is an ordinary multi-output regressor on rows. Given anything
    else, it enhances volumes. Only the number of dimensions decides.

    Subclasses take ``scale``, ``alignment``, ``keep_zeros`` and ``verbose`` as parameters, and
    implement the methods of ``VolumeHooks``. Most subclasses should inherit from
    :class:`BasePatchRegressor` instead, which implements the methods that handle volumes.

    Attributes
    ----------
    patcher_ : PatchTransformer
        Fitted patcher. Rows hold its patches.
    scale_ : tuple of 3 ints
        High-resolution voxels for each low-resolution voxel, along each axis.
    n_features_in_ : int
        Length of an input row: the voxels of an input patch.
    n_outputs_ : int
        Length of an output row: the voxels of an output patch.
    row_mean_ : ndarray of shape (n_outputs,) or None
        Mean of the targets, if ``fit`` was given rows that are not patches; None otherwise.
    spacing_ : ndarray of shape (3,) or None
        Median voxel size of the low training images, in mm; None if they were arrays.
    orientation_ : str or None
        Directions of the axes of most low training images, such as "RAS"; None if they were arrays.
    training_scans_ : dict of str to ndarray of float64, or None
        What the low training volumes are like. :func:`~sklearn_iqt.checks.check_scan` compares
        other scans with it. None after a fit on rows, and in interpolation, which learns nothing.
    target_gains_ : ndarray of shape (n_pairs,), float64
        Gain of each high training volume: its median intensity in the foreground of its low volume,
        divided by that of the low volume. Empty if ``target_unit`` was ``"low"``, after a fit on
        rows, and in estimators that do not scale volumes.
    target_gain_ : float
        Median of ``target_gains_``, by which predictions are multiplied; 1 if they are empty.
    """

    # With metadata routing, one mask reaches all steps of a pipeline.
    __metadata_request__fit = {"mask": True}
    __metadata_request__predict = {"mask": True, "return_std": True}
    __metadata_request__score = {"mask": True}

    _parameter_constraints: dict = {
        "scale": [Interval(Integral, 1, None, closed="left"), tuple, list, np.ndarray],
        "alignment": [StrOptions(set(ALIGNMENTS))],
        "keep_zeros": ["boolean"],
        "target_unit": [StrOptions({"own", "low"})],
        "verbose": ["verbose"],
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Learn from pairs of volumes, or from paired rows.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low-quality volumes (3-D arrays, nibabel images or paths), or rows of input patches.
        y : same kind as X, default=None
            High-quality volumes, ``scale`` times as large, or rows of output patches. Interpolation
            does not need high-quality volumes.
        mask : sequence of volumes, default=None
            Foreground of each low volume, which is where the mask is positive. By default the
            foreground is where the high volume is at or above its mean. For volumes only.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        GeometryMismatchError
            If the volumes of a pair, or its mask, do not fit each other.
        ValueError
            If a volume is not finite, or no patch holds enough foreground.
        """
        return self._fit(X, y, mask, reset=True)

    def _fit(self, X: Any, y: Any, mask: Any, *, reset: bool) -> Any:
        """Fit, or continue an earlier fit if ``reset`` is False."""
        name = type(self).__name__
        if y is None and (self._volume_tags.needs_target or is_rows(X)):
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        scale, cohort = per_axis(self.scale, "scale", name), None
        if is_rows(X):
            refuse_volume_options(name, mask)
        else:
            cohort = Cohort(X, y, mask, scale=scale, alignment=self.alignment, caller=name)
        # A refusal above leaves an earlier fit unchanged.
        self.scale_ = scale
        self.patcher_ = self._make_patcher()
        if reset:
            self.target_gains_ = np.empty(0)
        if cohort is None:
            self.spacing_ = self.orientation_ = self.training_scans_ = None
            self._fit_patches(*check_rows(self, X, y, reset=reset), None)
        else:
            # Column names belong to rows of an earlier fit.
            self.__dict__.pop("feature_names_in_", None)
            self.spacing_, self.orientation_ = cohort.spacing(), cohort.orientation()
            # Scans that are drawn again may have their axes in another order in each draw.
            if self.orientation_ is not None and not cohort.low.redraws:
                warn_of_mixed_axes(cohort, self.orientation_)
            self._set_rows_to_patches()
            self._describe_scans(cohort, reset=reset)
            self._fit_cohort(cohort)
        remember_params(self)
        return self

    def predict(self, X: Any, *, mask: Any = None, return_std: bool = False) -> Any:
        """Enhance volumes or rows.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Volumes in any unit of intensity, if the largest absolute intensity is between 1e-12
            and 1e12; or rows of input patches.
        mask : sequence of volumes, default=None
            Foreground of each volume, which is where the mask is positive. Patches that are mostly
            background are interpolated. By default the foreground is where a volume is at or above
            its mean. For volumes only.
        return_std : bool, default=False
            Whether to return a standard deviation as well. For volumes only.

        Returns
        -------
        prediction : ndarray
            Rows for rows, and a 4-D array for a 4-D array. Otherwise a 1-D object array of 3-D
            arrays, or of images if ``X`` holds images or paths. Volumes are float32, in the units
            of ``X``.
        std : same kind as the prediction
            Standard deviation of each voxel, in the unit of the prediction; only with
            ``return_std``. It combines the noise of the scan with what the method knows about its
            own uncertainty, such as the differences between overlapping patches. It shows where
            errors are likely. It is not calibrated: :class:`sklearn_iqt.compose.ConformalIQT`
            makes intervals of it.

        Raises
        ------
        ValueError
            If a volume is not finite, or ``return_std`` is True although ``X`` holds rows.
        GeometryMismatchError
            If the axes of an image are in another order than in the training images (whether an
            axis runs from left to right or from right to left is ignored), or its voxels are less
            than half, or more than twice, as long, or as small as in an image that is enhanced
            already. :class:`sklearn_iqt.compose.AnyGridIQT` enhances scans of other grids.
        FloatingPointError
            If the prediction is not finite.
        """
        check_is_fitted(self)
        name = type(self).__name__
        if is_rows(X):
            refuse_volume_options(name, mask, return_std)
            X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
            rows = self._predict_patches(X)
            if self.target_gain_ != 1:
                rows = rows * rows.dtype.type(self.target_gain_)
            refuse_nonfinite(rows, name)
            return rows.ravel() if self._flat_target else rows
        if self.row_mean_ is not None:
            raise ValueError(
                f"{name} was fitted on rows that are not patches of its patcher, so it cannot "
                "enhance volumes. Fit it on volumes."
            )
        gain = np.float32(self.target_gain_)

        def predict(pair: Pair, report: Callable[[float], Any]) -> tuple[NDArray[np.float32], ...]:
            outputs = self._predict_volume(pair.low, pair.mask, return_std, report)
            if return_std:
                mean, std = outputs
                noise = np.float32(self._noise(pair.low, pair.mask))
                outputs = mean, np.hypot(std, noise, out=std)
            if gain != 1:
                for output in outputs:
                    output *= gain
            return outputs

        return predict_cohort(
            Cohort(X, mask=mask, caller=name),
            predict,
            scale=self.scale_,
            alignment=self.alignment,
            trained_on=self._trained_on(),
            keep_zeros=self.keep_zeros,
            progress=self._progress,
        )

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, mask: Any = None) -> float:
        """Return the coefficient of determination, over rows or as a mean over volumes.

        Parameters
        ----------
        X : volumes or rows
            Low-quality volumes, or rows of input patches.
        y : volumes or rows
            True high-quality volumes, or rows of output patches.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row or volume.
        mask : sequence of volumes, default=None
            Masks for :meth:`predict`. All voxels are scored. For volumes only.

        Returns
        -------
        float
            R² of the voxels. The best score is 1.
        """
        if is_rows(X):
            refuse_volume_options(type(self).__name__, mask)
            return super().score(X, y, sample_weight)
        return r2_of_volumes(
            self.predict(X, mask=mask), y, sample_weight, caller=type(self).__name__
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
