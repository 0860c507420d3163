"""The template of every estimator: rows or volumes in, the same kind out.

This is the only place that knows both modes. A subclass says how rows are learned and predicted, in
``_fit_patches`` and ``_predict_patches``; it never sees a volume.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_memory, validate_data
from tqdm.auto import tqdm

from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt._version import __version__
from sklearn_iqt.exceptions import GeometryMismatchError, PatchGeometryWarning
from sklearn_iqt.io import VolumeCollection, as_volumes, grid_offset, is_rows, scaled_affine
from sklearn_iqt.patches import (
    PatchGrid,
    PatchMerger,
    PatchTransformer,
    check_pair_shapes,
    check_pairs,
    chunks,
    cut_patches,
    foreground_index,
    per_axis,
    sample_pair,
    share,
)
from sklearn_iqt.preprocessing import foreground_mask, intensity_scale, upsample

__all__ = ["BaseIQTRegressor"]

# Rows are cut, predicted and merged in runs of this many bytes: enough for efficient matrix
# products, little beside a volume.
CHUNK_BYTES = 2**26
# How many times longer or shorter than those of the training voxels may be, and by which fraction
# they may differ from what is expected of an enhanced image.
FAR, ALIKE = 2.0, 0.1
# Bars that move by parts of a volume; the count of a single one would say no more than percents.
PART_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
PARTS_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"


class BaseIQTRegressor(DocLinkMixin, RegressorMixin, BaseEstimator):
    """Learn to enhance volumes, or the rows of voxels that patches of volumes make.

    Given volumes, ``fit`` scales each pair by the intensities of its low volume, draws paired
    patches and learns from their rows; ``predict`` cuts every patch, predicts its row and averages
    the overlaps. Given a 2-D array, the same estimator is an ordinary multi-output regressor on
    rows. The number of dimensions alone decides.

    Subclasses take ``patcher``, ``scale``, ``alignment``, ``max_patches``, ``random_state`` and
    ``verbose`` as parameters and write ``_fit_patches(X, y, groups)`` and
    ``_predict_patches(X)``.

    Attributes
    ----------
    patcher_ : PatchTransformer
        The fitted copy of ``patcher``.
    scale_ : tuple of 3 ints
        High-resolution voxels for each low-resolution voxel, along each axis.
    n_features_in_ : int
        Voxels of an input patch.
    n_outputs_ : int
        Voxels of an output patch.
    spacing_ : ndarray of shape (3,) or None
        Median voxel size of the low images that were learned from, in mm; None after arrays.
    """

    # Whether patches are cut from the interpolated volume, on the high-resolution grid.
    _interpolates_first = False
    # Why return_std is refused, where predictions are no means of overlapping patches.
    _why_no_spread: str | None = None
    # Spline order of the baseline: what the estimator improves on, and the value of background.
    order = 3

    _parameter_constraints: dict = {
        "patcher": [PatchTransformer, None],
        "scale": [Interval(Integral, 1, None, closed="left"), tuple, list, np.ndarray],
        "alignment": [StrOptions({"center", "corner"})],
        "verbose": ["verbose"],
    }

    patcher: Any
    scale: Any
    alignment: str
    max_patches: int | None
    random_state: Any
    verbose: Any
    # Cache of the rows that are drawn from volumes; a parameter of the estimators that have it.
    memory: Any = None

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer()

    def _make_patcher(self) -> PatchTransformer:
        """Return the fitted transformer that cuts the patches."""
        patcher = self._default_patcher() if self.patcher is None else clone(self.patcher)
        return patcher.set_params(scale=self._patch_scale()).fit()

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        raise NotImplementedError(f"{type(self).__name__} must write _fit_patches.")

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must write _predict_patches.")

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, *, mask: Any = None) -> Any:
        """Learn from pairs of volumes, or from paired rows.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low-quality volumes (3-D arrays, nibabel images or paths), or rows of input patches.
        y : same kind as X
            High-quality volumes, ``scale`` times as large, or rows of output patches.
        mask : sequence of volumes, default=None
            Foreground of each low volume, where positive. By default the voxels at or above the
            mean of the high volume. Volumes only.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        GeometryMismatchError
            If the volumes of a pair do not fit each other or their mask.
        ValueError
            If a volume is not finite, or no patch holds enough foreground.
        """
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        self.scale_ = per_axis(self.scale, "scale", name)
        self.patcher_ = self._make_patcher()
        self.spacing_ = None
        if not is_rows(X):
            # Names of columns are those of rows that an earlier fit has seen.
            self.__dict__.pop("feature_names_in_", None)
            self.spacing_ = as_volumes(X, caller=name).spacing()
            return self._fit_volumes(X, y, mask)
        if mask is not None:
            raise ValueError(
                f"{name}: mask belongs to volumes; X has rows. Leave rows out instead."
            )
        X, y = validate_data(
            self,
            X,
            y,
            reset=self._fits_anew(),
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
        )
        return self._fit_rows(X, y.astype(X.dtype, copy=False), None)

    def predict(self, X: Any, *, mask: Any = None, return_std: bool = False) -> Any:
        """Enhance volumes or rows.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            What is to be enhanced: volumes in any unit of intensity, or rows of input patches.
        mask : sequence of volumes, default=None
            Foreground of each volume, where positive; patches that are mostly outside are filled
            by interpolation. By default the voxels at or above the mean. Volumes only.
        return_std : bool, default=False
            Whether to return the spread of the overlapping predictions as well. Volumes only.

        Returns
        -------
        prediction : ndarray
            Rows for rows, a 4-D array for a 4-D array, otherwise a 1-D object array of 3-D arrays,
            or of images if images or paths came in. Volumes are float32, in the units of ``X``.
        std : same kind as the prediction
            Standard deviation of the overlapping predictions of each voxel; only with
            ``return_std``. It tells where patches disagree and is no confidence interval.

        Raises
        ------
        ValueError
            If ``return_std`` is asked of interpolation or of a net, whose predictions are not means
            of overlapping patches, or a volume is not finite.
        GeometryMismatchError
            If the voxels of an image are less than half, or more than twice, as long as those of
            the images that were learned from, or those of an image that is enhanced already.
        """
        check_is_fitted(self)
        if not is_rows(X):
            return self._predict_volumes(X, mask, return_std)
        if mask is not None or return_std:
            raise ValueError(
                f"{type(self).__name__}: mask and return_std belong to volumes; X has rows."
            )
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        rows = self._predict_patches(X)
        return rows.ravel() if self._flat_target else rows

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, over rows or as a mean over volumes.

        Parameters
        ----------
        X : volumes or rows
            What is to be enhanced.
        y : volumes or rows
            The truth.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row or volume.

        Returns
        -------
        float
            R² of the voxels; one is perfect.
        """
        if is_rows(X):
            return super().score(X, y, sample_weight)
        truth = as_volumes(y, name="y", caller=type(self).__name__)
        prediction = as_volumes(self.predict(X))
        check_pairs(prediction, truth, None, caller=type(self).__name__)
        scores = [r2_score(t.ravel(), p.ravel()) for t, p in zip(truth, prediction, strict=True)]
        return float(np.average(scores, weights=sample_weight))

    def report(self, low: Any, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write one page on what the estimator makes of a scan, and on how far to trust that.

        Parameters
        ----------
        low : array of shape (i, j, k), nibabel image or path
            The scan.
        path : str or path-like
            The HTML file to write.
        **options : dict
            Other parameters of :func:`sklearn_iqt.report.write_report`, ``truth``, ``mask`` and
            ``card`` among them.

        Returns
        -------
        pathlib.Path
            The file written.

        See Also
        --------
        sklearn_iqt.report.write_report : What the page shows, and the other parameters.
        """
        # Plotting stands above the estimators, which do without it until this is called.
        from sklearn_iqt.report import write_report

        check_is_fitted(self)
        return write_report(self, low, path, **options)

    def _fits_anew(self) -> bool:
        return True

    def set_params(self, **params: Any) -> Any:
        """Set parameters; those of the default patcher too, which ``patcher=None`` stands for.

        Parameters
        ----------
        **params : dict
            Parameters by name, ``patcher__patch_size`` among them.

        Returns
        -------
        object
            The estimator.
        """
        nested = any(name.startswith("patcher__") for name in params)
        if nested and params.get("patcher", getattr(self, "patcher", 0)) is None:
            params["patcher"] = self._default_patcher()
        return super().set_params(**params)

    def _patch_scale(self) -> tuple[int, int, int]:
        return (1, 1, 1) if self._interpolates_first else self.scale_

    def _interpolate(self, volumes: np.ndarray) -> np.ndarray:
        return upsample(volumes, self.scale_, order=self.order, alignment=self.alignment)

    def _progress(self, items: Iterable | None, what: str, **options: Any) -> Any:
        title = f"{type(self).__name__}: {what}"
        return tqdm(items, desc=title, disable=not self.verbose, **options)

    def _fit_rows(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> Any:
        self.n_features_in_ = X.shape[1]
        self._flat_target = y.ndim == 1
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        if self._fits_anew():
            self.y_mean_ = y.mean(axis=0)
        if not self._rows_are_patches():
            grid = self.patcher_.grid(self.patcher_.patch_size_)
            warnings.warn(
                f"{type(self).__name__}: rows of {X.shape[1]} inputs and {y.shape[1]} outputs are "
                f"not patches of {grid.patch_size} and {grid.high.patch_size} voxels; learning "
                "from bare features, relative to the mean of y. Set patcher to the patches that "
                "were cut.",
                PatchGeometryWarning,
                stacklevel=2,
            )
        self._fit_patches(X, y, groups)
        return self

    def _set_row_shapes(self) -> None:
        """Expect rows that are patches, after a fit on volumes that cut none."""
        grid = self.patcher_.grid(self.patcher_.patch_size_)
        self.n_features_in_, self.n_outputs_ = grid.n_voxels, grid.high.n_voxels
        self._flat_target = False

    def _rows_are_patches(self) -> bool:
        grid = self.patcher_.grid(self.patcher_.patch_size_)
        return (self.n_features_in_, self.n_outputs_) == (grid.n_voxels, grid.high.n_voxels)

    def _baseline_patches(self, X: np.ndarray) -> np.ndarray:
        """What to expect before learning: interpolated patches, or the mean of the targets."""
        if not self._rows_are_patches():
            return np.broadcast_to(self.y_mean_, (len(X), self.n_outputs_))
        if self._interpolates_first:
            return X
        patches = X.reshape(-1, *self.patcher_.patch_size_)
        return self._interpolate(patches).reshape(len(X), -1)

    def _scaled(
        self, volume: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Return what patches are cut from, the baseline, and the intensity that became one."""
        unit = intensity_scale(volume, mask)
        low = np.asarray(volume / unit, dtype=np.float32, order="C")
        baseline = self._interpolate(low)
        return (baseline if self._interpolates_first else low), baseline, unit

    def _read_volume(
        self, volumes: VolumeCollection, masks: VolumeCollection | None, n: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return a volume, its affine and its mask."""
        volume, affine = volumes.read(n)
        if masks is None:
            return volume, affine, None
        mask, mask_affine = masks.read(n)
        if mask.shape != volume.shape:
            raise GeometryMismatchError(
                f"{type(self).__name__}: mask[{n}] has shape {mask.shape}, its volume "
                f"{volume.shape}."
            )
        self._check_place(affine, mask_affine, mask.shape, (1, 1, 1), f"mask[{n}]", n)
        return volume, affine, mask > 0

    def _read_pair(
        self, low: VolumeCollection, high: VolumeCollection, masks: VolumeCollection | None, n: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return a low volume, its mask and the high volume."""
        volume, affine, mask = self._read_volume(low, masks, n)
        target, target_affine = high.read(n)
        check_pair_shapes(volume, target, self.scale_, n, caller=type(self).__name__)
        self._check_place(affine, target_affine, target.shape, self.scale_, f"y[{n}]", n)
        return volume, mask, target

    def _check_spacing(self, affine: np.ndarray | None, name: str) -> None:
        """Refuse voxels that are far from those of the training, where both are known."""
        if affine is None or self.spacing_ is None:
            return
        spacing, learned = voxel_sizes(affine), self.spacing_
        near = partial(np.allclose, rtol=ALIKE, atol=0)
        is_enhanced = self.scale_ != (1, 1, 1) and near(spacing, learned / self.scale_)
        ratios = spacing / learned
        if not is_enhanced and ratios.min() >= 1 / FAR and ratios.max() <= FAR:
            return
        if is_enhanced:
            advice = "It seems to be enhanced already: pass the low-quality image"
        elif near(np.sort(spacing), np.sort(learned)):
            advice = "Its axes are in another order: reorient it"
        else:
            advice = "Resample it"
        ours, theirs = (" x ".join(f"{size:.4g}" for size in sizes) for sizes in (spacing, learned))
        raise GeometryMismatchError(
            f"{type(self).__name__}: {name} has voxels of {ours} mm, but those learned from had "
            f"{theirs} mm. {advice}; or, in Python, pass an array, which has no size of voxels."
        )

    def _check_place(
        self,
        affine: np.ndarray | None,
        other: np.ndarray | None,
        shape: tuple[int, ...],
        scale: tuple[int, ...],
        name: str,
        n: int,
    ) -> None:
        """Refuse what does not lie on its low volume, where both have affines."""
        if affine is None or other is None:
            return
        offsets = {
            alignment: grid_offset(shape, scaled_affine(affine, scale, alignment), other)
            for alignment in ("center", "corner")
        }
        if offset := offsets.pop(self.alignment):
            ((alignment, offset_there),) = offsets.items()
            advice = (
                "Pass what belongs together in the same order, resample one onto the other, or "
                "pass arrays if the affines are wrong."
                if offset_there
                else f"With alignment={alignment!r} they lie on each other."
            )
            raise GeometryMismatchError(
                f"{type(self).__name__}: {name} and X[{n}] lie up to {offset:.3g} mm apart by "
                f"their affines. {advice}"
            )

    def _scaled_pairs(
        self,
        low: VolumeCollection,
        high: VolumeCollection,
        masks: VolumeCollection | None,
        what: str,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
        """Yield what patches are cut from, the target, and which patches to draw, for each pair."""
        quotas = share(self.max_patches, len(low))
        for n, quota in enumerate(self._progress(quotas, what)):
            volume, mask, target = self._read_pair(low, high, masks, n)
            inputs, _, unit = self._scaled(volume, mask)
            drawing = {
                "mask": None if mask is None else self._mask_on_patches(mask),
                "n_patches": quota,
                "background": self.patcher_.background,
            }
            yield inputs, (target / unit).astype(np.float32), drawing

    def _mask_on_patches(self, mask: np.ndarray) -> np.ndarray:
        if not self._interpolates_first:
            return mask
        nearest = upsample(mask, self.scale_, order=0, alignment=self.alignment)
        return nearest > 0.5

    def _fit_volumes(self, X: Any, y: Any, mask: Any) -> Any:
        name = type(self).__name__
        low, high = as_volumes(X, caller=name), as_volumes(y, name="y", caller=name)
        masks = None if mask is None else as_volumes(mask, name="mask", caller=name)
        check_pairs(low, high, masks, caller=name)
        if self.memory is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"{name}: memory needs an integer as random_state, got {self.random_state!r}; what "
                "is cached would not be what the generator draws."
            )
        if self.memory is None:
            drawn = self._draw_rows(low, high, masks)
        else:
            names = ("scale", "alignment", "order", "max_patches", "random_state")
            key = {parameter: getattr(self, parameter) for parameter in names}
            kinds = [str(type(part)) for part in (self, self.patcher_)]
            key |= {"version": __version__, "kinds": kinds, "patcher": self.patcher_.get_params()}
            volumes = [v and v.fingerprint() for v in (low, high, masks)]
            call = check_memory(self.memory).cache(_call, ignore=["function"])
            drawn = call([key, volumes], lambda: self._draw_rows(low, high, masks))
        return self._fit_rows(*drawn)

    def _draw_rows(
        self, low: VolumeCollection, high: VolumeCollection, masks: VolumeCollection | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return paired rows to learn from, and the volume that each comes from."""
        random_state = check_random_state(self.random_state)
        rows = []
        for inputs, target, drawing in self._scaled_pairs(low, high, masks, "cutting patches"):
            grid = self.patcher_.grid(inputs.shape)
            rows.append(sample_pair(inputs, target, grid, random_state=random_state, **drawing))
        groups = np.repeat(np.arange(len(rows)), [len(low_rows) for low_rows, _ in rows])
        self._refuse_background(len(groups))
        low_rows, high_rows = map(np.concatenate, zip(*rows, strict=True))
        del rows
        return low_rows, high_rows, groups

    def _refuse_background(self, n_patches: int) -> None:
        if not n_patches:
            raise ValueError(
                f"{type(self).__name__}: every patch of every volume is more than "
                f"{self.patcher_.background:.0%} background; check the volumes and masks, or raise "
                "the patcher's background."
            )

    def _predict_volumes(self, X: Any, mask: Any, return_std: bool) -> Any:
        name = type(self).__name__
        if not self._rows_are_patches():
            raise ValueError(
                f"{name}: was fitted on rows that are not patches of its patcher, so it cannot "
                "enhance volumes."
            )
        if return_std and self._why_no_spread is not None:
            raise ValueError(f"{name}: return_std is not available; {self._why_no_spread}.")
        volumes = as_volumes(X, caller=name)
        masks = None if mask is None else as_volumes(mask, name="mask", caller=name)
        check_pairs(volumes, None, masks, caller=name)
        results: list[tuple[np.ndarray, ...]] = []
        style = PARTS_BAR if len(volumes) > 1 else PART_BAR
        with self._progress(None, "enhancing", total=len(volumes), bar_format=style) as bar:

            def tell(done: float) -> None:
                bar.update(len(results) + done - bar.n)

            for n in range(len(volumes)):
                volume, affine, volume_mask = self._read_volume(volumes, masks, n)
                self._check_spacing(affine, f"X[{n}]")
                results.append(self._predict_volume(volume, volume_mask, return_std, tell))
                del volume, volume_mask
                tell(0)
        wrapped = [
            volumes.wrap(outputs, zoom=self.scale_, alignment=self.alignment)
            for outputs in zip(*results, strict=True)
        ]
        return tuple(wrapped) if return_std else wrapped[0]

    def _chunks(self, grid: PatchGrid, index: np.ndarray) -> Iterator[np.ndarray]:
        row_bytes = np.dtype(np.float32).itemsize * (grid.n_voxels + grid.high.n_voxels)
        return chunks(index, max(CHUNK_BYTES // row_bytes, 1))

    def _predict_volume(
        self,
        volume: np.ndarray,
        mask: np.ndarray | None,
        return_std: bool,
        tell: Callable[[float], Any],
    ) -> tuple[np.ndarray, ...]:
        """Return the enhanced volume, and the spread; tell which part of the work is done."""
        name = type(self).__name__
        inputs, baseline, unit = self._scaled(volume, mask)
        grid = self.patcher_.grid(inputs.shape)
        patch_mask = foreground_mask(inputs) if mask is None else self._mask_on_patches(mask)
        index = foreground_index(grid, patch_mask, self.patcher_.background, caller=name)
        del patch_mask
        merger = PatchMerger(
            grid,
            self.patcher_.window,
            fill=baseline,
            overwrite_fill=True,
            return_std=return_std,
        )
        done = 0
        for part in self._chunks(grid, index):
            merger.add(self._predict_patches(cut_patches(inputs, grid, part)), part)
            done += len(part)
            tell(done / len(index))
        outputs = merger.finalize() if return_std else (merger.finalize(),)
        for output in outputs:
            if not np.isfinite(output).all():
                raise FloatingPointError(f"{name}: the prediction is not finite; refit the model.")
            output *= np.float32(unit)
        return outputs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _call(key: Any, function: Callable[[], Any]) -> Any:
    """Return what a function returns; a cache knows it by its key."""
    return function()
