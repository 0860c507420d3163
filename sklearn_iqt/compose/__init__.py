"""Baselines that add no detail, and use of any scikit-learn regressor on patches."""

from sklearn_iqt.compose._contrast import IntensityCurveIQT, TissueMatchingIQT
from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.compose._patchwise import PatchwiseRegressor

__all__ = ["IntensityCurveIQT", "InterpolationIQT", "PatchwiseRegressor", "TissueMatchingIQT"]
