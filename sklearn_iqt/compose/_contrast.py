"""Baselines that change the contrast of an interpolated scan and add no detail."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.isotonic import IsotonicRegression
from sklearn.utils import Tags
from sklearn.utils._param_validation import HasMethods, Interval

from sklearn_iqt.base import BasePatchRegressor, VolumeTags
from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchTransformer
from sklearn_iqt.preprocessing import TissueScaler

__all__ = ["ContrastMatchingIQT", "IntensityCurveIQT"]


class IntensityCurveIQT(BasePatchRegressor):
    """Interpolate volumes, then map their intensities by one curve.

    The curve gives the mean high intensity for each interpolated intensity, and it is increasing.
    It does not depend on the neighbours of a voxel, so that it changes the contrast and adds no
    detail. A method that is better than this baseline does more than change the contrast.

    Parameters
    ----------
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
    keep_zeros : bool, default=True
        Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
        scan is.
    target_unit : {"own", "low"}, default="own"
        Unit of the high volumes in training. With ``"own"``, each is divided by its gain relative
        to its low volume. A gain that differs between subjects is then not learned as if it were
        contrast, and predictions are multiplied by the median gain. With ``"low"``, high volumes
        are in the unit of their low volumes, and gains are learned.
    max_voxels : int or None, default=500_000
        Largest number of voxels to learn the curve from, divided evenly among the volumes.
    random_state : int, RandomState instance or None, default=None
        Determines the voxels that are drawn.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    intensities_, targets_ : ndarray of shape (n_knots,)
        Interpolated intensities, and the high intensities that replace them, in units of the
        intensity scale of the low volume. The curve is linear between them and constant beyond.

    See Also
    --------
    InterpolationIQT : Interpolation alone.
    ContrastMatchingIQT : Match the contrast of each scan on its own.

    Notes
    -----
    Input and output rows hold patches of one voxel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import IntensityCurveIQT
    >>> low = np.random.default_rng(0).random((2, 8, 8, 4)) + 1
    >>> high = np.sqrt(low.repeat(4, axis=-1))
    >>> IntensityCurveIQT(random_state=0).fit(low, high).predict(low).shape
    (2, 8, 8, 16)
    """

    _volume_tags = VolumeTags(interpolates_first=True)
    # Patches have one voxel, so there is no patcher for the user to set.
    patcher = None

    _parameter_constraints: dict = {
        **BasePatchRegressor._parameter_constraints,
        "max_voxels": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        keep_zeros: bool = True,
        target_unit: str = "own",
        max_voxels: int | None = 500_000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.scale = scale
        self.alignment = alignment
        self.keep_zeros = keep_zeros
        self.target_unit = target_unit
        self.max_voxels = max_voxels
        self.random_state = random_state
        self.verbose = verbose

    @property
    def max_patches(self) -> int | None:  # type: ignore[override]
        """Number of voxels, because a patch has one voxel."""
        return self.max_voxels

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer(1, 1)

    def _fit_patches(self, X: NDArray, y: NDArray, groups: NDArray | None) -> None:
        curve = IsotonicRegression().fit(self._baseline_patches(X).ravel(), y.ravel())
        self.intensities_, self.targets_ = curve.X_thresholds_, curve.y_thresholds_

    def _predict_patches(self, X: NDArray) -> NDArray:
        return self._apply_curve(self._baseline_patches(X)).astype(X.dtype, copy=False)

    def _apply_curve(self, intensities: NDArray) -> NDArray:
        return np.interp(intensities, self.intensities_, self.targets_)

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Any,
    ) -> tuple[NDArray[np.float32], ...]:
        (mean,) = super()._predict_volume(volume, mask, False, report_progress)
        if not return_std:
            return (mean,)
        # The uncertainty of the interpolation, as the curve maps it.
        source = self._patch_source()
        _, baseline, unit = source.scaled(volume, mask)
        std = source.interpolation_std(volume / unit)
        width = self._apply_curve(baseline + std) - self._apply_curve(baseline - std)
        return mean, (0.5 * unit * width).astype(np.float32)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class ContrastMatchingIQT(InterpolationIQT):
    """Match the contrast of a scan to the high training volumes, then interpolate it.

    A scaler is fitted to the high volumes, and changes the intensities of each scan. By default it
    gives fluid, grey and white matter the ratios that they have in the high volumes. With
    ``NyulScaler(keep_units=True)`` it matches the histogram. Low volumes are not used in training,
    so that the method does not depend on how they were degraded. The units of the high volumes
    have no effect, and results are in the unit of the scan.

    Parameters
    ----------
    scaler : scaler, default=None
        Scaler of the intensities, which keeps the unit of a scan. By default
        ``TissueScaler()``.
    order : int, in [0, 5], default=3
        Spline order: 0 nearest, 1 linear, 3 cubic.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
    keep_zeros : bool, default=True
        Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
        scan is.
    patch_size : int or tuple of 3 ints, default=7
        Shape of the patches, in low voxels, if rows of patches are interpolated. It has no effect
        on volumes.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    scaler_ : scaler
        The scaler that was fitted to the high volumes. None after a fit on rows, which are only
        interpolated, because they have no tissues.

    Raises
    ------
    ValueError
        If the scaler changes the unit of a scan, which ``fit`` checks.

    See Also
    --------
    IntensityCurveIQT : Learn one curve for the contrast of all scans.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import ContrastMatchingIQT
    >>> rng = np.random.default_rng(0)
    >>> radius = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0)
    >>> labels = np.select([radius < 7, radius < 9.5, radius < 11], [3, 2, 1])
    >>> low, high = (
    ...     np.array([0, 40, 100, white])[labels] + rng.normal(size=labels.shape)
    ...     for white in (120, 160)
    ... )
    >>> model = ContrastMatchingIQT(scale=1).fit([low], [high])
    >>> float(model.predict([low])[0][labels == 3].mean().round())
    160.0
    """

    _volume_tags = VolumeTags()

    _parameter_constraints: dict = {
        **InterpolationIQT._parameter_constraints,
        "scaler": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(
        self,
        scaler: Any = None,
        *,
        order: int = 3,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        keep_zeros: bool = True,
        patch_size: int | Sequence[int] = 7,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            order,
            scale=scale,
            alignment=alignment,
            keep_zeros=keep_zeros,
            patch_size=patch_size,
            verbose=verbose,
        )
        self.scaler = scaler

    def _default_scaler(self) -> TissueScaler:
        return TissueScaler()

    def _fit_cohort(self, cohort: Cohort) -> None:
        super()._fit_cohort(cohort)
        scaler = self._default_scaler() if self.scaler is None else clone(self.scaler)
        masks = None
        if cohort.masks is not None:
            # Low voxels at the border of a mask hold some background, which is zero after brain
            # extraction.
            masks = [cohort.on_high(np.asarray(pair.mask)) & (pair.high != 0) for pair in cohort]
        self.scaler_ = scaler.fit(cohort.high, mask=masks)
        volume = cohort.read(0).high
        same_mask = None if masks is None else [masks[0], masks[0]]
        once, twice = self.scaler_.transform([volume, 2.0 * volume], mask=same_mask)
        if not np.allclose(twice, 2 * once, rtol=0.01, atol=0.01 * np.abs(once).max()):
            raise ValueError(
                f"{type(self).__name__}: {type(scaler).__name__} changes the unit of a scan, "
                "because a scan that is twice as bright does not become twice as bright. Use "
                "TissueScaler() or NyulScaler(keep_units=True)."
            )

    def _fit_patches(self, X: NDArray, y: NDArray, groups: NDArray | None) -> None:
        self.scaler_ = None

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Any,
    ) -> tuple[NDArray[np.float32], ...]:
        if self.scaler_ is None:
            raise ValueError(
                f"{type(self).__name__} was fitted on rows, which have no contrast to match, so it "
                "cannot enhance volumes. Fit it on volumes."
            )
        masks = None if mask is None else [mask]
        (matched,) = self.scaler_.transform([volume], mask=masks)
        return super()._predict_volume(matched, mask, return_std, report_progress)
