"""Baselines without detail, any regressor on patches, scans of any grid, and intervals."""

from sklearn_iqt.compose._any_grid import AnyGridIQT
from sklearn_iqt.compose._conformal import ConformalIQT
from sklearn_iqt.compose._contrast import ContrastMatchingIQT, IntensityCurveIQT
from sklearn_iqt.compose._interpolation import InterpolationIQT
from sklearn_iqt.compose._patchwise import PatchwiseRegressor
from sklearn_iqt.compose._self_supervised import SelfSupervisedIQT

__all__ = [
    "AnyGridIQT",
    "ConformalIQT",
    "ContrastMatchingIQT",
    "IntensityCurveIQT",
    "InterpolationIQT",
    "PatchwiseRegressor",
    "SelfSupervisedIQT",
]
