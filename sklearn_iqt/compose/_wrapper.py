"""Base class of estimators that wrap a model of volumes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import _is_fitted, check_is_fitted

from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt.base import ReportMixin, r2_of_volumes
from sklearn_iqt.base._routing import route_mask
from sklearn_iqt.base._rows import refuse_volume_options
from sklearn_iqt.io import is_rows

__all__ = ["ModelWrapper", "given"]


class ModelWrapper(ReportMixin, DocLinkMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Base class of estimators that wrap a model, which is fitted or frozen.

    Subclasses take ``estimator`` as a parameter and implement ``predict``.
    """

    # With metadata routing, one mask reaches all steps of a pipeline.
    __metadata_request__fit = {"mask": True}
    __metadata_request__predict = {"mask": True, "return_std": True}
    __metadata_request__score = {"mask": True}

    estimator: Any

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Fit the model on pairs, which must be on the grids that it needs.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low-quality volumes or rows, see the ``fit`` of the model. Only images and paths have a
            voxel size.
        y : same kind as X, default=None
            High-quality volumes or rows.
        mask : sequence of volumes, default=None
            Foreground of each low volume.

        Returns
        -------
        object
            The fitted estimator.
        """
        with route_mask(mask):
            self.estimator_ = clone(self.estimator).fit(X, y, **given(mask=mask))
        return self

    def predict(self, X: Any, *, mask: Any = None, return_std: bool = False) -> Any:
        """Enhance volumes or rows."""
        raise NotImplementedError(f"{type(self).__name__} must implement predict.")

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, mask: Any = None) -> float:
        """Return the coefficient of determination, over rows or as a mean over volumes.

        Parameters
        ----------
        X : volumes or rows
            Low-quality volumes or rows.
        y : volumes or rows
            True high-quality volumes on the grid of the results, or rows.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row or volume.
        mask : sequence of volumes, default=None
            Masks for :meth:`predict`. All voxels are scored. For volumes only.

        Returns
        -------
        float
            R² of the voxels. The best score is 1.
        """
        if is_rows(X):
            refuse_volume_options(type(self).__name__, mask)
            return super().score(X, y, sample_weight)
        return r2_of_volumes(
            self.predict(X, mask=mask), y, sample_weight, caller=type(self).__name__
        )

    @property
    def n_features_in_(self) -> int:
        """Length of an input row of the model."""
        return self._learned("n_features_in_")

    @property
    def feature_names_in_(self) -> NDArray:
        """Names of the columns of the rows that the model was fitted on."""
        return self._learned("feature_names_in_")

    def _learned(self, name: str) -> Any:
        if not _is_fitted(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self._fitted_estimator(), name)

    def _fitted_estimator(self) -> Any:
        """Return the fitted model; a frozen one does not have to be fitted again."""
        check_is_fitted(self)
        return vars(self).get("estimator_", self.estimator)

    def __sklearn_is_fitted__(self) -> bool:
        if "estimator_" in vars(self):
            return True
        return isinstance(self.estimator, FrozenEstimator) and _is_fitted(self.estimator)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags, tags.target_tags = inner.input_tags, inner.target_tags
        tags.regressor_tags = inner.regressor_tags
        tags.non_deterministic = inner.non_deterministic
        return tags


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None; not every model takes them."""
    return {name: value for name, value in options.items() if value is not None}
