"""Base class of estimators that predict patch by patch and average the overlaps."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from sklearn_iqt._version import __version__
from sklearn_iqt.base._dispatch import BaseIQTRegressor
from sklearn_iqt.base._volumes import check_foreground
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchTransformer, predict_volume

__all__ = ["BasePatchRegressor"]


class BasePatchRegressor(BaseIQTRegressor):
    """Base class of estimators that enhance volumes by means of rows of patches.

    Given volumes, ``fit`` scales each pair by the intensities of its low volume, draws paired
    patches and learns from their rows. ``predict`` cuts all patches, predicts their rows and
    averages the overlaps.

    Subclasses take ``patcher``, ``scale``, ``alignment``, ``max_patches``, ``random_state`` and
    ``verbose`` as parameters. They implement ``_fit_patches(X, y, groups)`` and
    ``_predict_patches(X)``, which handle only rows, and perhaps ``_predict_patches_with_std(X)``.
    """

    _parameter_constraints: dict = {
        **BaseIQTRegressor._parameter_constraints,
        "patcher": [PatchTransformer, None],
    }

    patcher: Any
    max_patches: int | None
    random_state: Any
    # Cache of the rows that are drawn from volumes. It is a parameter of some estimators.
    memory: Any = None

    def set_params(self, **params: Any) -> Any:
        """Set parameters, including parameters of the default patcher if ``patcher`` is None.

        Parameters
        ----------
        **params : dict
            Parameters by name, for instance ``patcher__patch_size``.

        Returns
        -------
        object
            The estimator.
        """
        nested = any(name.startswith("patcher__") for name in params)
        if nested and params.get("patcher", self.patcher) is None:
            params["patcher"] = self._default_patcher()
        return super().set_params(**params)

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer()

    def _make_patcher(self) -> PatchTransformer:
        patcher = self._default_patcher() if self.patcher is None else clone(self.patcher)
        return patcher.fit_geometry(self._patch_scale())

    def _fit_cohort(self, cohort: Cohort) -> None:
        if self.memory is None:
            *rows, gains = self._draw_rows(cohort)
        else:
            cached = self._cache().cache(_call, ignore=["function"])
            *rows, gains = cached(self._cache_key(cohort), lambda: self._draw_rows(cohort))
        self._add_target_gains(cohort, gains)
        self._fit_patches(*rows)

    def _cache(self) -> Any:
        """Return the cache, in any form that the user passed."""
        path = isinstance(self.memory, PathLike)
        return check_memory(fspath(self.memory) if path else self.memory)

    def _draw_rows(self, cohort: Cohort) -> tuple[NDArray, NDArray, NDArray, list[float]]:
        """Return paired rows, the position of the pair that each comes from, and the gains."""
        source = self._patch_source()
        random_state = check_random_state(self.random_state)
        n_draws = cohort.low.n_draws
        pairs = source.training_pairs(cohort, self.max_patches, random_state, n_draws)
        bar = self._progress(pairs, "cutting patches", total=len(cohort) * n_draws)
        low_rows, high_rows, groups, gains = source.training_rows(bar, n_draws)
        check_foreground(len(groups), self.patcher_.background, type(self).__name__)
        return low_rows, high_rows, groups, gains

    def _cache_key(self, cohort: Cohort) -> list:
        """Return all values that determine which rows are drawn."""
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                f"{type(self).__name__}: with memory, random_state must be an integer, got "
                f"{self.random_state!r}. Otherwise the cache would return the patches of an "
                "earlier draw."
            )
        names = ("scale", "alignment", "order", "max_patches", "random_state", "target_unit")
        key = {name: getattr(self, name) for name in names}
        kinds = [str(type(part)) for part in (self, self.patcher_)]
        key |= {"version": __version__, "kinds": kinds, "patcher": self.patcher_.get_params()}
        return [key, cohort.fingerprint()]

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Callable[[float], Any],
    ) -> tuple[NDArray[np.float32], ...]:
        return predict_volume(
            volume,
            mask,
            self._patch_source(),
            self._predict_patches_with_std if return_std else self._predict_patches_alone,
            return_std=return_std,
            report_progress=report_progress,
        )

    def _predict_patches_alone(self, X: NDArray) -> tuple[NDArray, None]:
        return self._predict_patches(X), None

    def _predict_patches_with_std(self, X: NDArray) -> tuple[NDArray, NDArray | None]:
        """Return the rows of ``_predict_patches`` and their standard deviations, None for zero.

        A subclass whose method knows how uncertain the prediction of one patch is implements it.
        """
        return self._predict_patches_alone(X)


def _call(key: Any, function: Callable[[], Any]) -> Any:
    """Call a function. A cache stores its result under the key."""
    return function()
