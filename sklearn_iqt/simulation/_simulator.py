"""Stochastic simulator of low-field scans, from high volumes and their tissue maps."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from tqdm.auto import tqdm

from sklearn_iqt._axes import ALIGNMENTS, per_axis
from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort
from sklearn_iqt.simulation._degrade import degrade
from sklearn_iqt.simulation._maps import BORDER_WIDTH, read_maps
from sklearn_iqt.simulation._presets import get_snr, mahalanobis_distance
from sklearn_iqt.simulation._snr import check_snr

# Fraction of a tissue above which a low voxel counts as pure.
_PURE = 0.9
_CALLER = "LowFieldSimulator.simulate"


class LowFieldSimulator(DocLinkMixin, BaseEstimator):
    """
    Simulate low-field scans with thick slices from high-quality volumes.

    A volume and its tissue maps are blurred by the slice profile and sampled at low voxels. A pair
    of signal-to-noise ratios is drawn, which sets the contrast of grey and white matter and the
    noise of the volume [1]_.

    Parameters
    ----------
    snr : str or object with a `sample` method, default="t1w_036t"
        Distribution of (SNR_WM, SNR_GM), or its name: see `get_snr`.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High voxels in a low voxel, along each axis.
    thickness : float or tuple of three floats, default=3
        Full width at half maximum of the slice profile, in high voxels, at least 1. One number is
        used for all axes with a scale above 1; a tuple has a number for each axis. A thickness of 1
        is one high voxel, without blur.
    gap : float or tuple of three floats, default=1
        Gap between slices in high voxels, at least 0. Thickness and gap must add up to the scale.
    alignment : {"center", "corner"}, default="center"
        Position of a low voxel: in the centre of its block of `scale` high voxels, or on the first
        voxel of the block as in [1]_.
    noise : {"gaussian", "rician"} or None, default="gaussian"
        Kind of noise: additive Gaussian noise as in [1]_ (negative values occur), the Rician noise
        of a magnitude image, or no noise.
    reference_tissue : {"gm", "wm"}, default="gm"
        Tissue that keeps its intensity, while the other tissue is scaled to the drawn contrast.
    border_width : float, default=1.5
        Width of the border between tissues if a label map is given: full width at half maximum in
        high voxels, see :func:`tissue_maps_from_labels`. Soft maps are not changed. The simulator
        of [1]_ takes the soft maps of SPM.
    mask_target : bool, default=True
        Whether to multiply the returned high volume by the sum of the tissue maps, as is always
        done for the low volume. By default a model is therefore not trained to predict structures
        outside the brain, which its input does not show. With False the high volume is only
        cropped.
    random_state : int, RandomState instance or None, default=None
        Source of the ratios and of the noise. The result for volume number i depends only on the
        seed and on i, not on the other volumes.
    verbose : int, default=0
        Whether to show progress.

    Notes
    -----
    For each volume I with maps P, in this order:

    1. I and P are blurred by a Gaussian, FWHM = thickness, along axes with a scale above 1.
    2. All are sampled by a cubic spline at the centres of the low voxels. Blur and sampling are
       linear and separable, so that they are applied as one matrix for each axis.
    3. mean_GM and mean_WM are the means over the low voxels where the map of the tissue exceeds
       0.9. With GM as the reference, sigma = mean_GM / SNR_GM and
       ``I' = (P_GM + SNR_WM * sigma / mean_WM * P_WM + P_CSF) * I``. CSF is unchanged, and voxels
       outside the three tissues become 0. With WM as the reference, the two tissues swap roles.
    4. Noise with standard deviation sigma is added everywhere.

    The high volume is cropped at the far end to a whole number of blocks.

    References
    ----------
    .. [1] H. Lin et al., "Low-field magnetic resonance image enhancement via stochastic image
       quality transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import LowFieldSimulator
    >>> labels = np.ones((2, 8, 8, 16), dtype=np.uint8)
    >>> labels[:, 2:] = 2
    >>> labels[:, 5:] = 3
    >>> high = np.array([0, 50, 100, 150], dtype=np.float32)[labels]
    >>> pairs = LowFieldSimulator("ind1", random_state=0).simulate(high, labels)
    >>> pairs.low.shape, pairs.high.shape, pairs.snr.shape
    ((2, 8, 8, 4), (2, 8, 8, 16), (2, 2))
    """

    _parameter_constraints: dict = {
        "snr": [str, HasMethods("sample")],
        "scale": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "thickness": [Interval(Real, 1, None, closed="left"), "array-like"],
        "gap": [Interval(Real, 0, None, closed="left"), "array-like"],
        "alignment": [StrOptions(set(ALIGNMENTS))],
        "noise": [StrOptions({"gaussian", "rician"}), None],
        "reference_tissue": [StrOptions({"gm", "wm"})],
        "border_width": [Interval(Real, 0, None, closed="left")],
        "mask_target": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        snr: Any = "t1w_036t",
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        thickness: float | tuple[float, float, float] = 3,
        gap: float | tuple[float, float, float] = 1,
        alignment: str = "center",
        noise: str | None = "gaussian",
        reference_tissue: str = "gm",
        border_width: float = BORDER_WIDTH,
        mask_target: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.snr = snr
        self.scale = scale
        self.thickness = thickness
        self.gap = gap
        self.alignment = alignment
        self.noise = noise
        self.reference_tissue = reference_tissue
        self.border_width = border_width
        self.mask_target = mask_target
        self.random_state = random_state
        self.verbose = verbose

    def simulate(
        self, high: Any, tissues: Any, snr: ArrayLike | None = None, *, mask: Any = None
    ) -> Bunch:
        """
        Simulate one low volume for each high volume.

        Parameters
        ----------
        high : array-like of shape (n, i, j, k) or sequence of volumes, images or paths
            Skull-stripped high-quality volumes; shapes may differ.
        tissues : sequence of arrays, images or paths
            For each volume, soft maps of shape (3, i, j, k) in the order CSF, GM, WM within
            [0, 1], or a label map of shape (i, j, k) with 0 for background, 1 for CSF, 2 for GM
            and 3 for WM. An image or a path must hold a label map.
        snr : array-like of shape (n, 2) or None, default=None
            The (SNR_WM, SNR_GM) of each volume, above 0. They are drawn by default. The noise
            pattern of a seed is the same in both cases.
        mask : array-like of shape (n, i, j, k) or sequence of volumes, default=None
            Brains of volumes that are not skull stripped. Before anything else, volumes and maps
            are set to 0 where the mask is not above zero.

        Returns
        -------
        sklearn.utils.Bunch
            `low` and `high`, in containers of the same kind as the input, where the shape of a high
            volume is `scale` times the shape of its low volume; `snr` of shape (n, 2); and
            `mahalanobis` of shape (n,), the distance of each pair from the Gaussian "t1w_036t".

        Raises
        ------
        GeometryMismatchError
            If volumes, maps and masks differ in number, shape or affine, or a volume has fewer
            voxels along an axis than one low voxel needs.
        ValueError
            If a parameter, an SNR or a map is out of its range, or a volume has no low voxels of
            nearly pure GM or WM, so that its contrast cannot be set.
        """
        self._validate_params()
        scale, thickness = self._geometry()
        cohort = Cohort(high, mask=mask, caller=_CALLER, names=("high", "", "mask"))
        volumes = cohort.low
        self._check_count(tissues, len(volumes))
        pairs, noise_seeds = self._draw(len(volumes), snr)

        lows, highs = [], []
        title = type(self).__name__
        for index, entry in enumerate(tqdm(tissues, desc=title, disable=not self.verbose)):
            volume, _, inside, affine = cohort.read(index)
            maps = read_maps(
                entry,
                volume,
                affine,
                inside,
                border_width=self.border_width,
                name=f"tissues[{index}]",
                caller=_CALLER,
            )
            low, cropped = self._simulate_volume(
                volume if inside is None else volume * inside,
                maps,
                scale=scale,
                thickness=thickness,
                snr=pairs[index],
                rng=np.random.RandomState(noise_seeds[index]),
                name=f"high[{index}]",
            )
            lows.append(low)
            highs.append(cropped)
        return Bunch(
            low=volumes.wrap(lows, zoom=tuple(1 / s for s in scale), alignment=self.alignment),
            high=volumes.wrap(highs),
            snr=pairs,
            mahalanobis=mahalanobis_distance(pairs),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    @staticmethod
    def _check_count(tissues: Any, n_volumes: int) -> None:
        """Check that there is one entry of tissues for each volume."""
        if isinstance(tissues, (str, PathLike, SpatialImage)) or (
            isinstance(tissues, np.ndarray) and tissues.dtype != object and tissues.ndim < 4
        ):
            raise GeometryMismatchError(
                f"{_CALLER}: tissues is a single {type(tissues).__name__}. Pass a sequence with "
                "the label map, or the three maps, of each volume."
            )
        if len(tissues) != n_volumes:
            raise GeometryMismatchError(
                f"{_CALLER}: high holds {n_volumes} volumes, but tissues holds {len(tissues)} "
                "entries. Pass one entry for each volume."
            )

    def _geometry(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return scale and slice thickness along each axis, checked against the gap."""
        scale = np.asarray(per_axis(self.scale, "scale", "LowFieldSimulator"))
        sizes = {}
        for name, idle in (("thickness", 1.0), ("gap", 0.0)):
            given = np.asarray(getattr(self, name), dtype=np.float64)
            if given.ndim == 0:
                given = np.where(scale > 1, given, idle)
            if given.shape != (3,) or not (given >= idle).all():
                raise ValueError(
                    f"LowFieldSimulator: {name} must be a number, or three, of at least {idle:g} "
                    f"high voxels, got {getattr(self, name)!r}."
                )
            sizes[name] = given
        spacing = sizes["thickness"] + sizes["gap"]
        if not np.allclose(spacing, scale):
            axis = int(np.flatnonzero(~np.isclose(spacing, scale))[0])
            example = max(1, int(scale[axis]) - 1)
            raise ValueError(
                "LowFieldSimulator: thickness + gap must equal scale on every axis, but on axis "
                f"{axis} they are {sizes['thickness'][axis]:g} + {sizes['gap'][axis]:g} and "
                f"scale is {scale[axis]}. Set, for example, thickness={example}, "
                f"gap={scale[axis] - example} on this axis."
            )
        return tuple(scale.tolist()), tuple(sizes["thickness"].tolist())

    def _draw(
        self, n_volumes: int, snr: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
        """Return the SNR pair and the seed of the noise of each volume."""
        # Two seeds for each volume, drawn row by row, so that other volumes do not affect them.
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=(n_volumes, 2)
        )
        if snr is None:
            distribution = get_snr(self.snr)
            drawn = [distribution.sample(1, int(seed)) for seed in seeds[:, 0]]
            pairs = np.concatenate(drawn) if drawn else np.empty((0, 2))
            source = f"a draw from snr={self.snr!r}"
        else:
            pairs, source = check_snr(snr, caller=_CALLER).copy(), "snr"
        if pairs.shape != (n_volumes, 2):
            raise ValueError(
                f"{_CALLER}: snr must have shape ({n_volumes}, 2), with one pair for each volume, "
                f"got shape {pairs.shape}."
            )
        if not (pairs > 0).all():
            row = int(np.flatnonzero(~(pairs > 0).all(axis=1))[0])
            raise ValueError(
                f"{_CALLER}: SNR must be above 0, but {source} gives "
                f"{pairs[row].tolist()} for volume {row}."
            )
        return pairs, seeds[:, 1]

    def _simulate_volume(
        self,
        volume: NDArray[np.floating],
        maps: NDArray[np.floating],
        *,
        scale: tuple[int, ...],
        thickness: tuple[float, ...],
        snr: NDArray[np.float64],
        rng: np.random.RandomState,
        name: str,
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return the low volume and the cropped high volume of one subject."""
        shape = tuple(n // s for n, s in zip(volume.shape, scale, strict=True))
        if 0 in shape:
            raise GeometryMismatchError(
                f"{_CALLER}: {name} has shape {volume.shape}, but one low voxel "
                f"needs scale={scale} voxels. Pass a larger volume or a smaller scale."
            )
        low, low_maps = (
            degrade(array, scale=scale, thickness=thickness, alignment=self.alignment)
            for array in (volume, maps)
        )
        _, grey, white = low_maps
        mean_gm, mean_wm = (
            _pure_mean(low, tissue_map, tissue, name)
            for tissue_map, tissue in ((grey, "GM"), (white, "WM"))
        )
        snr_wm, snr_gm = snr
        if self.reference_tissue == "gm":
            sigma = mean_gm / snr_gm
            gain_gm, gain_wm = 1.0, snr_wm * sigma / mean_wm
        else:
            sigma = mean_wm / snr_wm
            gain_gm, gain_wm = snr_gm * sigma / mean_gm, 1.0
        gains = np.array([1.0, gain_gm, gain_wm], dtype=volume.dtype)
        low = low * np.tensordot(gains, low_maps, axes=1)
        low = self._add_noise(low, sigma, rng).astype(volume.dtype, copy=False)

        crop = tuple(slice(n * s) for n, s in zip(shape, scale, strict=True))
        target = volume[crop]
        if self.mask_target:
            target = target * maps[(slice(None), *crop)].sum(axis=0, dtype=volume.dtype)
        else:
            target = target.copy()
        return low, target

    def _add_noise(
        self, low: NDArray[np.floating], sigma: float, rng: np.random.RandomState
    ) -> NDArray[np.floating]:
        """Return the volume with noise of standard deviation `sigma` in each channel."""
        if self.noise is None:
            return low
        real = low + sigma * rng.standard_normal(low.shape)
        if self.noise == "gaussian":
            return real
        return np.hypot(real, sigma * rng.standard_normal(low.shape))


def _pure_mean(
    low: NDArray[np.floating], tissue_map: NDArray[np.floating], tissue: str, name: str
) -> float:
    """Return the mean of a volume over the voxels of nearly pure tissue."""
    pure = low[tissue_map > _PURE]
    mean = float(pure.mean(dtype=np.float64)) if pure.size else 0.0
    if mean <= 0:
        fault = f"a mean of {mean:g} in" if pure.size else "no"
        raise ValueError(
            f"{_CALLER}: {name} has {fault} low voxels with more than {_PURE:.0%} {tissue}, but "
            "needs such voxels with a positive mean. Check that the tissue maps are in the order "
            "CSF, GM, WM and belong to this volume, or use thinner slices."
        )
    return mean
