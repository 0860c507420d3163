"""Conversion of volumes to rows and back, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, as_volumes
from sklearn_iqt.patches._cut import cut_patches
from sklearn_iqt.patches._grid import PatchGrid, per_axis
from sklearn_iqt.patches._memory import check_memory
from sklearn_iqt.patches._merge import WINDOWS, PatchMerger
from sklearn_iqt.patches._sampling import join_rows, sample_index, share

__all__ = ["PatchTransformer"]


class PatchTransformer(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Cut volumes into rows of voxels, and average rows back into volumes.

    Estimators that work on rows of patches take one as their ``patcher``, so that
    ``patcher__patch_size`` can be searched like any other parameter. Without such an estimator, it
    prepares rows for any scikit-learn regressor. In this case, pass the ``groups`` of the rows to
    the splitter, because patches of one subject must not be split between training and test.

    Parameters
    ----------
    patch_size : int or tuple of 3 ints, default=7
        Shape of a patch, in voxels of the volume that is cut.
    stride : int or tuple of 3 ints, default=None
        Steps between patches, in voxels. Half the patch size by default.
    window : {"uniform", "hann", "gaussian"}, default="uniform"
        Weights with which overlapping patches are averaged.
    background : float, in [0, 1], default=0.8
        Patches with a larger fraction of background are not drawn by :meth:`sample`, and not
        enhanced by an estimator.

    Attributes
    ----------
    patch_size_, stride_ : tuple of 3 ints
        The parameters, one number for each axis.
    scale_ : tuple of 3 ints
        High voxels for each low voxel along each axis, found from the shapes of the pairs in
        ``fit``; (1, 1, 1) without high volumes. Rows that are passed to :meth:`inverse_transform`
        hold patches of ``patch_size_ * scale_`` voxels.
    shapes_ : list of tuple
        Shapes of the volumes seen in ``fit``.

    See Also
    --------
    PatchGrid : The geometry alone.
    PatchMerger : The averaging alone, plane by plane.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import PatchTransformer
    >>> volumes = np.random.default_rng(0).random((2, 8, 9, 10))
    >>> patcher = PatchTransformer(patch_size=4, stride=2).fit(volumes)
    >>> rows = patcher.transform(volumes)
    >>> rows.shape
    (96, 64)
    >>> bool(np.allclose(patcher.inverse_transform(rows), volumes))
    True
    """

    _parameter_constraints: dict = {
        "patch_size": [Interval(Integral, 1, None, closed="left"), tuple, list, np.ndarray],
        "stride": [Interval(Integral, 1, None, closed="left"), tuple, list, np.ndarray, None],
        "window": [StrOptions(set(WINDOWS))],
        "background": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        patch_size: int | Sequence[int] = 7,
        stride: int | Sequence[int] | None = None,
        *,
        window: str = "uniform",
        background: float = 0.8,
    ) -> None:
        self.patch_size = patch_size
        self.stride = stride
        self.window = window
        self.background = background

    def fit(self, X: Any = None, y: Any = None) -> PatchTransformer:
        """Check the parameters and remember the shapes of the volumes.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes, default=None
            Low volumes: 3-D arrays, nibabel images or paths, of which only headers are read.
            Without volumes no shapes are remembered.
        y : same kind as X, default=None
            High volumes. Along each axis their size is a whole multiple of the low volumes.

        Returns
        -------
        PatchTransformer
            The fitted transformer.

        Raises
        ------
        GeometryMismatchError
            If the pairs do not have the same scale, or the volumes of a pair are in different
            places.
        """
        if X is None:
            return self.fit_geometry()
        caller = type(self).__name__
        low = as_volumes(X, caller=caller)
        scale: Sequence[int] = (1, 1, 1)
        if y is not None:
            high = as_volumes(y, name="y", caller=caller)
            scale = _find_scale(low.grid(0).shape, high.grid(0).shape, caller)
            Cohort(low, high, scale=scale, alignment=None, caller=caller)
        self.fit_geometry(scale)
        self.shapes_ = [low.grid(n).shape for n in range(len(low))]
        self._kind = low.kind
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_geometry(self, scale: int | Sequence[int] = 1) -> PatchTransformer:
        """Check the parameters for a known scale, without volumes.

        Parameters
        ----------
        scale : int or tuple of 3 ints, default=1
            High voxels for each low voxel.

        Returns
        -------
        PatchTransformer
            The fitted transformer.
        """
        caller = type(self).__name__
        self.patch_size_ = per_axis(self.patch_size, "patch_size", caller)
        self.scale_ = per_axis(scale, "scale", caller)
        half = tuple(max(size // 2, 1) for size in self.patch_size_)
        self.stride_ = half if self.stride is None else per_axis(self.stride, "stride", caller)
        self.shapes_, self._kind = [], "arrays"
        self.grid(self.patch_size_)  # refuses a stride that is too large
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Cut all patches of all volumes.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            3-D arrays, nibabel images or paths; shapes may differ from those seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_patches, voxels of a patch)
            Rows of voxels in C order, volume after volume. With a stride of 1, this is about as
            many times larger than the volumes as a patch has voxels.

        Raises
        ------
        MemoryError
            If the rows are larger than the memory of the machine.
        """
        check_is_fitted(self)
        volumes = as_volumes(X, caller=type(self).__name__)
        grids = [self.grid(volumes.grid(n).shape) for n in range(len(volumes))]
        self._check_rows(sum(grid.n_patches for grid in grids), grids[0].n_voxels)
        return np.concatenate([cut_patches(v, self.grid(v.shape)) for v in volumes])

    def inverse_transform(self, rows: Any, shapes: Sequence[Sequence[int]] | None = None) -> Any:
        """Average rows back into volumes.

        Parameters
        ----------
        rows : array-like of shape (n_patches, voxels of a patch)
            One row for each patch of each volume, in the order of :meth:`transform`. A row holds a
            patch of ``patch_size_ * scale_`` voxels.
        shapes : sequence of tuples, default=None
            Shapes of the volumes that were cut (before scaling). By default the shapes of the
            volumes in ``fit``.

        Returns
        -------
        ndarray
            4-D if ``fit`` saw a 4-D array and ``shapes`` is not given, otherwise a 1-D object
            array of 3-D arrays.

        Raises
        ------
        GeometryMismatchError
            If the number of rows or their length does not fit the shapes.
        ValueError
            If no shapes are known.
        """
        check_is_fitted(self)
        rows = check_array(rows, dtype=(np.float64, np.float32))
        grids = [self.grid(shape) for shape in (self.shapes_ if shapes is None else shapes)]
        if not grids:
            raise ValueError(
                "PatchTransformer: the shapes of the volumes are not known. Fit on the volumes "
                "that were cut, or pass shapes to inverse_transform."
            )
        stops = np.cumsum([grid.n_patches for grid in grids])
        expected = (stops[-1], grids[0].high.n_voxels)
        if rows.shape != expected:
            raise GeometryMismatchError(
                f"PatchTransformer: rows have shape {rows.shape}, but {len(grids)} volumes with "
                f"patches of {grids[0].high.patch_size} voxels need {tuple(map(int, expected))}."
            )
        volumes = np.empty(len(grids), dtype=object)
        for index, (grid, part) in enumerate(zip(grids, np.split(rows, stops[:-1]), strict=True)):
            merger = PatchMerger(grid, self.window, dtype=rows.dtype)
            merger.add(part, np.arange(grid.n_patches))
            volumes[index] = merger.finalize()
        return np.stack(list(volumes)) if shapes is None and self._kind == "stack" else volumes

    def groups(self, X: Any, groups: Any = None) -> np.ndarray:
        """Return the volume or subject that each row of ``transform(X)`` comes from.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            The volumes that are cut.
        groups : array-like of shape (n,), default=None
            Subject of each volume; its position in ``X`` by default.

        Returns
        -------
        ndarray of shape (n_patches,)
            Groups for the group-wise splitters of scikit-learn.
        """
        check_is_fitted(self)
        volumes = as_volumes(X, caller=type(self).__name__)
        labels = np.arange(len(volumes)) if groups is None else np.asarray(groups)
        return np.repeat(labels, [self.grid(volume.shape).n_patches for volume in volumes])

    def sample(
        self,
        low: Any,
        high: Any,
        mask: Any = None,
        *,
        max_patches: int | None = None,
        random_state: Any = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw paired rows for training, leaving out background.

        Parameters
        ----------
        low, high : array of shape (n, i, j, k), or sequence of volumes
            Pairs; a high volume is ``scale_`` times as large as its low volume.
        mask : sequence of volumes, default=None
            Foreground on the grid of the low volumes, which is where the masks are positive. By
            default :func:`sklearn_iqt.preprocessing.foreground_mask` of the high volumes.
        max_patches : int, default=None
            Largest number of rows to draw, divided evenly among the volumes. All by default.
        random_state : int, RandomState instance or None, default=None
            Determines the rows that are drawn.

        Returns
        -------
        low_rows : ndarray of shape (n_rows, voxels of a low patch)
            At most ``max_patches`` rows.
        high_rows : ndarray of shape (n_rows, voxels of a high patch)
            The matching rows of the high volumes.
        groups : ndarray of int, shape (n_rows,)
            Position of the volume that each row comes from.

        Raises
        ------
        GeometryMismatchError
            If the volumes of a pair and its mask do not fit each other.
        ValueError
            If ``max_patches`` is less than the number of volumes.
        MemoryError
            If the rows are larger than the memory of the machine.
        """
        check_is_fitted(self)
        # Patches of a pair start at the same voxels for both alignments of the two grids.
        cohort = Cohort(
            low, high, mask, scale=self.scale_, alignment=None, caller=type(self).__name__
        )
        random_state = check_random_state(random_state)
        rows, n_rows = [], 0
        for pair, quota in zip(cohort, share(max_patches, len(cohort)), strict=True):
            grid = self.grid(pair.low.shape)
            index = sample_index(
                grid,
                pair.high,
                mask=pair.mask,
                n_patches=quota,
                background=self.background,
                random_state=random_state,
            )
            n_rows += len(index)
            self._check_rows(n_rows, grid.n_voxels + grid.high.n_voxels)
            low_rows = cut_patches(pair.low, grid, index)
            rows.append((low_rows, cut_patches(pair.high, grid.high, index)))
        return join_rows(rows)

    def grid(self, shape: Sequence[int]) -> PatchGrid:
        """Return the geometry of the patches of one volume.

        Parameters
        ----------
        shape : tuple of 3 ints
            Shape of the volume that is cut, in voxels.

        Returns
        -------
        PatchGrid
            Positions and the high-resolution counterpart.
        """
        check_is_fitted(self)
        return PatchGrid(tuple(shape), self.patch_size_, self.stride_, self.scale_)

    def _check_rows(self, n_rows: int, n_voxels: int) -> None:
        """Refuse rows of float32 that are larger than the memory."""
        check_memory(
            4 * n_rows * n_voxels,
            f"{type(self).__name__}: {n_rows} rows of {n_voxels} voxels",
            "Use a smaller patch_size, a larger stride or a lower background, or call sample with "
            "max_patches.",
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns, made from the positions of their voxels in the patch.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"voxel_i_j_k"`` for each voxel, in C order.
        """
        check_is_fitted(self)
        places = np.ndindex(*self.patch_size_)
        return np.asarray([f"voxel_{i}_{j}_{k}" for i, j, k in places], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = True
        return tags


def _find_scale(low: Sequence[int], high: Sequence[int], caller: str) -> tuple[int, ...]:
    """Return how many times as large a high volume is along each axis."""
    scale = tuple(n // m for n, m in zip(high, low, strict=True))
    if 0 in scale or any(m * s != n for m, s, n in zip(low, scale, high, strict=True)):
        raise GeometryMismatchError(
            f"{caller}: y[0] has shape {tuple(high)}, which is not a whole multiple of the shape "
            f"{tuple(low)} of X[0]. Crop or resample one of them."
        )
    return scale
