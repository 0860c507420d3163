"""Estimate tissue maps by a bias field and a Gaussian mixture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter
from scipy.special import softmax
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state

from sklearn_iqt.io import Cohort
from sklearn_iqt.preprocessing import foreground_mask, has_skull
from sklearn_iqt.preprocessing._background import dark_voxels, has_zero_background
from sklearn_iqt.preprocessing._skull import SKULL
from sklearn_iqt.preprocessing._tissue_mixture import (
    drop_outliers,
    fit_tissue_mixture,
    initial_tissue_means,
)
from sklearn_iqt.simulation._sampling import sample_axes

_CALLER = "estimate_tissue_maps"
# The bias field is smooth, so that it is computed on blocks of this many mm.
_BLOCK = 4.0
# Rounds of the refinement. With many more rounds the means of the classes approach each other.
_N_ROUNDS = 8
_FEWEST_VOXELS = 100
# A volume has a background if more than this part of it is dark.
_FEW = 0.01


def estimate_tissue_maps(
    volume: Any,
    mask: Any = None,
    *,
    voxel_size: Sequence[float] | None = None,
    n_iter: int = 4,
    bias_sigma: float = 25.0,
    smoothing: float = 0.3,
    max_samples: int = 50_000,
    random_state: Any = None,
) -> NDArray[np.float32]:
    """
    Estimate maps of CSF, GM and WM from a skull-stripped T1-weighted volume.

    Parameters
    ----------
    volume : array-like of shape (i, j, k), image or path
        Skull-stripped T1-weighted volume, where CSF is darker than GM, and GM than WM.
    mask : array-like of shape (i, j, k), image, path or None, default=None
        Voxels above zero are the brain. By default the brain is where the volume is above zero,
        which requires that everything else is exactly zero.
    voxel_size : sequence of three floats or None, default=None
        Size of a voxel in mm. By default it is read from the image, and is 1 mm for an array.
    n_iter : int, default=4
        Rounds of mixture and bias field, at least 0. With 0, the bias field is not corrected.
    bias_sigma : float, default=25.0
        Smoothness of the bias field: standard deviation of the Gaussian, in mm, above 0.
    smoothing : float, default=0.3
        Weight of each of the six neighbours in the class of a voxel, at least 0.
    max_samples : int, default=50_000
        Number of voxels that the mixture is fitted to, at least 100.
    random_state : int, RandomState instance or None, default=None
        Source of the random choice of these voxels.

    Returns
    -------
    ndarray of shape (3, i, j, k), float32
        Probability of CSF, GM and WM. They add up to 1 in the mask and are 0 outside.

    Raises
    ------
    VolumeReadError
        If an image or a file cannot be read as one finite volume.
    GeometryMismatchError
        If the mask is not on the grid of the volume.
    ValueError
        If a parameter is out of its range, the mask holds too few voxels, or the brain is
        constant. Without a mask, also if the volume shows a whole head, or has noise or the rings
        of an interpolation around the brain.

    Warns
    -----
    UserWarning
        If the volume shows a whole head inside the mask.

    Notes
    -----
    A mixture of three Gaussians with one common variance is fitted to a sample of intensities. The
    bias field is the residual of the mixture in the logarithm of GM and WM, smoothed within the
    mask. Mixture and bias field are updated alternately, as in [1]_. The classes are then refined
    over all voxels with a Markov random field prior in its mean-field form, as in [2]_, which makes
    the class of a voxel more similar to its six neighbours. The common variance prevents the broad
    class of CSF and partial volume from including GM.

    Against maps of other tools, the mean (lowest) Dice overlap was 0.95 (0.93) for CSF, 0.92 (0.89)
    for GM and 0.94 (0.92) for WM in 20 adults at 3 T (N4, k-means and a Markov random field), and
    0.88 (0.84), 0.86 (0.78) and 0.92 (0.84) in 18 people of 19 to 90 years at 1.5 T (N4 and FSL
    FAST). There is no anatomical prior: deep grey matter with almost the intensity of WM, and
    remains of the meninges, are classified only by their intensity.

    References
    ----------
    .. [1] W. M. Wells et al., "Adaptive segmentation of MRI data", IEEE Transactions on Medical
       Imaging 15, 1996.
    .. [2] Y. Zhang, M. Brady and S. Smith, "Segmentation of brain MR images through a hidden
       Markov random field model and the expectation-maximization algorithm", IEEE Transactions on
       Medical Imaging 20, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.simulation import estimate_tissue_maps
    >>> labels = np.zeros((24, 24, 24), dtype=int)
    >>> labels[2:-2, 2:-2, 2:-2], labels[3:-3, 3:-3, 3:-3], labels[5:-5, 5:-5, 5:-5] = 1, 2, 3
    >>> noise = np.random.default_rng(0).normal(scale=5, size=labels.shape)
    >>> volume = np.where(labels > 0, np.array([0, 40, 100, 150])[labels] + noise, 0)
    >>> maps = estimate_tissue_maps(volume, labels > 0, n_iter=0, random_state=0)
    >>> bool((maps.argmax(axis=0) + 1 == labels)[labels > 0].mean() > 0.98)
    True
    """
    _check_parameters(n_iter, bias_sigma, smoothing, max_samples)
    cohort = Cohort.of_one(volume, mask=mask, names=("volume", "high", "mask"), caller=_CALLER)
    volume, _, mask, affine = cohort.read(0)
    if voxel_size is None:
        voxel_size = (1.0, 1.0, 1.0) if affine is None else tuple(voxel_sizes(affine))
    size = np.asarray(voxel_size, dtype=np.float64)
    if size.shape != (3,) or not np.isfinite(size).all() or (size <= 0).any():
        raise ValueError(f"{_CALLER}: voxel_size must be three lengths in mm, got {voxel_size!r}.")
    brain = _find_brain(volume) if mask is None else mask
    if mask is not None and has_skull(np.where(mask, volume, 0)):
        warnings.warn(
            f"{_CALLER}: inside the mask, the volume {SKULL}. Look at the mask.",
            UserWarning,
            stacklevel=2,
        )
    _check_brain(volume[brain])

    box = find_objects(brain.astype(np.uint8))[0]
    brain = brain[box]
    intensity = volume[box][brain].astype(np.float32)
    rng = check_random_state(random_state)
    n_samples = min(max_samples, intensity.size)
    sample = rng.choice(intensity.size, n_samples, replace=False)

    mixture = _fit_mixture(intensity[sample], initial_tissue_means(intensity[sample]), rng)
    corrected = intensity
    for _ in range(n_iter):
        log_bias = _log_bias(intensity, corrected, mixture, brain, size, bias_sigma)
        corrected = intensity * np.exp(-log_bias)
        mixture = _fit_mixture(corrected[sample], np.sort(mixture.means_.ravel()), rng)

    maps = np.zeros((3, *volume.shape), dtype=np.float32)
    maps[(slice(None), *box)] = _refine(corrected, mixture, brain, smoothing)
    return maps


def _check_parameters(n_iter: int, bias_sigma: float, smoothing: float, max_samples: int) -> None:
    """Check the ranges of the numbers."""
    for name, given, ok, allowed in (
        ("n_iter", n_iter, n_iter >= 0, "at least 0"),
        ("bias_sigma", bias_sigma, 0 < bias_sigma < np.inf, "a finite length in mm above 0"),
        ("smoothing", smoothing, 0 <= smoothing < np.inf, "finite and at least 0"),
        ("max_samples", max_samples, max_samples >= _FEWEST_VOXELS, f"at least {_FEWEST_VOXELS}"),
    ):
        if not ok:
            raise ValueError(f"{_CALLER}: {name} must be {allowed}, got {given!r}.")


def _find_brain(volume: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the voxels above zero, or refuse a volume where these are more than a brain."""
    if has_skull(volume):
        raise ValueError(
            f"{_CALLER}: the volume {SKULL}. Pass a mask of the brain, for example from "
            "sklearn_iqt.prepare.brain_mask."
        )
    brain = foreground_mask(volume, threshold="zero", fill_holes=False)
    # The threshold keeps dark fluid, so it needs a background of exactly zero, if there is any.
    if dark_voxels(volume).mean() > _FEW and not has_zero_background(volume):
        raise ValueError(
            f"{_CALLER}: the background of the volume is not exactly zero. Noise, or a spline that "
            "was used for resampling, would count as brain. Pass a mask of the brain."
        )
    return brain


