"""Enhancement of a scan by what its own in-plane patches show."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_iqt._fitted_params import changed_params
from sklearn_iqt.base import BasePatchRegressor, VolumeTags
from sklearn_iqt.compose._patchwise import PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchTransformer
from sklearn_iqt.preprocessing import resample_to_voxel_size
from sklearn_iqt.preprocessing._noise import noise_level
from sklearn_iqt.simulation import degrade

__all__ = ["SelfSupervisedIQT"]

# In-plane voxels that differ less from the voxels of the result are not resampled.
_SAME = 0.01
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

    def _orders(self) -> list[tuple[int, int, int]]:
        """Return, for each sharp axis, this axis, the other in-plane axis and the thick axis."""
        thick = self._thick_axis()
        sharp = ["ijk".index(name) for name in self.sharp_axes_]
        return [(axis, 3 - axis - thick, thick) for axis in sharp]

    def _fit_cohort(self, cohort: Cohort) -> None:
        orders = self._orders()
        for axis, _, thick in orders:
            if self.spacing_ is not None and self.spacing_[axis] >= self.spacing_[thick]:
                raise GeometryMismatchError(
                    f"{type(self).__name__}: voxels are {self.spacing_[axis]:.3g} mm long along "
                    f"{'ijk'[axis]}, which is not sharper than the {self.spacing_[thick]:.3g} mm "
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
        orders = self._orders()
        learner = copy.copy(self)  # predictions do not change the estimator
        learner.scale_ = self._patch_scale()  # of turned volumes, whose thick axis is the last
        if self.estimator_ is None:
            learner._learn(volume, mask, orders)
        total: Any = 0
        squares: Any = 0
        for n, order in enumerate(orders):

            def report(done: float, n: int = n) -> None:
                report_progress((n + done) / len(orders))

            turned = None if mask is None else mask.transpose(order)
            outputs = BasePatchRegressor._predict_volume(
                learner, volume.transpose(order), turned, return_std, report
            )
            back = np.argsort(order)
            mean, *spread = (part.transpose(back) for part in outputs)
            total = total + mean
            if return_std:
                squares = squares + mean**2 + spread[0] ** 2
        mean = np.ascontiguousarray(total / len(orders))
        if not return_std:
            return (mean,)
        return mean, np.sqrt(np.maximum(squares / len(orders) - mean**2, 0))

    def _learn(
        self, volume: NDArray, mask: NDArray[np.bool_] | None, orders: list[tuple[int, int, int]]
    ) -> None:
        """Learn from in-plane patches of a scan and from these patches with thick slices."""
        if self.estimator is not None:
            params = clone(self.estimator).get_params()
            seeds = [name for name in params if name.split("__")[-1] == "random_state"]
            unset = {name: self.seed_ for name in seeds if params[name] is None}
            self.estimator = clone(self.estimator).set_params(**unset)
        self.random_state = self.seed_
        step, name = self.scale_[-1], type(self).__name__
        profile: dict = {"scale": self.scale_, "alignment": self.alignment}
        profile["thickness"] = self.thickness_
        noise = self._lost_noise(profile) * noise_level(volume, mask, axes=orders[0][:2])
        rng = np.random.RandomState(self.seed_)
        low, high, masks = [], [], []
        for sharp, context, thick in orders:
            order = (thick, context, sharp)
            fine = self._with_result_voxels(volume.astype(np.float32), order)
            if fine.shape[-1] < step:
                raise GeometryMismatchError(
                    f"{name}: along {'ijk'[sharp]} the scan has "
                    f"{volume.shape[sharp]} voxels, which is less than one slice is thick. There "
                    "is nothing to learn from in it."
                )
            coarse = degrade(fine, **profile)
            coarse += noise * rng.standard_normal(coarse.shape).astype(np.float32)
            low.append(coarse)
            high.append(fine[..., : coarse.shape[-1] * step])
            if mask is not None:
                inside = self._with_result_voxels(mask.astype(np.float32), order)
                masks.append(degrade(inside, **profile) > 0.5)
                if not masks[-1].any():
                    raise ValueError(
                        f"{name}: the mask is too small to learn from. Along {'ijk'[sharp]}, it "
                        "fills no block as long as a thick slice by more than half. Pass a larger "
                        "mask, or none."
                    )
        cohort = Cohort(
            low, high, masks or None, scale=self.scale_, alignment=self.alignment, caller=name
        )
        super()._fit_cohort(cohort)

    def _lost_noise(self, profile: dict) -> float:
        """Return the part of white noise that the blur removes, as a standard deviation.

        Slices of a scan have all of its noise, and their blurred copies only the rest.
        """
        step = self.scale_[-1]
        weights = degrade(np.eye(16 * step)[None], **profile)[0, :, 8]
        return float(np.sqrt(max(1 - np.square(weights).sum(), 0)))

    def _with_result_voxels(self, volume: NDArray, order: tuple[int, int, int]) -> NDArray:
        """Turn a volume, with voxels along the last axis that are as long as in the result."""
        turned = volume.transpose(order)
        if self.spacing_ is None:
            return turned
        sizes = self.spacing_[list(order)]
        wanted = np.append(sizes[:2], sizes[0] / self.scale_[-1])
        if abs(wanted[-1] / sizes[-1] - 1) <= _SAME:
            return turned
        affine = np.diag([*sizes, 1.0])
        return np.asarray(
            resample_to_voxel_size((turned, affine), wanted.tolist(), order=3).dataobj
        )
