"""Prepare volumes for cutting: scale their intensities, and interpolate them if needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sklearn_iqt.io import Cohort
from sklearn_iqt.patches._cut import cut_patches
from sklearn_iqt.patches._sampling import join_rows, sample_index, share
from sklearn_iqt.patches._transformer import PatchTransformer
from sklearn_iqt.preprocessing import foreground_mask, intensity_scale, upsample

__all__ = ["PatchSource", "ScaledVolume", "TrainingPair"]


class ScaledVolume(NamedTuple):
    """A low volume that is ready to be cut.

    Parameters
    ----------
    inputs : ndarray of float32
        Volume that patches are cut from: the scaled volume, or its interpolation.
    baseline : ndarray of float32, on the high grid
        The scaled volume, interpolated.
    unit : float
        Intensity that was scaled to one.
    """

    inputs: NDArray[np.float32]
    baseline: NDArray[np.float32]
    unit: float


class TrainingPair(NamedTuple):
    """A scaled pair of volumes and the patches to learn from.

    Parameters
    ----------
    inputs : ndarray of float32
        Volume that input patches are cut from.
    target : ndarray of float32, on the high grid
        The high volume, in the unit of the low one, and without its gain if ``target_unit`` of the
        source is ``"own"``.
    drawn : ndarray of int
        Numbers of the patches that were drawn, on the patcher's grid of ``inputs``.
    gain : float, default=1.0
        Median of the high volume in the foreground of the low one, divided by that of the low one.
    """

    inputs: NDArray[np.float32]
    target: NDArray[np.float32]
    drawn: NDArray[np.integer]
    gain: float = 1.0


@dataclass(frozen=True)
class PatchSource:
    """Prepare volumes for cutting, in the same way for training and for prediction.

    Parameters
    ----------
    patcher : PatchTransformer
        The fitted patcher.
    scale : tuple of 3 ints
        High voxels for each low voxel.
    alignment : {"center", "corner"}
        How the two grids are aligned.
    order : int
        Spline order of the interpolation.
    interpolates_first : bool
        Whether patches are cut from the interpolated volume, on the high grid.
    target_unit : {"own", "low"}, default="own"
        Whether high volumes are divided by their gain relative to their low volumes.
    """

    patcher: PatchTransformer
    scale: tuple[int, int, int]
    alignment: str
    order: int
    interpolates_first: bool
    target_unit: str = "own"

    def interpolate(self, volume: NDArray) -> NDArray:
        """Interpolate a low volume onto the high grid.

        Parameters
        ----------
        volume : ndarray of shape (i, j, k)
            The low volume.

        Returns
        -------
        ndarray of shape (i * scale_i, j * scale_j, k * scale_k)
            The interpolated volume.
        """
        return upsample(volume, self.scale, order=self.order, alignment=self.alignment)

    def interpolation_std(self, volume: NDArray) -> NDArray[np.float32]:
        """Return how much an interpolation may be wrong, according to the local curvature.

        Between two voxels at a distance h, linear interpolation is wrong by at most h²/8 times the
        second derivative. The same formula gives how much the mean of a thick slice differs from
        its middle, up to a factor of three.

        Parameters
        ----------
        volume : ndarray of shape (i, j, k)
            The low volume.

        Returns
        -------
        ndarray of float32, shape (i * scale_i, j * scale_j, k * scale_k)
            Root of the sum of squares over the axes that are enlarged, in the unit of the volume.
        """
        squares = np.zeros(volume.shape, np.float32)
        for axis, step in enumerate(self.scale):
            if step > 1:
                bends = ndimage.correlate1d(
                    volume.astype(np.float32), [0.125, -0.25, 0.125], axis, mode="nearest"
                )
                squares += bends**2
        return upsample(np.sqrt(squares), self.scale, order=1, alignment=self.alignment)

    def interpolate_rows(self, rows: NDArray) -> NDArray:
        """Interpolate rows of input patches onto the high grid.

        Parameters
        ----------
        rows : ndarray of shape (n_patches, n_features)
            Input patches.

        Returns
        -------
        ndarray of shape (n_patches, n_outputs)
            Interpolated patches.
        """
        patches = rows.reshape(-1, *self.patcher.patch_size_)
        high = upsample(patches, self.patcher.scale_, order=self.order, alignment=self.alignment)
        return high.reshape(len(rows), -1)

    def scaled(self, volume: NDArray, mask: NDArray[np.bool_] | None) -> ScaledVolume:
        """Scale a low volume by its own intensities, and interpolate it.

        Parameters
        ----------
        volume : ndarray of shape (i, j, k)
            The low volume.
        mask : ndarray of bool, shape (i, j, k), or None
            Foreground whose intensities set the unit. By default it is estimated.

        Returns
        -------
        ScaledVolume
            The volume to cut, its interpolation and the unit.
        """
        low, unit = self._in_its_unit(volume, mask)
        baseline = self.interpolate(low)
        return ScaledVolume(baseline if self.interpolates_first else low, baseline, unit)

    def scaled_inputs(
        self, volume: NDArray, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], float]:
        """Scale a low volume, and interpolate it only if patches are cut from its interpolation.

        Parameters
        ----------
        volume, mask : ndarray
            See :meth:`scaled`.

        Returns
        -------
        inputs : ndarray of float32
            The volume to cut.
        unit : float
            Intensity that was scaled to one.
        """
        low, unit = self._in_its_unit(volume, mask)
        return (self.interpolate(low) if self.interpolates_first else low), unit

    def _in_its_unit(
        self, volume: NDArray, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], float]:
        unit = intensity_scale(volume, mask)
        return np.asarray(volume / unit, dtype=np.float32, order="C"), unit

    def mask_on_inputs(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Put the mask of a low volume on the grid that patches are cut from.

        Parameters
        ----------
        mask : ndarray of bool, shape (i, j, k)
            Mask on the low grid.

        Returns
        -------
        ndarray of bool
            Mask on the grid of :attr:`ScaledVolume.inputs`.
        """
        if not self.interpolates_first:
            return mask
        return upsample(mask, self.scale, order=0, alignment=self.alignment) > 0.5

    def training_pairs(
        self,
        cohort: Cohort,
        max_patches: int | None,
        random_state: np.random.RandomState,
        n_draws: int = 1,
    ) -> Iterator[TrainingPair]:
        """Read, scale and draw one pair after another.

        Parameters
        ----------
        cohort : Cohort
            Low and high volumes, perhaps with masks.
        max_patches : int or None
            Largest number of patches to draw, divided evenly among the volumes; None for all.
        random_state : RandomState
            Source of randomness.
        n_draws : int, default=1
            Pairs of each subject.

        Yields
        ------
        TrainingPair
            In the order of the cohort, all pairs of a subject together.
        """
        quotas = share(max_patches, len(cohort) * n_draws)
        for n, quota in enumerate(quotas):
            drawn = cohort.drawn(cohort.low.draw + n % n_draws)
            yield self.training_pair(drawn, n // n_draws, quota, random_state)

    def training_pair(
        self,
        cohort: Cohort,
        n: int,
        n_patches: int | None,
        random_state: np.random.RandomState,
    ) -> TrainingPair:
        """Read, scale and draw one pair.

        Parameters
        ----------
        cohort : Cohort
            Low and high volumes, perhaps with masks.
        n : int
            Position of the pair.
        n_patches : int or None
            Largest number of patches to draw; None for all.
        random_state : RandomState
            Source of randomness.

        Returns
        -------
        TrainingPair
            The pair.
        """
        pair = cohort.read(n)
        inputs, unit = self.scaled_inputs(pair.low, pair.mask)
        gain = _gain(pair.low, pair.high, pair.mask, self.scale)
        if self.target_unit == "own" and np.isnan(gain):
            raise ValueError(
                f"{cohort.caller}: the gain of the target of {cohort.low.name_of(n)} is not "
                "defined, because the median of the foreground is not above 0 in both volumes. "
                "Scale them so that 0 is background, or set target_unit='low'."
            )
        target = pair.high / (unit * gain if self.target_unit == "own" else unit)
        target = target.astype(np.float32)
        drawn = sample_index(
            self.patcher.grid(inputs.shape),
            target,
            mask=None if pair.mask is None else self.mask_on_inputs(pair.mask),
            n_patches=n_patches,
            background=self.patcher.background,
            random_state=random_state,
        )
        return TrainingPair(inputs, target, drawn, gain)

    def training_rows(
        self, pairs: Iterable[TrainingPair], n_draws: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.integer], list[float]]:
        """Cut the patches that were drawn.

        Parameters
        ----------
        pairs : iterable of TrainingPair
            See :meth:`training_pairs`.
        n_draws : int, default=1
            Pairs of each subject.

        Returns
        -------
        low_rows, high_rows : ndarray of shape (n_rows, voxels of a patch)
            Paired rows.
        groups : ndarray of int, shape (n_rows,)
            Position in the cohort of the subject that each row comes from.
        gains : list of float
            Gain of each subject: the median over its draws.
        """
        rows, gains = [], []
        for pair in pairs:
            grid = self.patcher.grid(pair.inputs.shape)
            low_rows = cut_patches(pair.inputs, grid, pair.drawn)
            rows.append((low_rows, cut_patches(pair.target, grid.high, pair.drawn)))
            gains.append(pair.gain)
        low_rows, high_rows, groups = join_rows(rows)
        medians = np.median(np.reshape(gains, (-1, n_draws)), axis=1).tolist()
        return low_rows, high_rows, groups // n_draws, medians


def _gain(
    low: NDArray, high: NDArray, mask: NDArray[np.bool_] | None, scale: tuple[int, int, int]
) -> float:
    """Return the median of a high volume relative to that of its low volume, in the same voxels.

    NaN if the medians are not above 0, as in volumes with an offset.
    """
    inside = foreground_mask(low, fill_holes=False)
    if mask is not None:
        # A mask may include air, or tissue that is darker than the foreground alone.
        inside = inside & mask if (inside & mask).any() else mask
    blocks = [n for pair in zip(low.shape, scale, strict=True) for n in pair]
    # Medians depend less on the contrast between tissues than means and high percentiles.
    low_median = np.median(low[inside])
    high_median = np.median(high.reshape(blocks).mean(axis=(1, 3, 5))[inside])
    positive = low_median > 0 and high_median > 0
    return float(high_median / low_median) if positive else np.nan
