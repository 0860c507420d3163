"""The baseline that tells contrast from detail: interpolation and one intensity curve for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from sklearn_iqt import PatchTransformer
from sklearn_iqt.base import BasePatchRegressor, VolumeTags

__all__ = ["IntensityCurveIQT"]


class IntensityCurveIQT(BasePatchRegressor):
    """Interpolate, and replace each intensity by the mean high intensity that goes with it.

    It knows nothing of neighbours, so what another method gains over it is not contrast alone.
    """

    _volume_tags = VolumeTags(interpolates_first=True)

    def __init__(
        self,
        *,
        patcher: PatchTransformer | None = None,
        scale: Any = (1, 1, 4),
        alignment: str = "center",
        max_patches: int | None = 500_000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.patcher = patcher
        self.scale = scale
        self.alignment = alignment
        self.max_patches = max_patches
        self.random_state = random_state
        self.verbose = verbose

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer(1, 1)

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        self.curve_ = IsotonicRegression(out_of_bounds="clip").fit(X.ravel(), y.ravel())

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        return self.curve_.predict(X.ravel()).reshape(X.shape).astype(X.dtype)
