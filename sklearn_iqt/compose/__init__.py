"""Baselines that add no detail, any scikit-learn regressor on patches, and scans of any grid."""

from sklearn_iqt.compose._any_grid import AnyGridIQT
from sklearn_iqt.compose._contrast import ContrastMatchingIQT, IntensityCurveIQT
from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.compose._patchwise import PatchwiseRegressor
from sklearn_iqt.compose._self_supervised import SelfSupervisedIQT

__all__ = [
    "AnyGridIQT",
    "ContrastMatchingIQT",
    "IntensityCurveIQT",
    "InterpolationIQT",
    "PatchwiseRegressor",
    "SelfSupervisedIQT",
]
