"""Rows that an estimator learns from, and the patches that they hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from sklearn_iqt.exceptions import PatchGeometryWarning

__all__ = ["RowGeometry", "check_rows", "refuse_volume_options"]


@dataclass(frozen=True)
class RowGeometry:
    """The patches that rows hold.

    Parameters
    ----------
    patch_size : tuple of 3 ints
        Shape of the patch in an input row, in voxels.
    scale : tuple of 3 ints
        Output voxels for each input voxel, along each axis.
    n_outputs : int
        Length of an output row, at most the number of voxels of an output patch.
    """

    patch_size: tuple[int, int, int]
    scale: tuple[int, int, int]
    n_outputs: int

    @classmethod
    def of_features(cls, n_features: int, n_outputs: int) -> RowGeometry:
        """Treat rows of arbitrary features as patches that are one voxel wide.

        The scale along the last axis is just large enough for the outputs.

        Parameters
        ----------
        n_features, n_outputs : int
            Lengths of an input row and of an output row.

        Returns
        -------
        RowGeometry
            Patches of (1, 1, n_features) voxels.
        """
        return cls((1, 1, n_features), (1, 1, -(-n_outputs // n_features)), n_outputs)

    def pad_outputs(self, rows: NDArray) -> NDArray:
        """Pad output rows with zeros to the number of voxels of an output patch.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_outputs)
            Output rows.

        Returns
        -------
        ndarray of shape (n_rows, n_voxels)
            Rows with a value for each voxel of an output patch.
        """
        n_voxels = prod(self.patch_size) * prod(self.scale)
        return np.pad(rows, ((0, 0), (0, n_voxels - self.n_outputs)))

    def trim_outputs(self, patches: NDArray) -> NDArray:
        """Return output patches as rows, without the padding.

        Parameters
        ----------
        patches : ndarray of shape (n_rows, ...)
            Output patches.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
            Output rows.
        """
        return patches.reshape(len(patches), -1)[:, : self.n_outputs]


def check_rows(estimator: Any, X: Any, y: Any, *, reset: bool) -> tuple[NDArray, NDArray]:
    """Check paired rows, and decide whether they are patches of the patcher.

    Parameters
    ----------
    estimator : BaseIQTRegressor
        Estimator to fit. Its ``n_features_in_``, ``n_outputs_`` and ``row_mean_`` are set.
    X : array-like of shape (n_rows, n_features)
        Rows of inputs.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Rows of outputs.
    reset : bool
        Whether the number and names of the features may differ from those of an earlier fit.

    Returns
    -------
    X, y : ndarray, 2-D, of one floating dtype
        The checked rows.

    Raises
    ------
    ValueError
        If the rows are not paired, finite rows of numbers.
    """
    X, y = validate_data(
        estimator,
        X,
        y,
        reset=reset,
        multi_output=True,
        y_numeric=True,
        dtype=(np.float64, np.float32),
    )
    estimator._flat_target = y.ndim == 1
    y = y.astype(X.dtype, copy=False).reshape(len(y), -1)
    estimator.n_features_in_, estimator.n_outputs_ = X.shape[1], y.shape[1]
    estimator.row_mean_ = None
    grid = estimator.patcher_.grid(estimator.patcher_.patch_size_)
    if (X.shape[1], y.shape[1]) != (grid.n_voxels, grid.high.n_voxels):
        estimator.row_mean_ = y.mean(axis=0)
        warnings.warn(
            f"{type(estimator).__name__}: rows of {X.shape[1]} inputs and {y.shape[1]} outputs are "
            f"not patches of {grid.patch_size} and {grid.high.patch_size} voxels. They are treated "
            "as rows of features and learned relative to the mean of y. If they are patches, set "
            "the patch size with which they were cut.",
            PatchGeometryWarning,
            stacklevel=3,
        )
    return X, y


def refuse_volume_options(caller: str, mask: Any, return_std: bool = False) -> None:
    """Refuse options that are for volumes only.

    Parameters
    ----------
    caller : str
        Class that the message names.
    mask : object
        Argument of ``fit`` or ``predict``.
    return_std : bool, default=False
        Argument of ``predict``.

    Raises
    ------
    ValueError
        If ``mask`` is not None, or ``return_std`` is True.
    """
    if mask is not None or return_std:
        raise ValueError(
            f"{caller}: mask and return_std are for volumes, but X holds rows. Leave out rows of "
            "background instead of passing a mask."
        )
