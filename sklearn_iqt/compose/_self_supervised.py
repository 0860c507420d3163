"""Enhancement of a scan by what its own in-plane patches show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_iqt._fitted_params import changed_params
from sklearn_iqt.base import BasePatchRegressor, VolumeTags
from sklearn_iqt.compose._in_plane import Plane, lost_noise, plane_pair
from sklearn_iqt.compose._patchwise import PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchSource, PatchTransformer
from sklearn_iqt.preprocessing._noise import noise_level

__all__ = ["SelfSupervisedIQT"]

# Largest seed.
_SEEDS = 2**31 - 1


class SelfSupervisedIQT(PatchwiseRegressor):
    """Enhance each scan by what its own in-plane patches show, without any training pair.

    A scan with thick slices is sharp in plane. For each scan, ``predict`` blurs and samples copies
    of it along its sharp axes, as thick slices do, and learns to undo this. What it has learned is
    then applied along the thick axis. ``fit`` needs no high volumes, and learns only the voxel size
    and the order of axes.

    Because nothing comes from other scans, the contrast of a scan is kept, and there is no training
    contrast that another scanner could differ from.

    Parameters
    ----------
    estimator : regressor, default=None
        Regressor that predicts rows of sharp patches from rows of blurred patches, with several
        outputs. By default ridge regression. A new one is fitted to each scan.
    patcher : PatchTransformer, default=None
        Transformer that cuts the scan, turned so that its axes are a sharp axis, the other in-plane
        axis and the thick axis. By default its patches have (1, 9, 5) voxels. Patches of more than
        one voxel along the first axis would be cut across the slices in training, where voxels
        are long, but in plane in prediction.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis: 1 along two of them.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
    thickness : float, default=None
        Full width at half maximum of the slice profile, in voxels of the result, at least 1. By
        default slices have no gap, so that it is the scale along the thick axis.
    sharp_axes : str or sequence of {"i", "j", "k"}, default=None
        In-plane axes to learn from. By default both. Leave out an axis along which the scanner
        interpolated, for instance by zero filling, because it has no detail to learn from.
    target : {"residual", "high"}, default="residual"
        Target of the regressor: the difference between the sharp patch and the interpolated blurred
        patch, or the sharp patch itself.
    keep_zeros : bool, default=True
        Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
        scan is.
    max_patches : int or None, default=50_000
        Largest number of pairs of patches to learn from in each scan, divided evenly among the
        sharp axes.
    random_state : int, RandomState instance or None, default=None
        Determines the patches that are drawn and the noise that is added. It is drawn once by
        ``fit``, so that repeated predictions are the same.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    estimator_ : regressor or None
        None after a fit on volumes, and rows are then interpolated, because there is no scan to
        learn from. After a fit on rows the fitted regressor, which is used for rows and volumes.
    seed_ : int
        Seed of the patches and the noise, after a fit on volumes.
    sharp_axes_ : tuple of {"i", "j", "k"}
        Axes that predictions learn from.
    thickness_ : float
        Width of the slice profile that predictions use, in voxels of the result.

    See Also
    --------
    PatchwiseRegressor : Learn from pairs of volumes.

    Notes
    -----
    SMORE [1]_ does the same with a net that is trained on each scan. With ridge regression or a
    forest, this is the simplest form of the unsupervised learning that the paper of IQT-SRep names
    as future work.

    Ridge regression sharpens and cannot find detail at frequencies that the slices do not contain.
    A forest can, and takes longer.

    1. If voxels along a sharp axis are not as long as those of the result along the thick axis, the
       scan is resampled along the sharp axis. Their lengths are taken from the scans that were
       passed to ``fit``. In arrays they are assumed to be equal.
    2. The scan is blurred by the slice profile along the sharp axis and sampled. This reduces its
       noise, so Gaussian noise is added until it is as strong as in the scan, see Immerkaer [2]_.
    3. The regressor learns patches in the plane of the sharp axis and the other in-plane axis.
    4. It is applied in the plane of the thick axis and the other in-plane axis. Results of the two
       sharp axes are averaged.

    References
    ----------
    .. [1] C. Zhao et al., "SMORE: a self-supervised anti-aliasing and super-resolution algorithm
       for MRI using deep learning", IEEE Trans. Med. Imaging 40 (2021).
    .. [2] J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding
       64 (1996).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import SelfSupervisedIQT
    >>> scan = np.random.default_rng(0).random((20, 24, 6)) + 1
    >>> model = SelfSupervisedIQT(thickness=3, random_state=0).fit([scan])
    >>> model.predict([scan])[0].shape
    (20, 24, 24)
    """

    _volume_tags = VolumeTags(needs_target=False)

    # A scan and its blurred copy have the same unit.
    target_unit = "low"

    _parameter_constraints: dict = {
        **PatchwiseRegressor._parameter_constraints,
        "thickness": [Interval(Real, 1, None, closed="left"), None],
        "sharp_axes": [str, list, tuple, None],
    }

    def __init__(
        self,
        estimator: Any = None,
        patcher: PatchTransformer | None = None,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        thickness: float | None = None,
        sharp_axes: str | Sequence[str] | None = None,
        target: str = "residual",
        keep_zeros: bool = True,
        max_patches: int | None = 50_000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.patcher = patcher
        self.scale = scale
        self.alignment = alignment
        self.thickness = thickness
        self.sharp_axes = sharp_axes
        self.target = target
        self.keep_zeros = keep_zeros
        self.max_patches = max_patches
        self.random_state = random_state
        self.verbose = verbose

    def _default_patcher(self) -> PatchTransformer:
        return PatchTransformer(patch_size=(1, 9, 5))

    def _make_patcher(self) -> PatchTransformer:
        # Predictions need both after a fit on rows and after a fit on volumes.
        self.sharp_axes_ = self._choose_axes()
        step = self.scale_[self._thick_axis()]
        self.thickness_ = float(step if self.thickness is None else self.thickness)
        return super()._make_patcher()

    def _patch_scale(self) -> tuple[int, int, int]:
        return (1, 1, self.scale_[self._thick_axis()])

    def _thick_axis(self) -> int:
        thick = [axis for axis, step in enumerate(self.scale_) if step > 1]
        if len(thick) != 1:
            raise ValueError(
                f"{type(self).__name__}: scale must be above 1 along exactly one axis, the axis of "
                f"the thick slices, got {self.scale_}."
            )
        return thick[0]

    def _choose_axes(self) -> tuple[str, ...]:
        thick = self._thick_axis()
        names = ["ijk"[axis] for axis in range(3) if axis != thick]
        chosen = names if self.sharp_axes is None else list(self.sharp_axes)
        if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(names):
            raise ValueError(
                f"{type(self).__name__}: sharp_axes must be one or both of {names[0]!r} and "
                f"{names[1]!r}, the axes in plane, got {self.sharp_axes!r}."
            )
        return tuple(chosen)

    def _planes(self) -> list[Plane]:
        thick = self._thick_axis()
        sharp = ["ijk".index(name) for name in self.sharp_axes_]
        return [Plane(axis, 3 - axis - thick, thick) for axis in sharp]

    def _patch_source(self) -> PatchSource:
        # Of turned volumes, whose thick axis is the last.
        return replace(super()._patch_source(), scale=self._patch_scale())

    def _fit_cohort(self, cohort: Cohort) -> None:
        for sharp, _, thick in self._planes():
            if self.spacing_ is not None and self.spacing_[sharp] >= self.spacing_[thick]:
                raise GeometryMismatchError(
                    f"{type(self).__name__}: voxels are {self.spacing_[sharp]:.3g} mm long along "
                    f"{'ijk'[sharp]}, which is not sharper than the {self.spacing_[thick]:.3g} mm "
                    f"along {'ijk'[thick]}. Leave this axis out of sharp_axes, or set scale to the "
                    "axis of the thick slices."
                )
        for _ in self._progress(cohort, "checking scans", total=len(cohort)):
            pass
        self.estimator_ = None
        self.seed_ = int(check_random_state(self.random_state).randint(_SEEDS))

    def _predict_patches(self, X: NDArray) -> NDArray:
        if self.estimator_ is None:
            return self._baseline_patches(X)
        return super()._predict_patches(X)

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Callable[[float], Any],
    ) -> tuple[NDArray[np.float32], ...]:
        # Each scan is learned here, so a parameter that changed after fit would change predictions.
        if changed := changed_params(self):
            raise ValueError(
                f"{type(self).__name__}: {', '.join(changed)} changed after fit. Fit the estimator "
                "again."
            )
        planes = self._planes()
        learner = self if self.estimator_ is not None else self._learn(volume, mask, planes)
        total: Any = 0
        squares: Any = 0
        for n, plane in enumerate(planes):

            def report(done: float, n: int = n) -> None:
                report_progress((n + done) / len(planes))

            turned = None if mask is None else mask.transpose(plane)
            outputs = BasePatchRegressor._predict_volume(
                learner, volume.transpose(plane), turned, return_std, report
            )
            back = np.argsort(plane)
            mean, *spread = (part.transpose(back) for part in outputs)
            total = total + mean
            if return_std:
                squares = squares + mean**2 + spread[0] ** 2
        mean = np.ascontiguousarray(total / len(planes))
        if not return_std:
            return (mean,)
        return mean, np.sqrt(np.maximum(squares / len(planes) - mean**2, 0))

    def _learn(
        self, volume: NDArray, mask: NDArray[np.bool_] | None, planes: list[Plane]
    ) -> PatchwiseRegressor:
        """Learn from in-plane patches of a scan and from these patches with thick slices."""
        scale = self._patch_scale()
        noise = lost_noise(scale, self.alignment, self.thickness_)
        pairs = [
            plane_pair(
                volume,
                mask,
                plane,
                scale=scale,
                alignment=self.alignment,
                thickness=self.thickness_,
                spacing=self.spacing_,
                caller=type(self).__name__,
            )
            for plane in planes
        ]
        sigma = noise * noise_level(volume, mask, axes=planes[0][:2])
        rng = np.random.RandomState(self.seed_)
        for low, _, _ in pairs:
            low += sigma * rng.standard_normal(low.shape).astype(np.float32)
        lows, highs, masks = zip(*pairs, strict=True)
        learner = PatchwiseRegressor(
            self._seeded_estimator(),
            self._default_patcher() if self.patcher is None else self.patcher,
            scale=scale,
            alignment=self.alignment,
            target=self.target,
            target_unit=self.target_unit,
            max_patches=self.max_patches,
            random_state=self.seed_,
            verbose=self.verbose,
        )
        return learner.fit(list(lows), list(highs), mask=None if mask is None else list(masks))

    def _seeded_estimator(self) -> Any:
        """Return the regressor with the seed of this estimator where it has none."""
        if self.estimator is None:
            return None
        params = clone(self.estimator).get_params()
        seeds = [name for name in params if name.split("__")[-1] == "random_state"]
        unset = {name: self.seed_ for name in seeds if params[name] is None}
        return clone(self.estimator).set_params(**unset)
