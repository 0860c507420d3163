"""Stochastic simulator of low-field scans, from high volumes and their tissue maps."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from tqdm.auto import tqdm

from sklearn_iqt._axes import ALIGNMENTS, per_axis
from sklearn_iqt._doc_link import DocLinkMixin
from sklearn_iqt.io import Cohort, Grid
from sklearn_iqt.preprocessing._resample import resample_array
from sklearn_iqt.simulation._brains import Brain, FixedSlices, LowBrain, one_for_each, read_brain
from sklearn_iqt.simulation._maps import BORDER_WIDTH
from sklearn_iqt.simulation._presets import get_snr, mahalanobis_distance
from sklearn_iqt.simulation._rendering import Appearance
from sklearn_iqt.simulation._slices import SliceGeometry, Slices, check_range
from sklearn_iqt.simulation._snr import check_snr

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
    noise : {"gaussian", "rician"}, None, or sequence of these, default="gaussian"
        Kind of noise: additive Gaussian noise as in [1]_ (negative values occur), the Rician noise
        of a magnitude image, or no noise. From a sequence, one is chosen for each scan.
    background : {"noise", "zero"} or sequence of these, default="noise"
        Voxels that are mostly outside of the three tissues: noise, or exactly 0 as in scans after
        brain extraction. From a sequence, one is chosen for each scan.
    reference_tissue : {"gm", "wm"}, default="gm"
        Tissue that keeps its intensity, while the other tissue is scaled to the drawn contrast.
    csf : float or tuple of two floats, default=1.0
        Factor on the intensity of CSF, at least 0. Here and below, a pair is a range, from which a
        number is drawn uniformly for each scan.
    gamma : float or tuple of two floats, default=1.0
        Exponent of the intensities before noise, above 0. The reference tissue keeps its
        intensity, and ratios of intensities are raised to this power.
    bias : float or tuple of two floats, default=0.0
        Strength of a smooth field that multiplies the scan before noise, at least 0: the field
        reaches ``1 + bias`` or ``1 / (1 + bias)`` somewhere.
    bias_width : float, default=80.0
        Smoothness of this field in mm, above 0: the distance between the nodes of a cubic spline.
        Voxels of arrays have 1 mm here.
    geometry : SliceGeometry or None, default=None
        Slices of any thickness and direction, and voxels of any size in plane. By default all scans
        have the slices that `scale`, `thickness`, `gap` and `alignment` say; with a geometry these
        are not used.
    n_lesions : int or tuple of two ints, default=0
        Number of lesions in white matter, or the smallest and largest number, from which one is
        drawn for each scan. Lesions change the high volume as well. Where there is no place for
        one, there are fewer.
    lesion_diameter : float or tuple of two floats, default=(2.0, 8.0)
        Diameter of lesions in mm, see :func:`insert_lesions`.
    lesion_contrast : float or tuple of two floats, default=(0.1, 0.4)
        Change of intensity by lesions, as a fraction of the mean of white matter. From a range, the
        size of the change is drawn and its sign is random; one number makes bright lesions.
    border_width : float or tuple of two floats, default=1.5
        Width of the border between tissues if a label map is given: full width at half maximum in
        high voxels, see :func:`tissue_maps_from_labels`. From a range, one width is drawn for each
        volume. Soft maps are not changed. The simulator
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
       0.9, or over such high voxels if there is a `geometry`, because thick slices may have none.
       With GM as the reference, sigma = mean_GM / SNR_GM and
       ``I' = (P_GM + SNR_WM * sigma / mean_WM * P_WM + csf * P_CSF) * I``. Voxels outside the three
       tissues become 0. With WM as the reference, the two tissues swap roles. Gamma and the bias
       field follow.
    4. Noise with standard deviation sigma is added everywhere.
    5. With a `geometry`, the scan may be interpolated onto the grid of its high volume.

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
        "noise": [StrOptions({"gaussian", "rician"}), tuple, list, None],
        "background": [StrOptions({"noise", "zero"}), tuple, list],
        "reference_tissue": [StrOptions({"gm", "wm"})],
        "csf": [Interval(Real, 0, None, closed="left"), tuple, list],
        "gamma": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "bias": [Interval(Real, 0, None, closed="left"), tuple, list],
        "bias_width": [Interval(Real, 0, None, closed="neither")],
        "geometry": [SliceGeometry, None],
        "n_lesions": [Interval(Integral, 0, None, closed="left"), tuple, list],
        "lesion_diameter": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "lesion_contrast": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "border_width": [Interval(Real, 0, None, closed="left"), tuple, list],
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
        noise: str | Sequence[str | None] | None = "gaussian",
        background: str | Sequence[str] = "noise",
        reference_tissue: str = "gm",
        csf: float | tuple[float, float] = 1.0,
        gamma: float | tuple[float, float] = 1.0,
        bias: float | tuple[float, float] = 0.0,
        bias_width: float = 80.0,
        geometry: SliceGeometry | None = None,
        n_lesions: int | tuple[int, int] = 0,
        lesion_diameter: float | tuple[float, float] = (2.0, 8.0),
        lesion_contrast: float | tuple[float, float] = (0.1, 0.4),
        border_width: float | tuple[float, float] = BORDER_WIDTH,
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
        self.background = background
        self.reference_tissue = reference_tissue
        self.csf = csf
        self.gamma = gamma
        self.bias = bias
        self.bias_width = bias_width
        self.geometry = geometry
        self.n_lesions = n_lesions
        self.lesion_diameter = lesion_diameter
        self.lesion_contrast = lesion_contrast
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
        self._check()
        cohort = Cohort(high, mask=mask, caller=_CALLER, names=("high", "", "mask"))
        volumes = cohort.low
        tissues = one_for_each(tissues, len(volumes), _CALLER)
        pairs, seeds = self._draw(len(volumes), snr)

        lows: list[Any] = []
        highs: list[Any] = []
        title = type(self).__name__
        for n in tqdm(range(len(volumes)), desc=title, disable=not self.verbose):
            brain = read_brain(cohort, n, tissues[n], self._border_width(seeds[n]))
            slices = self._slices(seeds[n], brain.voxel_size)
            low = self._low(brain, slices, seeds[n])
            voxels = self._scan(low, slices, pairs[n], seeds[n])
            grids = self._grids(slices, Grid(brain.volume.shape, brain.affine), brain.name)
            for results, result, grid in zip((lows, highs), voxels, grids, strict=True):
                results.append(volumes.as_item(n, result, grid.affine))
        return Bunch(
            low=volumes.join(lows),
            high=volumes.join(highs),
            snr=pairs,
            mahalanobis=mahalanobis_distance(pairs),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    @property
    def _changes_brains(self) -> bool:
        """True if draws differ in more than contrast and noise."""
        return self.geometry is not None or self._n_lesions()[1] > 0

    def _check(self) -> None:
        """Check the parameters."""
        self._validate_params()
        self._geometry()
        self._ranges()
        self._options()
        self._n_lesions()
        self._border_widths()
        for name in ("lesion_diameter", "lesion_contrast"):
            check_range(getattr(self, name), name, 1e-9, caller="LowFieldSimulator")

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
        seeds = two_seeds(check_random_state(self.random_state), n_volumes)
        if snr is None:
            drawn = [self._draw_snr(int(seed)) for seed in seeds[:, 0]]
            return np.array(drawn).reshape(-1, 2), seeds[:, 1]
        pairs = check_snr(snr, caller=_CALLER).copy()
        if pairs.shape != (n_volumes, 2):
            raise ValueError(
                f"{_CALLER}: snr must have shape ({n_volumes}, 2), with one pair for each volume, "
                f"got shape {pairs.shape}."
            )
        for row, pair in enumerate(pairs):
            _check_positive(pair, f"snr gives {pair.tolist()} for volume {row}")
        return pairs, seeds[:, 1]

    def _draw_snr(self, seed: int) -> NDArray[np.float64]:
        """Return one pair of the distribution."""
        pairs = get_snr(self.snr).sample(1, seed)
        if pairs.shape != (1, 2):
            raise ValueError(
                f"{_CALLER}: a sample of one pair from snr={self.snr!r} must have shape (1, 2), "
                f"got shape {pairs.shape}."
            )
        _check_positive(pairs[0], f"a draw from snr={self.snr!r} gives {pairs[0].tolist()}")
        return pairs[0]

    # What one draw of one brain needs. `SimulatedScans` calls these.

    def _slices(self, seed: int, voxel_size: NDArray[np.float64]) -> FixedSlices | Slices:
        """Return the voxels of the scan whose noise has this seed."""
        if self.geometry is None:
            return FixedSlices(*self._geometry(), self.alignment)
        return self.geometry.sample(voxel_size, np.random.RandomState((seed, 3)))

    def _low(self, brain: Brain, slices: FixedSlices | Slices, seed: int) -> LowBrain:
        """Return a brain, perhaps with lesions, on the grid of a scan."""
        fewest, most = self._n_lesions()
        if most:
            n_lesions = np.random.RandomState((seed, 5)).randint(fewest, most + 1)
            brain = brain.with_lesions(
                n_lesions,
                seed,
                diameter_mm=check_range(
                    self.lesion_diameter, "lesion_diameter", 1e-9, caller="LowFieldSimulator"
                ),
                contrast=self.lesion_contrast,
                rim_mm=1.0,
            )
        return slices.apply(brain, self.mask_target)

    def _border_width(self, seed: int) -> float:
        """Return the width of the borders between the tissues of a label map."""
        low, high = self._border_widths()
        return low + (high - low) * np.random.RandomState((seed, 6)).uniform()

    def _border_widths(self) -> tuple[float, float]:
        return check_range(self.border_width, "border_width", 0, caller="LowFieldSimulator")

    def _n_lesions(self) -> tuple[int, int]:
        """Return the smallest and the largest number of lesions."""
        fewest, most = check_range(self.n_lesions, "n_lesions", 0, caller="LowFieldSimulator")
        if fewest != int(fewest) or most != int(most):
            raise ValueError(
                f"LowFieldSimulator: n_lesions must be one or two integers, got {self.n_lesions!r}."
            )
        return int(fewest), int(most)

    def _grids(self, slices: FixedSlices | Slices, high: Grid, name: str) -> tuple[Grid, Grid]:
        """Return the grids of a scan and of its high volume."""
        scan, target = slices.grids(high, name)
        if isinstance(slices, FixedSlices):
            return scan, target
        if slices.to_high_grid:
            return target, target
        return slices.turned_grid(scan), high

    def _look(self, snr: NDArray[np.float64], seed: int) -> Appearance:
        """Return how the scan looks whose noise has this seed."""
        # Always five numbers, so that each parameter affects only its own draw.
        uniform = np.random.RandomState((seed, 2)).uniform(size=5)
        csf, gamma, bias = (
            low + (high - low) * u for (low, high), u in zip(self._ranges(), uniform, strict=False)
        )
        noise, background = (
            options[int(u * len(options))]
            for options, u in zip(self._options(), uniform[3:], strict=True)
        )
        return Appearance(
            snr, self.reference_tissue, csf, gamma, bias, self.bias_width, noise, background, seed
        )

    def _scan(
        self, low: LowBrain, slices: FixedSlices | Slices, snr: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return a scan of a brain on its grid, and the high volume."""
        scan = self._look(snr, seed).render(low.low, low.maps, low.means, low.voxel_size)
        if isinstance(slices, FixedSlices):
            return scan, low.target
        if slices.to_high_grid:
            to_scan = np.linalg.inv(slices.to_high())
            return resample_array(scan, low.target.shape, to_scan, 3), low.target
        scan, target = (np.ascontiguousarray(slices.turned(v)) for v in (scan, low.target))
        return scan, target

    def _ranges(self) -> list[tuple[float, float]]:
        """Return the ranges of the factor on CSF, of gamma and of the bias field."""
        return [
            check_range(getattr(self, name), name, lowest, caller="LowFieldSimulator")
            for name, lowest in (("csf", 0.0), ("gamma", 1e-9), ("bias", 0.0))
        ]

    def _options(self) -> list[tuple]:
        """Return the kinds of noise and of background to choose from."""
        chosen = []
        for name, allowed in (
            ("noise", ("gaussian", "rician", None)),
            ("background", ("noise", "zero")),
        ):
            given = getattr(self, name)
            options = (given,) if given is None or isinstance(given, str) else tuple(given)
            if not options or not set(options) <= set(allowed):
                raise ValueError(
                    f"LowFieldSimulator: {name} must be one of {allowed}, or several of them to "
                    f"choose from, got {given!r}."
                )
            chosen.append(options)
        return chosen


def two_seeds(random_state: np.random.RandomState, n_volumes: int) -> NDArray[np.integer]:
    """
    Return the seeds of the SNR and of the noise of each volume.

    They are drawn row by row, so that other volumes do not affect them.

    Parameters
    ----------
    random_state : RandomState
        Source of the seeds.
    n_volumes : int
        Number of volumes.

    Returns
    -------
    ndarray of int, shape (n_volumes, 2)
        Seeds.
    """
    return random_state.randint(np.iinfo(np.int32).max, size=(n_volumes, 2))


def _check_positive(snr: NDArray[np.float64], source: str) -> None:
    if not (snr > 0).all():
        raise ValueError(f"{_CALLER}: SNR must be above 0, but {source}.")
