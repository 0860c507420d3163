"""The deep estimators. The only package that imports torch and skorch."""

from sklearn_iqt.deep._aniso_unet import AnisoUNetRegressor
from sklearn_iqt.deep._ddl import DDLRegressor

__all__ = ["AnisoUNetRegressor", "DDLRegressor"]
