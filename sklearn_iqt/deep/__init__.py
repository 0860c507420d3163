"""The deep estimators. The only package that imports torch and skorch."""

try:
    import skorch  # noqa: F401
    import torch  # noqa: F401
except ModuleNotFoundError as missing:
    # What a broken installation lacks is another matter, which its own error tells.
    if missing.name not in ("torch", "skorch"):
        raise
    raise ImportError(
        "the nets need PyTorch and skorch; pip install 'sklearn-iqt[deep]' brings both"
    ) from missing

from sklearn_iqt.deep._aniso_unet import AnisoUNetRegressor
from sklearn_iqt.deep._ddl import DDLRegressor

__all__ = ["AnisoUNetRegressor", "DDLRegressor"]
