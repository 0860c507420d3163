"""The baseline with which every comparison starts."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from sklearn_iqt.base import BaseIQTRegressor
from sklearn_iqt.io import as_volumes
from sklearn_iqt.patches import check_pairs

__all__ = ["InterpolationIQT"]


class InterpolationIQT(BaseIQTRegressor):
    """Interpolate volumes onto the high-resolution grid by splines.

    Nothing is learned; ``fit`` only checks that the pairs fit. Interpolation goes through the
    position of the voxels, so that volumes are not shifted whatever the ``alignment``.

    Parameters
    ----------
    order : int, in [0, 5], default=3
        Spline order: 0 nearest, 1 linear, 3 cubic.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the grids lie on each other, see :func:`sklearn_iqt.preprocessing.upsample`.
    patcher : PatchTransformer, default=None
        Says which patches the rows are, if rows are interpolated; volumes do without.
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
    >>> low, high = np.random.rand(2, 8, 8, 4), np.random.rand(2, 8, 8, 16)
    >>> InterpolationIQT().fit(low, high).predict(low).shape
    (2, 8, 8, 16)
    """

    _why_no_spread = "interpolation averages no patches, so there is no spread to report"

    _parameter_constraints: dict = {
        **BaseIQTRegressor._parameter_constraints,
        "order": [Interval(Integral, 0, 5, closed="both")],
    }

    def __init__(
        self,
        order: int = 3,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        patcher: Any = None,
        verbose: int = 0,
    ) -> None:
        self.order = order
        self.scale = scale
        self.alignment = alignment
        self.patcher = patcher
        self.verbose = verbose

    def _fit_volumes(self, X: Any, y: Any, mask: Any) -> InterpolationIQT:
        name = type(self).__name__
        low, high = as_volumes(X, caller=name), as_volumes(y, name="y", caller=name)
        masks = None if mask is None else as_volumes(mask, name="mask", caller=name)
        check_pairs(low, high, masks, caller=name)
        for n in self._progress(range(len(low)), "checking pairs"):
            self._read_pair(low, high, masks, n)
        self._set_row_shapes()
        return self

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        pass

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        return self._baseline_patches(X)

    def _predict_volume(
        self, volume: np.ndarray, mask: np.ndarray | None, return_std: bool, tell: Any
    ) -> tuple[np.ndarray, ...]:
        return (self._interpolate(volume.astype(np.float32)),)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
