"""The methods of this package, listed once for the command line, model files and reports."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """An estimator that enhances volumes.

    Parameters
    ----------
    class_name : str
        Name of the class.
    module : str
        Public module that exports the class.
    command : str or None
        Name of the method on the command line, or None if it has none.
    description : str
        What the method does, in a few words.
    extra : str, default=None
        Optional dependencies that the class needs, or None if it needs none.
    params : callable, default=dict
        Returns the parameters of the command that differ from the defaults of the class.
    for_gpu : bool, default=False
        Whether the default size of the method is made for a GPU.
    """

    class_name: str
    module: str
    command: str | None
    description: str
    extra: str | None = None
    params: Callable[[], dict[str, Any]] = dict
    for_gpu: bool = False

    def load(self) -> type:
        """Import the module and return the class."""
        return getattr(importlib.import_module(self.module), self.class_name)


def _forest() -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesRegressor

    return {"estimator": ExtraTreesRegressor(30, min_samples_leaf=10)}


def _histogram() -> dict[str, Any]:
    from sklearn_iqt.preprocessing import NyulScaler

    return {"scaler": NyulScaler(keep_units=True)}


METHODS = (
    Method(
        "CoupledDictionaryIQT",
        "sklearn_iqt.dictionary",
        "srep",
        "coupled dictionaries with sparse codes",
    ),
    Method(
        "PatchwiseRegressor",
        "sklearn_iqt.compose",
        "ridge",
        "ridge regression of patches",
    ),
    Method(
        "PatchwiseRegressor",
        "sklearn_iqt.compose",
        "forest",
        "forest of 30 extremely randomized trees on patches",
        params=_forest,
    ),
    Method(
        "DDLRegressor",
        "sklearn_iqt.deep",
        "ddl",
        "deep dictionary learning",
        extra="deep",
        for_gpu=True,
    ),
    Method(
        "AnisoUNetRegressor",
        "sklearn_iqt.deep",
        "unet",
        "anisotropic U-Net",
        extra="deep",
        for_gpu=True,
    ),
    Method(
        "InterpolationIQT",
        "sklearn_iqt.compose",
        "interpolation",
        "cubic splines, a baseline that learns nothing",
    ),
    Method(
        "IntensityCurveIQT",
        "sklearn_iqt.compose",
        "curve",
        "cubic splines and one intensity curve, a baseline for contrast",
    ),
    Method(
        "SelfSupervisedIQT",
        "sklearn_iqt.compose",
        "self-supervised",
        "ridge regression of the in-plane patches of each scan, without high scans",
    ),
    Method(
        "ContrastMatchingIQT",
        "sklearn_iqt.compose",
        "tissue-matching",
        "tissue contrast of the high volumes and cubic splines, a baseline for contrast",
    ),
    Method(
        "ContrastMatchingIQT",
        "sklearn_iqt.compose",
        "histogram-matching",
        "histogram of the high volumes and cubic splines, a baseline for contrast",
        params=_histogram,
    ),
)
