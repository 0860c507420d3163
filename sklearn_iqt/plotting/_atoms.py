"""Pictures of the atoms of a dictionary."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt.plotting._style import axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_atoms"]

_CALLER = "plot_atoms"
_PARTS = ("high", "low", "both")


def plot_atoms(
    model: Any,
    *,
    max_atoms: int = 64,
    part: str = "high",
    axis: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw atoms of a fitted model, starting with those of the largest norm.

    Parameters
    ----------
    model : CoupledDictionaryIQT or DDLRegressor
        A fitted model.
    max_atoms : int, default=64
        Largest number of atoms to draw, at least 1.
    part : {"high", "low", "both"}, default="high"
        Dictionary to draw. With ``"both"``, each low atom is drawn to the left of its high atom.
        The atoms of a DDLRegressor are ``"high"``.
    axis : {0, 1, 2}, default=0
        Axis of the patches that is cut at its centre. The last of the other two axes runs upwards.
        The default shows the slice axis of the default ``scale``.
    ax : Axes, default=None
        Axes to draw on. By default, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn on. Atoms that are patches fill a square, row by row from the top
        left. Each patch has its own grey scale, on which zero is mid-grey. Atoms that are columns
        of voxels, such as the atoms of a DDLRegressor that enhances one axis, stand side by side
        and share one colour scale.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the model was fitted to rows that are not patches.
    TypeError
        If the model has no atoms.
    NotFittedError
        If the model is not fitted.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Low atoms are vectors of reduced features. The function draws the patch of least norm that has
    these features, ``pinv(projection_) @ atom``. Properties that the features do not measure are
    zero. For example, gradients do not measure the brightness of a patch.

    The order is given by the norms of the high atoms. The norm of a high atom is the size of the
    change that it makes in a patch when its coefficient is one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import CoupledDictionaryIQT
    >>> from sklearn_iqt.plotting import plot_atoms
    >>> high = np.random.default_rng(0).random((2, 16, 16, 16))
    >>> low = high.reshape(2, 16, 16, 4, 4).mean(axis=-1)
    >>> model = CoupledDictionaryIQT(n_atoms=32, random_state=0).fit(low, high)
    >>> plot_atoms(model, max_atoms=16).get_title()
    '16 of 32 high atoms'
    """
    if not isinstance(max_atoms, Integral) or max_atoms < 1:
        raise ValueError(f"{_CALLER}: max_atoms must be an int of at least 1, got {max_atoms!r}.")
    if part not in _PARTS:
        raise ValueError(f"{_CALLER}: part must be one of {_PARTS}, got {part!r}.")
    if axis not in (0, 1, 2):
        raise ValueError(f"{_CALLER}: axis must be 0, 1 or 2, got {axis!r}.")
    check_is_fitted(model)
    coupled = hasattr(model, "dictionary_high_")
    if coupled:
        high = _patches(model, model.dictionary_high_)
    elif hasattr(model, "dictionary_"):
        if part != "high":
            raise ValueError(
                f"{_CALLER}: {type(model).__name__} has only high atoms. Pass part='high'."
            )
        high = np.asarray(model.dictionary_)
    else:
        raise TypeError(
            f"{_CALLER}: {type(model).__name__} has no atoms. Pass a fitted CoupledDictionaryIQT "
            "or DDLRegressor."
        )
    order = np.argsort(-np.linalg.norm(high.reshape(len(high), -1), axis=1), kind="stable")
    order = order[:max_atoms]
    word = "low and high" if part == "both" else part
    title = f"{len(order)} of {len(high)} {word} atoms"
    if not coupled and sum(size > 1 for size in high.shape[1:]) <= 1:
        return _draw_columns(high[order].reshape(len(order), -1), title, ax)
    tiles = []
    if part != "high":
        low = model.dictionary_low_[order] @ np.linalg.pinv(model.projection_).T
        tiles.append(_tiles(_patches(model, low), axis))
    if part != "low":
        tiles.append(_tiles(high[order], axis))
    gap = 1
    if part == "both":
        # The gap within a pair is smaller than the gap between pairs.
        gap = 3
        tiles.insert(1, np.full((len(order), 1, tiles[0].shape[2]), np.nan))
    return _draw_mosaic(np.concatenate(tiles, axis=1), gap, title, ax)


def _patches(model: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Reshape rows to the patches of a model."""
    shape = tuple(getattr(getattr(model, "patcher_", None), "patch_size_", ()))
    if math.prod(shape) != rows.shape[1]:
        raise ValueError(
            f"{_CALLER}: atoms of {rows.shape[1]} voxels cannot be reshaped to patches of shape "
            f"{shape}. Fit the model to volumes, or to rows of patches cut by its patcher."
        )
    return rows.reshape(len(rows), *shape)


def _tiles(patches: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Return the centre slice of each patch, with axes (right, up), scaled to at most 1."""
    cut = np.take(patches, patches.shape[axis + 1] // 2, axis=axis + 1).astype(float)
    largest = np.abs(cut).max(axis=(1, 2), keepdims=True)
    return np.divide(cut, largest, out=np.zeros_like(cut), where=largest > 0)


def _draw_mosaic(tiles: NDArray[np.float64], gap: int, title: str, ax: Axes | None) -> Axes:
    """Draw pictures in a square, with a gap in voxels between them."""
    n_tiles, wide, high = tiles.shape
    n_columns = min(math.ceil(math.sqrt(n_tiles * (high + gap) / (wide + gap))), n_tiles)
    n_rows = math.ceil(n_tiles / n_columns)
    picture = np.full((n_rows * (high + gap) - gap, n_columns * (wide + gap) - gap), np.nan)
    for n, tile in enumerate(tiles):
        row, column = divmod(n, n_columns)
        top, left = row * (high + gap), column * (wide + gap)
        picture[top : top + high, left : left + wide] = tile.T[::-1]
    ax = axes_or_new(ax, (4, 4.2), _CALLER)
    ax.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title, fontsize="medium")
    return ax


def _draw_columns(columns: NDArray[Any], title: str, ax: Axes | None) -> Axes:
    """Draw atoms that are columns of voxels, side by side."""
    ax = axes_or_new(ax, (6, 1.8), _CALLER)
    largest = float(np.abs(columns).max()) or 1.0
    drawn = ax.imshow(
        columns.T,
        cmap="RdBu_r",
        vmin=-largest,
        vmax=largest,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
    )
    plain(ax, xlabel="atom", ylabel="voxel", yticks=range(columns.shape[1]))
    ax.set_title(title, fontsize="medium")
    ax.figure.colorbar(drawn, ax=ax, label="value")
    return ax
