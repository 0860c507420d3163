"""Base classes of the estimators."""

from sklearn_iqt.base._by_patches import BasePatchRegressor
from sklearn_iqt.base._dispatch import BaseIQTRegressor
from sklearn_iqt.base._report import ReportMixin
from sklearn_iqt.base._rows import RowGeometry
from sklearn_iqt.base._tags import VolumeTags
from sklearn_iqt.base._training_grid import TrainingGrid
from sklearn_iqt.base._unwrap import enhancer_of, inner_model, steps_of
from sklearn_iqt.base._volumes import check_foreground, r2_of_volumes

__all__ = [
    "BaseIQTRegressor",
    "BasePatchRegressor",
    "ReportMixin",
    "RowGeometry",
    "TrainingGrid",
    "VolumeTags",
    "check_foreground",
    "enhancer_of",
    "inner_model",
    "r2_of_volumes",
    "steps_of",
]