def _check_brain(intensities: NDArray[np.floating]) -> None:
    """Check that the brain holds something to classify."""
    if intensities.size < _FEWEST_VOXELS:
        raise ValueError(
            f"{_CALLER}: the mask holds {intensities.size} voxels, but at least {_FEWEST_VOXELS} "
            "are needed. Pass a mask that is True in the brain."
        )
    if len(np.unique(initial_tissue_means(intensities))) < 3:
        raise ValueError(
            f"{_CALLER}: the volume is constant, or nearly constant, in the mask, so that tissues "
            "cannot be distinguished. Pass a T1-weighted volume and a mask of its brain."
        )


def _fit_mixture(
    intensity: NDArray[np.floating], means: NDArray[np.floating], rng: np.random.RandomState
) -> GaussianMixture:
    return fit_tissue_mixture(
        drop_outliers(intensity), means, shared_variance=True, random_state=rng
    )


def _log_bias(
    intensity: NDArray[np.float32],
    corrected: NDArray[np.float32],
    mixture: GaussianMixture,
    brain: NDArray[np.bool_],
    size: NDArray[np.float64],
    bias_sigma: float,
) -> NDArray[np.float32]:
    """Return the logarithm of the bias field in the mask, with a mean of 0."""
    means = mixture.means_.ravel()
    spread = float(np.sqrt(mixture.covariances_[0, 0]))
    share = mixture.predict_proba(corrected[:, None].astype(np.float64))
    expected = share @ means
    # The error of a logarithm falls with the mean, and CSF is too dark and too mixed to be useful.
    weight = share @ np.where(means == means.min(), 0.0, means**2)
    usable = (corrected > means.min()) & (corrected < means.max() + 3 * spread) & (expected > 0)
    weight = np.where(usable, weight, 0.0)
    residual = np.log(np.where(usable, intensity, 1.0)) - np.log(np.where(usable, expected, 1.0))

    steps = np.maximum(1, np.round(_BLOCK / size)).astype(int)
    fields = []
    for values in (weight * residual, weight):
        grid = np.zeros(brain.shape)
        grid[brain] = values
        for axis, step in enumerate(steps):
            grid = np.add.reduceat(grid, np.arange(0, grid.shape[axis], step), axis=axis)
        fields.append(gaussian_filter(grid, bias_sigma / (size * steps), mode="constant"))
    total, norm = fields
    coarse = np.divide(total, norm, out=np.zeros_like(total), where=norm > 1e-6 * norm.max())
    samples = sample_axes(
        coarse, 1 / steps, 0.5 / steps - 0.5, brain.shape, order=1, mode="nearest"
    )
    field = samples[brain]
    return (field - field.mean()).astype(np.float32)


