"""Distinguish rows from volumes, and take all containers in which users keep volumes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from sklearn_iqt.io._collection import VolumeCollection

__all__ = ["as_volumes", "is_rows", "read_volume"]

_ONE_VOLUME = (SpatialImage, str, os.PathLike)


def is_rows(X: Any) -> bool:
    """Return whether ``X`` is a table of rows, judged only by its number of dimensions.

    Parameters
    ----------
    X : object
        Argument of ``fit`` or ``predict``.

    Returns
    -------
    bool
        True unless ``X`` is one of the containers of volumes that :func:`as_volumes` accepts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import is_rows
    >>> is_rows(np.zeros((10, 27))), is_rows(np.zeros((2, 8, 8, 8)))
    (True, False)
    """
    X = _as_sequence(X)
    if isinstance(X, (VolumeCollection, Iterator, *_ONE_VOLUME)):
        return False
    if _is_table_of_volumes(X):
        return False
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype.kind in "OU"):
        if not len(X):
            return True
        first = X[0]
        return not isinstance(first, _ONE_VOLUME) and np.ndim(first) < 2
    return getattr(X, "ndim", 0) < 3


def as_volumes(
    X: Any, *, name: str = "X", caller: str = "as_volumes", nan: str = "refuse"
) -> VolumeCollection:
    """Return ``X`` as a sequence of checked 3-D volumes, loaded one at a time.

    Parameters
    ----------
    X : array of shape (n, i, j, k), or sequence of volumes
        A sequence is a list, tuple or 1-D object array whose items are 3-D arrays (shapes may
        differ), nibabel images, or paths of files that :func:`load_volume` reads. A column of a
        table of paths, a table with one such column, or a 4-D tensor on the CPU, will do as well.
    name : str, default="X"
        Name of ``X`` in messages.
    caller : str, default="as_volumes"
        Class or function that messages name.
    nan : {"refuse", "background"}, default="refuse"
        Whether volumes with NaN are refused, or NaN is replaced by 0.

    Returns
    -------
    VolumeCollection
        A lazy sequence. Indexing loads and checks one volume.

    Raises
    ------
    ValueError
        If ``X`` is empty or is not a collection of volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import as_volumes
    >>> volumes = as_volumes([np.zeros((4, 4, 2)), np.ones((5, 4, 2))])
    >>> len(volumes), volumes[1].shape
    (2, (5, 4, 2))
    """
    X = _as_sequence(X)
    if isinstance(X, VolumeCollection):
        return X
    if isinstance(X, Iterator):
        raise ValueError(
            f"{caller}: {name} is a {type(X).__name__}, which can be read only once. Wrap it in "
            f"list(...): list({name})."
        )
    if isinstance(X, _ONE_VOLUME):
        raise ValueError(
            f"{caller}: {name} is a single {type(X).__name__}. Wrap it in a list: [{name}]."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OU" and X.ndim == 3:
        raise ValueError(
            f"{caller}: {name} is one 3-D array of shape {X.shape}, but a collection of volumes is "
            f"needed. Wrap it in a list: [{name}]."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OU" and X.ndim != 4:
        raise ValueError(
            f"{caller}: {name} has {X.ndim} dimensions, shape {X.shape}. Pass a 4-D array "
            "(n, i, j, k), or a list of 3-D arrays, nibabel images or paths."
        )
    if _is_table_of_volumes(X):
        raise ValueError(
            f"{caller}: {name} is a table of paths or images with {X.shape[1]} columns, but one "
            "volume for each row is needed. Pass a single column."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind in "OU" and X.ndim != 1:
        raise ValueError(
            f"{caller}: {name} is an object array of shape {X.shape}. An object array of volumes "
            "must be 1-D. Pass a list instead."
        )
    if not isinstance(X, (list, tuple, np.ndarray)):
        raise ValueError(
            f"{caller}: {name} is a {type(X).__name__}. Pass a 4-D array (n, i, j, k), or a list "
            "of 3-D arrays, nibabel images or paths."
        )
    if len(X) == 0:
        raise ValueError(f"{caller}: {name} holds no volumes. Pass at least one.")
    return VolumeCollection(X, name=name, caller=caller, nan=nan)


def read_volume(
    volume: Any, *, name: str, caller: str
) -> tuple[NDArray, NDArray[np.float64] | None]:
    """Read and check one volume.

    Parameters
    ----------
    volume : array of shape (i, j, k), nibabel image or path
        The volume.
    name, caller : str
        Name of the volume in error messages, and the class or function that they name.

    Returns
    -------
    voxels : ndarray of shape (i, j, k), float32 or float64
        It may share memory with the user's array, so do not write to it.
    affine : ndarray of shape (4, 4) or None
        Voxel to mm; None for an array.

    Raises
    ------
    VolumeReadError
        If a file or image cannot be read as one finite volume.
    ValueError
        If an array is not a finite 3-D volume of real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import read_volume
    >>> voxels, affine = read_volume(np.ones((2, 2, 2)), name="scan", caller="example")
    >>> voxels.shape, affine
    ((2, 2, 2), None)
    """
    return VolumeCollection([volume], name=name, caller=caller, single=True).read(0)


def _is_table_of_volumes(X: Any) -> bool:
    """Return whether ``X`` is a table of paths or images: a 2-D array, or a data frame."""
    is_table = hasattr(X, "columns") or (isinstance(X, np.ndarray) and X.dtype.kind in "OU")
    if not is_table or getattr(X, "ndim", 2) != 2 or not len(X):
        return False
    first = np.asarray(X[:1], dtype=object)
    return first.ndim == 2 and first.size > 0 and isinstance(first[0, 0], _ONE_VOLUME)


def _as_sequence(X: Any) -> Any:
    """Return columns of paths, images or arrays as lists, and tensors as arrays."""
    if isinstance(X, (VolumeCollection, list, tuple, Iterator, *_ONE_VOLUME)):
        return X
    if _is_table_of_volumes(X) and X.shape[1] == 1:
        return list(np.asarray(X, dtype=object)[:, 0])
    n_axes = getattr(X, "ndim", None)
    if n_axes == 1 and len(X):
        first = next(iter(X))
        return list(X) if isinstance(first, _ONE_VOLUME) or np.ndim(first) == 3 else X
    if isinstance(X, np.ndarray) or not hasattr(X, "__array__") or n_axes is None or n_axes < 3:
        return X
    try:
        return np.asarray(X)
    except (TypeError, RuntimeError) as error:  # a tensor on another device, or with a gradient
        raise ValueError(
            f"X is a {type(X).__module__}.{type(X).__name__} that cannot be read as an array "
            f"({error}). Pass a NumPy array, such as X.detach().cpu().numpy()."
        ) from error
