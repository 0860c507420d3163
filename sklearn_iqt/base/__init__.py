"""Base classes of the estimators."""

from sklearn_iqt.base._by_patches import BasePatchRegressor
from sklearn_iqt.base._dispatch import BaseIQTRegressor
from sklearn_iqt.base._rows import RowGeometry
from sklearn_iqt.base._tags import VolumeTags
from sklearn_iqt.base._volumes import check_foreground

__all__ = [
    "BaseIQTRegressor",
    "BasePatchRegressor",
    "RowGeometry",
    "VolumeTags",
    "check_foreground",
]