def _refine(
    corrected: NDArray[np.float32],
    mixture: GaussianMixture,
    brain: NDArray[np.bool_],
    smoothing: float,
) -> NDArray[np.float32]:
    """Return the maps on the grid of the mask, after a smoothing over neighbouring voxels."""
    order = np.argsort(mixture.means_.ravel())
    share = mixture.predict_proba(corrected[:, None].astype(np.float64))[:, order]
    share = share.T.astype(np.float32)
    maps = np.zeros((3, *brain.shape), dtype=np.float32)
    maps[:, brain] = share
    for _ in range(_N_ROUNDS):
        total = share.sum(axis=1, dtype=np.float64)
        means = (share @ corrected) / np.maximum(total, 1e-12)
        squared = (corrected - means[:, None].astype(np.float32)) ** 2
        variance = float(np.sum(share * squared, dtype=np.float64) / corrected.size)
        energy = smoothing * _neighbour_sum(maps)[:, brain] - squared / np.float32(2 * variance)
        share = softmax(energy, axis=0)
        maps[:, brain] = share
    return maps


def _neighbour_sum(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum over the six neighbours of each voxel, for each map."""
    total = np.zeros_like(maps)
    for axis in range(1, maps.ndim):
        source, target = np.moveaxis(maps, axis, 0), np.moveaxis(total, axis, 0)
        target[1:] += source[:-1]
        target[:-1] += source[1:]
    return total
