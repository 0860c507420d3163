"""Intervals that are calibrated on held-out subjects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

import nibabel
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt.base import enhancer_of
from sklearn_iqt.base._routing import route_mask
from sklearn_iqt.base._training_scans import Difference, compare_scan, describe_scans
from sklearn_iqt.compose._wrapper import ModelWrapper, given
from sklearn_iqt.exceptions import GeometryMismatchError, IntervalRefusedError
from sklearn_iqt.io import Cohort, is_rows
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._scan_features import FEATURES

__all__ = ["N_FRACTIONS", "TOLERATED", "ConformalIQT", "raise_small"]

# Fractions of the voxels for which factors are stored: 0.001, 0.002, and so on up to 0.999.
N_FRACTIONS = 999
# Distance from the calibration scans above which intervals become longer. Scans of one study are
# rarely this far from the others.
TOLERATED = 2.0
_FINITE = np.finfo(np.float64).max
# Rounding error of products such as 0.9 * 10.
_ROUNDING = 1e-9


class _Spread(NamedTuple):
    """An enhanced scan, the width of its intervals for a factor of one, and its foreground."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    inside: NDArray[np.bool_]


class ConformalIQT(ModelWrapper):
    """Give the enhancement of any model intervals that are calibrated on held-out subjects.

    The interval of a voxel is the prediction plus or minus a factor times the standard deviation
    that ``predict(..., return_std=True)`` of the model returns. :meth:`conformalize` finds the
    factor on subjects that the model was not trained on.

    **What the intervals promise.** Take a new subject, who is scanned and treated in the same way
    as the calibration subjects. With a probability of at least `subject_level`, the intervals
    contain the truth in at least the fraction `confidence_level` of the voxels of the foreground of
    this subject. The probability includes the chance in the choice of the calibration subjects.

    **What they do not promise.** They say nothing about a particular voxel, region or lesion: the
    voxels outside of their intervals can all be in one place, such as a lesion. They say nothing
    about subjects or scans of another kind.

    A scan that differs from the calibration scans gets wider intervals, and if it differs too much,
    an error says so and why. What is compared is what can be measured without the truth, such as
    contrast, noise and patches. A difference that these numbers do not show is not noticed.

    Voxels of one subject depend on each other, so the subject is the unit that counts. With n
    calibration subjects, `subject_level` can be at most n / (n + 1): 4 subjects allow 0.8, and 9
    allow 0.9.

    Parameters
    ----------
    estimator : estimator
        Estimator of this package, or a pipeline that ends with one. To calibrate a model that is
        fitted already, pass ``FrozenEstimator(model)``; ``fit`` is then not needed. To enhance
        scans of any grid, put the calibrated model into :class:`AnyGridIQT`, and not the other way
        round.
    confidence_level : float in (0, 1), default=0.9
        Fraction of the voxels of a subject that the intervals contain, rounded up to a multiple of
        0.001. It can be changed after the calibration, up to 0.999.
    subject_level : float in (0, 1), default=0.8
        Probability that this holds for a new subject. It can be changed after the calibration.
    max_distance : float or None, default=4.0
        Largest :meth:`scan_distance` of a scan that gets intervals, in standard deviations between
        subjects. With None, only scans that cannot be compared at all are refused.
    cv : int or cross-validation splitter, default=5
        Folds of :meth:`fit_conformalize`. A number is at most the number of subjects.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    factors_ : ndarray of shape (n_subjects, 999)
        For each calibration subject, the factors for which the intervals contain the truth in 0.001
        to 0.999 of the voxels.
    calibration_scans_ : dict of str to ndarray of float64
        What the calibration scans are like, which other scans are compared with.
    n_features_in_ : int
        Length of an input row of the model.

    See Also
    --------
    AnyGridIQT : Use a model on scans of any voxel size and orientation.

    Notes
    -----
    The score of a subject is the smallest factor for which the intervals contain the truth in the
    fraction `confidence_level` of its voxels. The factor of a new scan is the
    ceil((n + 1) * subject_level)-th smallest of the n scores, as in split-conformal prediction
    [1]_. If subjects are exchangeable, the score of a new subject is at most as large with a
    probability of at least `subject_level`. Subjects instead of voxels as units follow [2]_.

    The foreground is the mask that was passed. By default it is the voxels at or above the mean of
    the low scan, with holes filled. There, standard deviations below their root mean square are
    raised to it, because methods are often wrong where their parts agree. On two training subjects
    that the models had not seen, this made the intervals for 90 % shorter by 18 to 32 % for ridge
    regression and interpolation and by 1 to 5 % for coupled dictionaries, and changed them by 3 %
    at most for a forest. Outside of the foreground, the same factor is used without a promise.

    The factor of a scan is multiplied by its distance divided by 2 if the distance is above 2. No
    calibration scan was that far from the others in scans of one study, so that this has no effect
    on most scans like these. It can only make intervals longer, and so keeps the promise. The
    probability `subject_level` then includes subjects whose intervals are refused.

    The methods have the names that MAPIE uses. Its regressors are made for one output and for rows
    that are exchangeable, which voxels of a subject are not, so they cannot be used here.

    References
    ----------
    .. [1] J. Lei et al., "Distribution-free predictive inference for regression", Journal of the
       American Statistical Association 113 (2018).
    .. [2] R. Dunn, L. Wasserman and A. Ramdas, "Distribution-free prediction sets for two-layer
       hierarchical models", Journal of the American Statistical Association 118 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import ConformalIQT, PatchwiseRegressor
    >>> rng = np.random.default_rng(0)
    >>> high = rng.random((8, 16, 16, 16)) + 1
    >>> low = high.reshape(8, 16, 16, 4, 4).mean(axis=-1)
    >>> model = ConformalIQT(PatchwiseRegressor(random_state=0), confidence_level=0.9)
    >>> model = model.fit(low[:3], high[:3]).conformalize(low[3:7], high[3:7])
    >>> prediction, lower, upper = model.predict_interval(low[7:])
    >>> inside = (lower <= high[7:]) & (high[7:] <= upper)
    >>> bool(inside.mean() > 0.85)
    True
    """

    __metadata_request__conformalize = {"mask": True}
    __metadata_request__predict_interval = {"mask": True}
    __metadata_request__scan_distance = {"mask": True}

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "subject_level": [Interval(Real, 0, 1, closed="neither")],
        "max_distance": [Interval(Real, 0, None, closed="neither"), None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split"])],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        confidence_level: float = 0.9,
        subject_level: float = 0.8,
        max_distance: float | None = 4.0,
        cv: Any = 5,
    ) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.subject_level = subject_level
        self.max_distance = max_distance
        self.cv = cv

    def fit(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Fit the model on pairs, without a calibration.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low-quality volumes or rows, see the ``fit`` of the model.
        y : same kind as X, default=None
            High-quality volumes or rows.
        mask : sequence of volumes, default=None
            Foreground of each low volume.

        Returns
        -------
        object
            The fitted estimator. An earlier calibration is removed.
        """
        for name in ("factors_", "calibration_scans_"):
            self.__dict__.pop(name, None)
        return super().fit(X, y, mask=mask)

    def conformalize(self, X: Any, y: Any, *, groups: Any = None, mask: Any = None) -> Any:
        """Calibrate the intervals on subjects that the model was not trained on.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            Low-quality volumes.
        y : same kind as X
            Their high-quality volumes.
        groups : array-like of shape (n,), default=None
            Subject of each volume. A subject with several volumes counts once, with the largest
            factor. By default each volume is of another subject.
        mask : sequence of volumes, default=None
            Foreground of each low volume.

        Returns
        -------
        object
            The calibrated estimator.

        Raises
        ------
        ValueError
            If there are too few subjects for `subject_level`, a volume is not finite, or the
            standard deviation of a prediction is zero everywhere.
        GeometryMismatchError
            If the high volumes are not on the grid of the predictions.
        """
        check_is_fitted(self)
        cohort = self._cohort(X, y, mask)
        groups = _check_groups(groups, len(cohort), type(self).__name__)
        self.check_levels(len(np.unique(groups)))
        factors = _by_subject(list(self._factors(cohort)), groups)
        self.calibration_scans_ = describe_scans(self._seen_by_enhancer(cohort))
        self.factors_ = factors
        return self

    def fit_conformalize(self, X: Any, y: Any, *, groups: Any = None, mask: Any = None) -> Any:
        """Fit and calibrate on the same subjects by cross-validation, if subjects are few.

        Each subject is predicted by a model that was trained on the other folds. The model that is
        kept is trained on all subjects.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            Low-quality volumes.
        y : same kind as X
            Their high-quality volumes.
        groups : array-like of shape (n,), default=None
            Subject of each volume. All volumes of a subject are in the same fold.
        mask : sequence of volumes, default=None
            Foreground of each low volume.

        Returns
        -------
        object
            The fitted and calibrated estimator.

        Raises
        ------
        ValueError
            See :meth:`conformalize`.

        Notes
        -----
        The promise of the class then holds only approximately. The model that is kept has learned
        from more subjects than the models of the folds, so that the intervals are usually a little
        too wide.
        """
        name = type(self).__name__
        if is_rows(X):
            raise ValueError(f"{name}: intervals are for volumes, but X holds rows.")
        if isinstance(self.estimator, FrozenEstimator):
            raise ValueError(
                f"{name}: a FrozenEstimator cannot be fitted again without the subjects of a fold. "
                "Pass an estimator that can, or call conformalize with other subjects."
            )
        together = None if groups is None else np.asarray(groups)
        groups = _check_groups(groups, len(X), name)
        n_subjects = len(np.unique(groups))
        self.check_levels(n_subjects)
        cv = self.cv
        if isinstance(cv, Integral):
            n_folds = min(int(cv), n_subjects)
            cv = KFold(n_folds) if together is None else GroupKFold(n_folds)
        factors: list[Any] = [None] * len(X)
        for train, test in cv.split(np.arange(len(X)), groups=together):
            learn, calibrate = (
                [None if v is None else _safe_indexing(v, part) for v in (X, y, mask)]
                for part in (train, test)
            )
            fold = clone(self).fit(learn[0], learn[1], mask=learn[2])
            for n, found in zip(test, fold._factors(fold._cohort(*calibrate)), strict=True):
                factors[n] = found
        if any(found is None for found in factors):
            raise ValueError(f"{name}: cv must put each volume into a test part once, got {cv!r}.")
        self.fit(X, y, mask=mask)
        self.calibration_scans_ = describe_scans(self._seen_by_enhancer(self._cohort(X, y, mask)))
        self.factors_ = _by_subject(factors, groups)
        return self

    def predict(self, X: Any, *, mask: Any = None, return_std: bool = False) -> Any:
        """Enhance volumes or rows, as the model does.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Volumes in any unit of intensity, or rows of input patches.
        mask : sequence of volumes, default=None
            Foreground of each volume, which is where the mask is positive.
        return_std : bool, default=False
            Whether to return the standard deviation of the model, which is not calibrated.

        Returns
        -------
        prediction : ndarray
            Volumes or rows, see the ``predict`` of the model.
        std : same kind as the prediction
            Standard deviation of each voxel; only with ``return_std``.
        """
        check_is_fitted(self)
        options = given(mask=mask, return_std=return_std or None)
        with route_mask(mask):
            return self._fitted_estimator().predict(X, **options)

    def predict_interval(self, X: Any, *, mask: Any = None) -> Any:
        """Enhance volumes, and return the interval of each voxel.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            Volumes in any unit of intensity.
        mask : sequence of volumes, default=None
            Foreground of each volume. Pass masks if, and only if, the calibration had masks.

        Returns
        -------
        prediction, lower, upper : ndarray
            Enhanced volumes and the ends of the intervals, in containers of the kind that the user
            passed and in the units of ``X``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not calibrated.
        ValueError
            If `subject_level` or `confidence_level` is too high for the calibration, or the
            standard deviation of a prediction is zero everywhere.
        IntervalRefusedError
            If a scan is further from the calibration scans than `max_distance`.
        """
        factor = self.factor()
        cohort = self._cohort(X, None, mask)
        outputs = []
        for n, farthest in enumerate(self._compare(cohort)):
            distance = 0.0 if farthest is None else farthest.distance
            if farthest is not None and not distance <= (self.max_distance or _FINITE):
                raise IntervalRefusedError(
                    f"{cohort.caller}: there are no intervals for {cohort.low.name_of(n)}, because "
                    f"{_describe(farthest)}. predict enhances it without intervals. With "
                    "max_distance=None, scans that can be measured get wider intervals."
                )
            mean, std, _ = self._spread(cohort, n)
            half = np.float32(factor * max(1.0, distance / TOLERATED)) * std
            outputs.append((mean, mean - half, mean + half))
        enhancer = enhancer_of(self, type(self).__name__)
        grid: dict[str, Any] = {"zoom": enhancer.scale_, "alignment": enhancer.alignment}
        return tuple(cohort.low.wrap(part, **grid) for part in zip(*outputs, strict=True))

    def scan_distance(self, X: Any, *, mask: Any = None) -> NDArray[np.float64]:
        """Return how far scans are from the calibration scans.

        Parameters
        ----------
        X : array of shape (n, i, j, k), or sequence of volumes
            Low-quality volumes.
        mask : sequence of volumes, default=None
            Foreground of each volume.

        Returns
        -------
        ndarray of shape (n,), float64
            Difference from the mean of the calibration scans, in standard deviations between
            subjects, in the property that differs most. Infinite if a property can be measured in
            the calibration scans and not in a scan. 0 if nothing can be compared.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not calibrated.
        """
        self._check_calibrated()
        found = self._compare(self._cohort(X, None, mask))
        return np.array([0.0 if one is None else one.distance for one in found])

    def factor(self) -> float:
        """Return the factor by which standard deviations are multiplied.

        Returns
        -------
        float
            Half the length of an interval, in standard deviations, for a scan that is like the
            calibration scans.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not calibrated.
        ValueError
            If a level is too high for the calibration.
        """
        self._check_calibrated()
        fraction, rank = self.check_levels(len(self.factors_))
        return float(np.sort(self.factors_[:, fraction - 1])[rank - 1])

    def check_levels(self, n_subjects: int) -> tuple[int, int]:
        """Check whether a calibration allows the levels, before any volume is read.

        Parameters
        ----------
        n_subjects : int
            Number of calibration subjects.

        Returns
        -------
        fraction : int
            Fraction of the voxels, in thousandths.
        rank : int
            Which of the sorted scores of the subjects is the factor; the smallest is 1.

        Raises
        ------
        ValueError
            If `subject_level` needs more subjects, or `confidence_level` is above 0.999.
        """
        self._validate_params()
        name = type(self).__name__
        fraction = math.ceil((N_FRACTIONS + 1) * self.confidence_level - _ROUNDING)
        if fraction > N_FRACTIONS:
            raise ValueError(
                f"{name}: confidence_level must be at most {N_FRACTIONS / (N_FRACTIONS + 1)}, got "
                f"{self.confidence_level}."
            )
        rank = math.ceil((n_subjects + 1) * self.subject_level - _ROUNDING)
        if rank <= n_subjects:
            return fraction, rank
        needed = math.ceil(self.subject_level / (1 - self.subject_level) - _ROUNDING)
        raise ValueError(
            f"{name}: subject_level={self.subject_level:g} needs at least {needed} calibration "
            f"subjects, got {n_subjects}, which allow {n_subjects / (n_subjects + 1):.3f} at most. "
            "Pass more subjects or lower subject_level. fit_conformalize calibrates on the "
            "training subjects by cross-validation, if these are more."
        )

    def _check_calibrated(self) -> None:
        check_is_fitted(self)
        if not hasattr(self, "factors_"):
            raise NotFittedError(
                f"{type(self).__name__} is not calibrated. Call conformalize with pairs of "
                "subjects that the model was not trained on, or fit_conformalize."
            )

    def _seen_by_enhancer(self, cohort: Cohort) -> Cohort:
        """Return the low volumes after the scalers of a pipeline, which may correct differences.

        All have the voxel size of the training, because AnyGridIQT passes arrays.
        """
        model = self._fitted_estimator()
        while isinstance(model, FrozenEstimator):
            model = model.estimator
        low = cohort.low
        if isinstance(model, Pipeline) and len(model) > 1:
            with route_mask(cohort.masks):
                low = model[:-1].transform(low, **given(mask=cohort.masks))
        volumes = list(Cohort(low, caller=cohort.caller).low)
        spacing = enhancer_of(self, cohort.caller).spacing_
        if spacing is not None:
            affine = np.diag([*spacing, 1.0])
            volumes = [nibabel.Nifti1Image(volume, affine) for volume in volumes]
        masks = None if cohort.masks is None else list(cohort.masks)
        return Cohort(volumes, mask=masks, caller=cohort.caller)

    def _compare(self, cohort: Cohort) -> Iterator[Difference | None]:
        """Yield the property in which each scan differs most from the calibration scans."""
        for n in range(len(cohort)):
            part = slice(n, n + 1)
            masks = None if cohort.masks is None else cohort.masks[part]
            alone = Cohort(cohort.low[part], mask=masks, caller=cohort.caller)
            pair = self._seen_by_enhancer(alone).read(0)
            found = compare_scan(pair, self.calibration_scans_)
            serious = [one for one in found if FEATURES[one.name].refuses]
            yield max(serious, key=lambda one: one.distance, default=None)

    def _cohort(self, X: Any, y: Any, mask: Any) -> Cohort:
        name = type(self).__name__
        if is_rows(X):
            raise ValueError(f"{name}: intervals are for volumes, but X holds rows.")
        enhancer = enhancer_of(self, name)
        return Cohort(X, y, mask, scale=enhancer.scale_, alignment=enhancer.alignment, caller=name)

    def _spread(self, cohort: Cohort, n: int) -> _Spread:
        """Enhance one scan, with the widths that the factor multiplies."""
        part = slice(n, n + 1)
        mean, std = self.predict(
            cohort.low[part],
            mask=None if cohort.masks is None else cohort.masks[part],
            return_std=True,
        )
        (mean,), (std,) = Cohort(mean, caller=cohort.caller).low, Cohort(std).low
        pair = cohort.read(n)
        inside = cohort.on_high(foreground_mask(pair.low) if pair.mask is None else pair.mask)
        if mean.shape != inside.shape:
            raise GeometryMismatchError(
                f"{cohort.caller}: the model returns volumes of shape {mean.shape}, where its "
                f"scale gives {inside.shape}. Put ConformalIQT into AnyGridIQT, and not AnyGridIQT "
                "into ConformalIQT."
            )
        std = raise_small(std, inside)
        if not std[inside].any():
            raise ValueError(
                f"{cohort.caller}: the standard deviation of the prediction of "
                f"{cohort.low.name_of(n)} is zero everywhere in the foreground, so that it says "
                "nothing about the error. Check for a scan without noise or an empty scan."
            )
        return _Spread(mean, std, inside)

    def _factors(self, cohort: Cohort) -> Iterator[NDArray[np.float64]]:
        """Yield the factors of each scan, for 0.001 to 0.999 of its voxels."""
        for n in range(len(cohort)):
            mean, std, inside = self._spread(cohort, n)
            high = cohort.read(n).high
            needed = np.sort(np.abs(high[inside] - mean[inside]) / std[inside])
            # The rank of the smallest factor that is large enough for a fraction of the voxels.
            counts = np.arange(1, N_FRACTIONS + 1) * len(needed)
            yield needed[-(-counts // (N_FRACTIONS + 1)) - 1].astype(np.float64)


def raise_small(std: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Raise standard deviations in the foreground to at least their root mean square there.

    Parameters
    ----------
    std : ndarray of float32
        Standard deviations.
    inside : ndarray of bool, the same shape
        Foreground.

    Returns
    -------
    ndarray of float32
        Widths of intervals for a factor of one.
    """
    typical = np.float32(np.sqrt(np.mean(np.square(std[inside], dtype=np.float64))))
    return np.where(inside, np.maximum(std, typical), std)


def _describe(one: Difference) -> str:
    """Return how a scan differs from the calibration scans."""
    feature = FEATURES[one.name]
    if one.value is None:
        return f"the {feature.words} cannot be measured in it, unlike in the calibration scans"
    first, last = map(feature.show, one.learned)
    return (
        f"the {feature.words} is {feature.show(one.value)}, but {first} to {last} in the "
        f"calibration scans, which is a distance of {one.distance:.1f}"
    )


def _check_groups(groups: Any, n_volumes: int, caller: str) -> NDArray:
    """Return the subject of each volume."""
    groups = np.arange(n_volumes) if groups is None else np.asarray(groups)
    if groups.shape != (n_volumes,):
        raise ValueError(
            f"{caller}: groups must have one subject for each of the {n_volumes} volumes, got "
            f"shape {groups.shape}."
        )
    return groups


def _by_subject(factors: list[NDArray[np.float64]], groups: NDArray) -> NDArray[np.float64]:
    """Return the largest factors of each subject."""
    stacked = np.array(factors)
    return np.array([stacked[groups == subject].max(axis=0) for subject in np.unique(groups)])
