"""Use of any scikit-learn regressor on volumes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_iqt.base import BasePatchRegressor
from sklearn_iqt.patches import PatchTransformer

__all__ = ["PatchwiseRegressor"]

# Regressors that average the predictions of their members.
ENSEMBLES = (BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor, VotingRegressor)


class PatchwiseRegressor(BasePatchRegressor):
    """Predict high patches from low patches with any multi-output regressor.

    With a forest of regression trees, this is image quality transfer as first proposed [1]_. With
    ridge regression, it is the linear version. The standard deviation of ``predict`` includes the
    differences between overlapping patches. It also includes the differences between the members
    of a forest or another ensemble that averages, or the ``return_std`` of a Bayesian regressor.

    Parameters
    ----------
    estimator : regressor, default=None
        Regressor that predicts rows of high patches from rows of low patches, with several outputs.
        By default ridge regression.
    patcher : PatchTransformer, default=None
        Transformer that cuts the low volumes. By default its patches have (5, 5, 3) voxels and are
        (2, 2, 1) voxels apart.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
    target : {"residual", "high"}, default="residual"
        Target of the regressor: the difference between the high patch and the interpolated low
        patch, or the high patch itself. Trees cannot extrapolate, so the difference is better for
        them, because it depends less on brightness.
    keep_zeros : bool, default=True
        Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
        scan is.
    target_unit : {"own", "low"}, default="own"
        Unit of the high volumes in training. With ``"own"``, each is divided by its gain relative
        to its low volume. A gain that differs between subjects is then not learned as if it were
        contrast, and predictions are multiplied by the median gain. With ``"low"``, high volumes
        are in the unit of their low volumes, and gains are learned.
    max_patches : int or None, default=50_000
        Largest number of pairs of patches to learn from, divided evenly among the volumes. It is
        half the default of :class:`CoupledDictionaryIQT`, because a forest takes long for each
        pair.
    random_state : int, RandomState instance or None, default=None
        Determines the patches that are drawn. The regressor has a ``random_state`` as well.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    patcher_ : PatchTransformer
        The fitted patcher.

    References
    ----------
    .. [1] D. C. Alexander et al., "Image quality transfer via random forest regression:
       applications in diffusion MRI", MICCAI 2014.

    Examples
    --------
    Image quality transfer by random forests:

    >>> import numpy as np
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> from sklearn_iqt import PatchwiseRegressor
    >>> high = np.random.default_rng(0).random((2, 16, 16, 16))
    >>> low = high.reshape(2, 16, 16, 4, 4).mean(axis=-1)
    >>> forest = ExtraTreesRegressor(n_estimators=8, min_samples_leaf=5, random_state=0)
    >>> model = PatchwiseRegressor(forest, max_patches=200, random_state=0).fit(low, high)
    >>> model.predict(low).shape
    (2, 16, 16, 16)
    """

    _parameter_constraints: dict = {
        **BasePatchRegressor._parameter_constraints,
        "estimator": [HasMethods(["fit", "predict"]), None],
        "target": [StrOptions({"residual", "high"})],
        "max_patches": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        patcher: PatchTransformer | None = None,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        target: str = "residual",
        keep_zeros: bool = True,
        target_unit: str = "own",
        max_patches: int | None = 50_000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.patcher = patcher
        self.scale = scale
        self.alignment = alignment
        self.target = target
        self.keep_zeros = keep_zeros
        self.target_unit = target_unit
        self.max_patches = max_patches
        self.random_state = random_state
        self.verbose = verbose

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer(patch_size=(5, 5, 3))

    def _default_estimator(self) -> Ridge:
        return Ridge()

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        self.estimator_ = clone(
            self._default_estimator() if self.estimator is None else self.estimator
        )
        target = y - self._baseline_patches(X) if self.target == "residual" else y
        try:
            self.estimator_.fit(X, target.ravel() if target.shape[1] == 1 else target)
        except MemoryError as error:
            raise MemoryError(
                f"PatchwiseRegressor: {type(self.estimator_).__name__} needs more memory than "
                f"there is for rows of {X.shape[1]} inputs and {target.shape[1]} outputs. Use a "
                f"smaller patch size or fewer patches (max_patches). {error}"
            ) from error

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        rows = self.estimator_.predict(X).reshape(len(X), self.n_outputs_)
        return rows + self._baseline_patches(X) if self.target == "residual" else rows

    def _predict_patches_with_std(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        std = _std_of_rows(self.estimator_, X)
        rows = self._predict_patches(X)
        return rows, None if std is None else std.reshape(rows.shape)


def _std_of_rows(regressor: Any, X: np.ndarray) -> np.ndarray | None:
    """Return the standard deviation of a prediction of rows, None if the regressor has none.

    The members of an ensemble have a spread, and Bayesian regressors have the option
    ``return_std``.
    """
    if isinstance(regressor, Pipeline):
        return _std_of_rows(regressor[-1], regressor[:-1].transform(X))
    if isinstance(regressor, ENSEMBLES):
        columns = getattr(regressor, "estimators_features_", None)
        members = regressor.estimators_
        sums, squares = 0.0, 0.0
        for n, member in enumerate(members):
            rows = member.predict(X if columns is None else X[:, columns[n]])
            sums, squares = sums + rows, squares + rows**2
        mean = sums / len(members)
        return np.sqrt(np.maximum(squares / len(members) - mean**2, 0))
    if "return_std" in inspect.signature(regressor.predict).parameters:
        return regressor.predict(X, return_std=True)[1]
    return None
