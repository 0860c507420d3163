"""Contrast, bias field and noise of a scan, which are applied to blurred and sampled volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.preprocessing._interpolate import axis_matrix
from sklearn_iqt.simulation._degrade import apply_matrix

# Fraction of a tissue above which a voxel counts as pure.
PURE = 0.9


@dataclass(frozen=True)
class Appearance:
    """
    Describe the contrast, the bias field and the noise of one scan.

    Parameters
    ----------
    snr : ndarray of shape (2,)
        SNR of white matter and of grey matter.
    reference_tissue : {"gm", "wm"}
        Tissue that keeps its intensity.
    csf : float
        Factor on the intensity of CSF.
    gamma : float
        Exponent of the intensities, relative to the reference tissue.
    bias : float
        Largest relative change by the bias field.
    bias_width : float
        Distance between the nodes of the bias field in mm.
    noise : {"gaussian", "rician"} or None
        Kind of noise.
    background : {"noise", "zero"}
        What is outside of the brain.
    seed : int
        Determines the noise and the bias field.
    """

    snr: NDArray[np.float64]
    reference_tissue: str
    csf: float
    gamma: float
    bias: float
    bias_width: float
    noise: str | None
    background: str
    seed: int

    def render(
        self,
        low: NDArray[np.floating],
        maps: NDArray[np.floating],
        means: tuple[float, float],
        voxel_size: Any,
    ) -> NDArray[np.floating]:
        """
        Return a scan with this contrast, bias field and noise.

        Parameters
        ----------
        low : ndarray of shape (i, j, k)
            Blurred and sampled volume.
        maps : ndarray of shape (3, i, j, k)
            Blurred and sampled maps of CSF, GM and WM.
        means : tuple of two floats
            Mean intensities of pure GM and of pure WM.
        voxel_size : sequence of three floats
            In mm.

        Returns
        -------
        ndarray of shape (i, j, k)
            The scan, in the dtype of `low`.
        """
        (mean_gm, mean_wm), (snr_wm, snr_gm) = means, self.snr.tolist()
        if self.reference_tissue == "gm":
            kept, sigma = mean_gm, mean_gm / snr_gm
            gain_gm, gain_wm = 1.0, snr_wm * sigma / mean_wm
        else:
            kept, sigma = mean_wm, mean_wm / snr_wm
            gain_gm, gain_wm = snr_gm * sigma / mean_gm, 1.0
        gains = np.array([self.csf, gain_gm, gain_wm], dtype=low.dtype)
        scan = low * np.tensordot(gains, maps, axes=1)
        if self.gamma != 1:
            scan = np.sign(scan) * kept * (np.abs(scan) / kept) ** self.gamma
        if self.bias:
            scan *= self._bias_field(scan.shape, voxel_size).astype(low.dtype)
        scan = self._add_noise(scan, sigma).astype(low.dtype, copy=False)
        if self.background == "zero":
            scan = np.where(maps.sum(axis=0) < 0.5, low.dtype.type(0), scan)
        return scan

    def _bias_field(self, shape: tuple[int, ...], voxel_size: Any) -> NDArray[np.float64]:
        """Return a smooth field of factors, between ``1 / (1 + bias)`` and ``1 + bias``."""
        width = self.bias_width / np.asarray(voxel_size, dtype=np.float64)
        n_nodes = [2 + int(np.ceil(n / w)) for n, w in zip(shape, width, strict=True)]
        nodes = np.random.RandomState((self.seed, 1)).standard_normal(n_nodes)
        for axis, n in enumerate(shape):
            # Nodes half a distance beyond both ends; the axis is in their middle.
            middle, last = (n_nodes[axis] - 1) / 2, n_nodes[axis] - 1
            places = middle + (np.arange(n) - (n - 1) / 2) / width[axis]
            matrix = axis_matrix(n_nodes[axis], np.clip(places, 0, last), 3)
            nodes = np.asarray(apply_matrix(nodes, matrix, axis), dtype=np.float64)
        largest = np.abs(nodes).max()
        return np.exp(np.log1p(self.bias) * nodes / largest) if largest else np.ones(shape)

    def _add_noise(self, scan: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Return the volume with noise of standard deviation `sigma` in each channel."""
        if self.noise is None:
            return scan
        rng = np.random.RandomState(self.seed)
        real = scan + sigma * rng.standard_normal(scan.shape)
        if self.noise == "gaussian":
            return real
        return np.hypot(real, sigma * rng.standard_normal(scan.shape))


def pure_means(
    volume: NDArray[np.floating], maps: NDArray[np.floating], name: str, kind: str = "voxels"
) -> tuple[float, float]:
    """
    Return the mean of a volume over the voxels of nearly pure GM and of nearly pure WM.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        Intensities.
    maps : ndarray of shape (3, i, j, k)
        Maps of CSF, GM and WM.
    name : str
        Name of the volume in messages.
    kind : str, default="voxels"
        What messages call the voxels.

    Returns
    -------
    tuple of two floats
        Above 0.

    Raises
    ------
    ValueError
        If a tissue has no such voxels, or a mean is not above 0.
    """
    means = []
    for tissue, tissue_map in zip(("GM", "WM"), maps[1:], strict=True):
        pure = volume[tissue_map > PURE]
        mean = float(pure.mean(dtype=np.float64)) if pure.size else 0.0
        if mean <= 0:
            fault = f"a mean of {mean:g} in" if pure.size else "no"
            raise ValueError(
                f"{name} has {fault} {kind} with more than {PURE:.0%} {tissue}, but "
                "needs such voxels with a positive mean. Check that the tissue maps are in the "
                "order CSF, GM, WM and belong to this volume, or use thinner slices."
            )
        means.append(mean)
    return means[0], means[1]
