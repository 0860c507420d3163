"""Standardise the intensities of volumes by percentiles or by Nyul's landmarks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt._fitted_params import remember_params
from sklearn_iqt.io import Cohort
from sklearn_iqt.preprocessing._foreground import foreground_mask

__all__ = ["NyulScaler", "PercentileScaler"]


class Scan(NamedTuple):
    """A volume with its foreground.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        The volume.
    inside : ndarray of bool, shape (i, j, k)
        Its foreground.
    masked : bool
        Whether the user passed the foreground.
    name : str
        Name of the scaler and of the volume in messages.
    """

    volume: NDArray
    inside: NDArray[np.bool_]
    masked: bool
    name: str

    @property
    def foreground(self) -> NDArray:
        """Intensities of the foreground."""
        return self.volume[self.inside]


class IntensityScaler(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Scale each volume by statistics of its foreground."""

    # With metadata routing, one mask reaches all steps of a pipeline.
    __metadata_request__fit = {"mask": True}
    __metadata_request__transform = {"mask": True}

    # Scalers that were pickled by older versions do not have this attribute.
    verbose: int = 0

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Learn from the foreground of the training volumes.

        Parameters
        ----------
        X : array of shape (n_volumes, i, j, k) or sequence of volumes
            Arrays, nibabel images or paths.
        y : None
            Ignored.
        mask : sequence of volumes, default=None
            Voxels above zero are the foreground. By default the foreground is the voxels at or
            above the mean of their volume.

        Returns
        -------
        object
            The fitted scaler.

        Raises
        ------
        ValueError
            If a volume is not finite, or its foreground is empty or constant.
        """
        self._check_parameters()
        self._fit_volumes(self._scans(self._cohort(X, mask)))
        self.masked_ = mask is not None
        remember_params(self)
        return self

    def transform(self, X: Any, *, mask: Any = None) -> Any:
        """Scale each volume.

        Parameters
        ----------
        X : array of shape (n_volumes, i, j, k) or sequence of volumes
            Arrays, nibabel images or paths.
        mask : sequence of volumes, default=None
            Voxels above zero are the foreground, which sets the scale. All voxels are transformed.

        Returns
        -------
        ndarray
            Scaled volumes: a 4-D array for a 4-D array, otherwise a 1-D object array of arrays, or
            of images for images and paths. For :class:`~sklearn_iqt.simulation.SimulatedScans` it
            is a collection that scales each draw when it is read.

        Raises
        ------
        ValueError
            If a volume is not finite, or its foreground is empty or constant.
        """
        check_is_fitted(self)
        self._check_parameters()
        self._warn_of_other_foreground(mask)
        cohort = self._cohort(X, mask)
        if cohort.low.redraws:
            return cohort.low.scaled_by(self, cohort.masks)
        return cohort.low.wrap(
            self._scale(scan).astype(scan.volume.dtype, copy=False) for scan in self._scans(cohort)
        )

    def fit_transform(self, X: Any, y: Any = None, *, mask: Any = None) -> Any:
        """Fit the scaler to volumes, then scale them.

        Parameters
        ----------
        X : array of shape (n_volumes, i, j, k) or sequence of volumes
            Arrays, nibabel images or paths.
        y : None
            Ignored.
        mask : sequence of volumes, default=None
            Voxels above zero are the foreground. By default the foreground is the voxels at or
            above the mean of their volume.

        Returns
        -------
        ndarray
            Scaled volumes, as from :meth:`transform`.
        """
        return self.fit(X, mask=mask).transform(X, mask=mask)

    def set_output(self, *, transform: str | None = None) -> Any:
        """Accept the setting that a pipeline passes to all steps, without any effect.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored, because volumes are not tables.

        Returns
        -------
        object
            The scaler.

        Raises
        ------
        ValueError
            If the container is unknown.
        """
        if transform not in ("default", "pandas", "polars", None):
            raise ValueError(
                f"{type(self).__name__}.set_output: transform must be 'default', 'pandas', "
                f"'polars' or None, got {transform!r}."
            )
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _warn_of_other_foreground(self, mask: Any) -> None:
        """Warn if masks were passed to only one of ``fit`` and ``transform``."""
        masked = getattr(self, "masked_", mask is not None)  # some scalers need no fit
        if masked == (mask is not None):
            return
        how = ("with masks", "without masks")
        fitted, transforms = how if masked else how[::-1]
        warnings.warn(
            f"{type(self).__name__} was fitted {fitted} and transforms volumes {transforms}, so "
            "that their foregrounds differ. Pass masks to both or to neither. In a pipeline, "
            "sklearn.set_config(enable_metadata_routing=True) passes the mask of fit and predict "
            "to all steps; without it, the mask of predict reaches only the last step.",
            UserWarning,
            stacklevel=3,
        )

    def _check_parameters(self) -> None:
        """Check that the parameters fit together."""

    def _fit_volumes(self, scans: Iterator[Scan]) -> None:
        raise NotImplementedError

    def _scale(self, scan: Scan) -> NDArray:
        raise NotImplementedError

    def _cohort(self, X: Any, mask: Any) -> Cohort:
        return Cohort(X, mask=mask, caller=type(self).__name__)

    def _scans(self, cohort: Cohort) -> Iterator[Scan]:
        """Yield each volume with its foreground and its name for messages."""
        title = type(self).__name__
        for index, pair in enumerate(tqdm(cohort, desc=title, disable=not self.verbose)):
            name = f"{title}: {cohort.low.name_of(index)}"
            if pair.mask is None and pair.low.min() == pair.low.max():
                raise ValueError(
                    f"{name} has no foreground, because it is constant. Leave it out, or pass a "
                    "mask."
                )
            inside = pair.mask
            if inside is None:
                inside = foreground_mask(pair.low, fill_holes=False)
            yield Scan(pair.low, inside, pair.mask is not None, name)


class PercentileScaler(IntensityScaler):
    """Scale each volume by percentiles of its foreground.

    Nothing is learned. Each volume is scaled linearly and independently of other volumes, so that
    a gain on a volume has no effect on the result.

    Parameters
    ----------
    lower : float in [0, 100), default=None
        Percentile that is mapped to the lower end of `output_range`. By default intensity 0 is
        mapped to it, so that the background stays at this end and ratios of intensities are kept.
    upper : float in (0, 100], default=99.5
        Percentile that is mapped to the upper end of `output_range`.
    output_range : tuple of two floats, default=(0, 1)
        Intensities to which the two ends are mapped.
    clip : bool, default=False
        Whether to clip intensities to `output_range`.
    verbose : int, default=0
        Whether to show progress.

    See Also
    --------
    NyulScaler : Match whole histograms instead of two percentiles.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.preprocessing import PercentileScaler
    >>> volume = np.arange(27.0).reshape(3, 3, 3)
    >>> scaled = PercentileScaler(upper=100).fit_transform([volume])[0]
    >>> float(scaled.min()), float(scaled.max())
    (0.0, 1.0)
    """

    _parameter_constraints: dict = {
        "lower": [Interval(Real, 0, 100, closed="left"), None],
        "upper": [Interval(Real, 0, 100, closed="right")],
        "output_range": [tuple, list],
        "clip": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        lower: float | None = None,
        upper: float = 99.5,
        *,
        output_range: tuple[float, float] = (0, 1),
        clip: bool = False,
        verbose: int = 0,
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.output_range = output_range
        self.clip = clip
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _check_parameters(self) -> None:
        _check_increasing(self.output_range, 2, "PercentileScaler: output_range")
        if self.lower is not None and self.lower >= self.upper:
            raise ValueError(
                f"PercentileScaler: lower={self.lower} must be below upper={self.upper}."
            )

    def _fit_volumes(self, scans: Iterator[Scan]) -> None:
        for scan in scans:
            self._ends(scan.foreground, scan.name)

    def _scale(self, scan: Scan) -> NDArray:
        bottom, top = self._ends(scan.foreground, scan.name)
        low, high = self.output_range
        scaled = (scan.volume - bottom) * ((high - low) / (top - bottom)) + low
        return np.clip(scaled, low, high, out=scaled) if self.clip else scaled

    def _ends(self, foreground: NDArray, name: str) -> tuple[float, float]:
        top = float(np.percentile(foreground, self.upper))
        bottom = 0.0 if self.lower is None else float(np.percentile(foreground, self.lower))
        if not top > bottom:
            raise ValueError(
                f"{name}: the foreground has no range to scale by, from {bottom:g} to {top:g}. "
                "Check for a constant or negative volume, or set lower and upper further apart."
            )
        return bottom, top


class NyulScaler(IntensityScaler):
    """Match the histograms of volumes to a standard histogram, learned from training volumes.

    Parameters
    ----------
    percentiles : sequence of floats, default=(1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
        Increasing percentiles of the foreground, which are the landmarks.
    output_range : tuple of two floats, default=(1, 100)
        Standard intensities of the first and last landmark. The range starts above 0, which is the
        background of a skull-stripped scan, so that no landmark is mapped to the background.
    keep_units : bool, default=False
        Whether to keep intensity 0 and the first and last landmark of a volume, and change only
        intensities between them. Set it in a pipeline with an IQT estimator: predictions are in the
        units of the input, and standard units cannot be converted back.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    landmarks_ : ndarray of shape (n_percentiles,)
        Standard intensities of the landmarks.
    masked_ : bool
        Whether masks were passed to ``fit``. If :meth:`transform` differs, it warns.

    See Also
    --------
    PercentileScaler : Scale by two percentiles, without learning.
    TissueScaler : Match the intensities of tissues instead of percentiles.

    Notes
    -----
    The landmarks of each training volume are mapped linearly, so that the first and last are the
    ends of `output_range`, and then averaged over volumes. A volume is transformed by the piecewise
    linear map from its own landmarks to the standard landmarks, and its outer pieces continue
    beyond them [1]_, [2]_. If landmarks of a volume coincide, their standard intensities are
    averaged. A linear change of intensity with positive gain does not change the result (with
    ``keep_units`` a gain is kept).

    References
    ----------
    .. [1] L. G. Nyul and J. K. Udupa, "On standardizing the MR image intensity scale", Magn.
       Reson. Med. 42 (1999).
    .. [2] L. G. Nyul, J. K. Udupa and X. Zhang, "New variants of a method of MRI scale
       standardization", IEEE Trans. Med. Imaging 19 (2000).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.preprocessing import NyulScaler
    >>> volume = np.random.default_rng(0).random((8, 8, 8))
    >>> scaled = NyulScaler().fit_transform([volume, 50 * volume + 3])
    >>> bool(np.allclose(scaled[0], scaled[1]))
    True
    """

    _parameter_constraints: dict = {
        "percentiles": ["array-like"],
        "output_range": [tuple, list],
        "keep_units": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        percentiles: tuple[float, ...] = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99),
        *,
        output_range: tuple[float, float] = (1, 100),
        keep_units: bool = False,
        verbose: int = 0,
    ) -> None:
        self.percentiles = percentiles
        self.output_range = output_range
        self.keep_units = keep_units
        self.verbose = verbose

    def _check_parameters(self) -> None:
        _check_increasing(self.output_range, 2, "NyulScaler: output_range")
        percentiles = _check_increasing(self.percentiles, None, "NyulScaler: percentiles")
        if percentiles[0] < 0 or percentiles[-1] > 100:
            raise ValueError(f"NyulScaler: percentiles must lie in [0, 100], got {percentiles}.")

    def _fit_volumes(self, scans: Iterator[Scan]) -> None:
        low, high = self.output_range
        standardized = []
        for scan in scans:
            own = self._own_landmarks(scan.foreground, scan.name)
            standardized.append((own - own[0]) * ((high - low) / (own[-1] - own[0])) + low)
        self.landmarks_ = np.mean(standardized, axis=0)

    def _scale(self, scan: Scan) -> NDArray:
        landmarks = self._own_landmarks(scan.foreground, scan.name)
        own, group = np.unique(landmarks, return_inverse=True)
        standard = np.bincount(group, self.landmarks_) / np.bincount(group)
        if self.keep_units:
            low, high = self.output_range
            gain = (own[-1] - own[0]) / (high - low)
            standard = own[0] + gain * (standard - low)
            # Intensity 0, the background, is kept as well.
            if own[0] > 0:
                own, standard = np.append(0, own), np.append(0, standard)
        return piecewise_linear(scan.volume, own, standard)

    def _own_landmarks(self, foreground: NDArray, name: str) -> NDArray[np.float64]:
        own = np.percentile(foreground.astype(np.float64, copy=False), self.percentiles)
        if not own[-1] > own[0]:
            raise ValueError(
                f"{name}: the landmarks all have the intensity {own[0]:g}. Check for a constant "
                "volume or a mask of one tissue."
            )
        return own


def piecewise_linear(volume: NDArray, landmarks: Any, targets: Any) -> NDArray:
    """Map landmarks to targets, linearly between and beyond them.

    Parameters
    ----------
    volume : ndarray
        Intensities.
    landmarks, targets : sequences of floats, the landmarks increasing
        Points of the map.

    Returns
    -------
    ndarray of float64, shape of `volume`
        Mapped intensities.
    """
    mapped = np.interp(volume, landmarks, targets)
    for outer, inner, beyond in ((0, 1, volume < landmarks[0]), (-1, -2, volume > landmarks[-1])):
        slope = (targets[outer] - targets[inner]) / (landmarks[outer] - landmarks[inner])
        mapped[beyond] = targets[outer] + slope * (volume[beyond] - landmarks[outer])
    return mapped


def _check_increasing(numbers: Any, length: int | None, name: str) -> list[float]:
    try:
        checked = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        checked = np.empty(0)
    right_length = checked.ndim == 1 and (
        checked.size == length or (not length and checked.size > 1)
    )
    if not (right_length and np.isfinite(checked).all() and (np.diff(checked) > 0).all()):
        raise ValueError(
            f"{name} must be {length or 'at least two'} increasing finite numbers, got {numbers!r}."
        )
    return checked.tolist()
