"""Coupled dictionaries: features, dictionary learning, sparse coding and the estimator."""

from sklearn_iqt.dictionary._coding import sparse_encode
from sklearn_iqt.dictionary._coupled import CoupledDictionaryIQT
from sklearn_iqt.dictionary._features import feature_operator, fit_projection
from sklearn_iqt.dictionary._learning import ksvd

__all__ = [
    "CoupledDictionaryIQT",
    "feature_operator",
    "fit_projection",
    "ksvd",
    "sparse_encode",
]
