"""Use models on scans of any grid, and list the changes that this needs."""

from __future__ import annotations

import os
from typing import Any


def on_any_grid(model: Any, **params: Any) -> Any:
    """Return a model that takes scans of any grid, if the grid of its training is known."""
    from sklearn.frozen import FrozenEstimator

    from sklearn_iqt.base import enhancer_of
    from sklearn_iqt.compose import AnyGridIQT

    if not isinstance(model, AnyGridIQT):
        if enhancer_of(model, "sklearn-iqt")._trained_on() is None:
            if params:
                raise ValueError(
                    "the model was trained on arrays, so that its voxel size is not known, and its "
                    "results cannot be put on another grid or compared with the scan. Train it on "
                    "files"
                )
            return model
        model = AnyGridIQT(FrozenEstimator(model))
    return model.set_params(**params)


def as_scan(path: str | os.PathLike[str], *, name: str | None = None, nan: str = "refuse") -> Any:
    """Return a file as a collection of one volume, which messages call by its name or path."""
    from sklearn_iqt.io import VolumeCollection

    name = os.fspath(path) if name is None else name
    return VolumeCollection([path], name=name, caller="scan", single=True, nan=nan)


def plan_of(model: Any, scan: Any) -> Any:
    """Return the steps that bring a scan to the grid of the training, or None if it is not known.

    The header decides; no voxel is read.
    """
    from sklearn_iqt.compose import AnyGridIQT
    from sklearn_iqt.io import Cohort

    if not isinstance(model, AnyGridIQT):
        return None
    return model._plan(Cohort(scan, caller=type(model).__name__))[0]
