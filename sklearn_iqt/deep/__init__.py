"""The deep estimators. The only package that imports torch and skorch."""

from sklearn_iqt._extras import needs_extra

with needs_extra("sklearn_iqt.deep", "deep", "torch", "skorch"):
    import skorch  # noqa: F401
    import torch  # noqa: F401

from sklearn_iqt.deep._aniso_unet import AnisoUNetRegressor
from sklearn_iqt.deep._base import BaseNetRegressor
from sklearn_iqt.deep._ddl import DDLRegressor

__all__ = ["AnisoUNetRegressor", "BaseNetRegressor", "DDLRegressor"]
