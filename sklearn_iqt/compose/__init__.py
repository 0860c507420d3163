"""Baselines without a model of detail, and any regressor on patches."""

from sklearn_iqt.compose._contrast import IntensityCurveIQT, TissueMatchingIQT
from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.compose._patchwise import PatchwiseRegressor

__all__ = ["IntensityCurveIQT", "InterpolationIQT", "PatchwiseRegressor", "TissueMatchingIQT"]
