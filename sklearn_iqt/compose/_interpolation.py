"""Interpolation, the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from sklearn_iqt.base import BaseIQTRegressor, VolumeTags
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchTransformer

__all__ = ["InterpolationIQT"]


class InterpolationIQT(BaseIQTRegressor):
    """Interpolate volumes onto the high-resolution grid by splines.

    Nothing is learned, so that ``fit`` accepts low volumes alone. If it gets pairs, it checks them.
    The interpolation respects the positions of the voxels, so that volumes are not shifted with
    either ``alignment``. The standard deviation of ``predict`` combines the noise of the scan and
    its local curvature along the axes that are enlarged.

    Parameters
    ----------
    order : int, in [0, 5], default=3
        Spline order: 0 nearest, 1 linear, 3 cubic.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
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
    scale_ : tuple of 3 ints
        The scale, one number for each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import InterpolationIQT
    >>> low = np.random.default_rng(0).random((2, 8, 8, 4))
    >>> InterpolationIQT().fit(low).predict(low).shape
    (2, 8, 8, 16)
    """

    _volume_tags = VolumeTags(needs_target=False, learns=False)

    _parameter_constraints: dict = {
        **BaseIQTRegressor._parameter_constraints,
        "patch_size": [Interval(Integral, 1, None, closed="left"), tuple, list, np.ndarray],
        "order": [Interval(Integral, 0, 5, closed="both")],
    }

    def __init__(
        self,
        order: int = 3,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        keep_zeros: bool = True,
        patch_size: int | Sequence[int] = 7,
        verbose: int = 0,
    ) -> None:
        self.order = order
        self.scale = scale
        self.alignment = alignment
        self.keep_zeros = keep_zeros
        self.patch_size = patch_size
        self.verbose = verbose

    def _make_patcher(self) -> PatchTransformer:
        return PatchTransformer(self.patch_size).fit_geometry(self._patch_scale())

    def _fit_cohort(self, cohort: Cohort) -> None:
        for _ in self._progress(cohort, "checking pairs", total=len(cohort)):
            pass

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        pass

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        return self._baseline_patches(X)

    def _predict_volume(
        self,
        volume: np.ndarray,
        mask: np.ndarray | None,
        return_std: bool,
        report_progress: Any,
    ) -> tuple[np.ndarray, ...]:
        source, volume = self._patch_source(), volume.astype(np.float32)
        mean = source.interpolate(volume)
        return (mean, source.interpolation_std(volume)) if return_std else (mean,)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
