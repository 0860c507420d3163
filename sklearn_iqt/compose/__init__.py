"""Estimators made from parts: the interpolation baseline, and any regressor on patches."""

from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.compose._patchwise import PatchwiseRegressor

__all__ = ["InterpolationIQT", "PatchwiseRegressor"]
