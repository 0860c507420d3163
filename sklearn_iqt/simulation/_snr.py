"""Distributions of the signal-to-noise ratios of white and grey matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import owens_t
from sklearn.utils import check_random_state

# Halvings of an angle in [0, pi], one more than a float64 mantissa can resolve.
_N_BISECTIONS = 54


@runtime_checkable
class SNRDistribution(Protocol):  # numpydoc ignore=PR01
    """Describe the interface of a distribution over (SNR_WM, SNR_GM): one method, `sample`."""

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """
        Draw pairs of signal-to-noise ratios.

        Parameters
        ----------
        n : int
            Number of pairs.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n, 2), float64
            SNR of white matter and of grey matter, one pair in each row.
        """
        ...


@dataclass(frozen=True)
class GaussianSNR:
    """
    Describe a bivariate Gaussian over (SNR_WM, SNR_GM), or a ring of one.

    The ring is the region between two Mahalanobis distances from the mean. It can be restricted to
    the half-plane in which white matter is brighter than grey matter.

    Parameters
    ----------
    mean : tuple of two floats
        Mean SNR of white matter and of grey matter.
    covariance : tuple of two tuples of two floats
        Covariance, symmetric and positive definite.
    min_distance : float, default=0.0
        Smallest Mahalanobis distance from the mean, at least 0.
    max_distance : float, default=inf
        Largest Mahalanobis distance from the mean, above `min_distance`.
    wm_above_gm : bool, default=False
        Whether to keep only pairs with SNR_WM > SNR_GM.

    Raises
    ------
    ValueError
        If a shape is wrong, the covariance is not positive definite, the distances are not
        ordered, or the region has zero probability in double precision.

    Notes
    -----
    Sampling is exact, and its time is bounded, because no draws are rejected. In the whitened plane
    the Gaussian is isotropic, and SNR_WM = SNR_GM is a straight line at a signed distance c from
    the origin. With phi the angle from the normal of that line, radii up to c / cos(phi) are
    allowed, so that the marginal density of phi is proportional to
    ``exp(-lo**2 / 2) - exp(-min(hi, c / cos(phi))**2 / 2)``. Its integral has a closed form by
    Craig's form of Owen's T function [1]_ [2]_,

    .. math:: \\int_0^\\varphi e^{-c^2 / (2 \\cos^2 t)} dt = 2 \\pi T(c, \\tan \\varphi),

    which is inverted by bisection. The radius then follows a truncated Rayleigh distribution,
    inverted in closed form.

    References
    ----------
    .. [1] D. B. Owen, "Tables for computing bivariate normal probabilities", Annals of
       Mathematical Statistics 27, 1956.
    .. [2] J. W. Craig, "A new, simple and exact result for calculating the probability of error
       for two-dimensional signal constellations", IEEE MILCOM, 1991.

    Examples
    --------
    >>> from sklearn_iqt.simulation import GaussianSNR
    >>> ring = GaussianSNR((64.5, 54.14), ((78.47, 71.5), (71.5, 73.91)), min_distance=3)
    >>> snr = ring.sample(5, random_state=0)
    >>> snr.shape
    (5, 2)
    >>> bool((ring.mahalanobis(snr) >= 3).all())
    True
    """

    mean: tuple[float, float]
    covariance: tuple[tuple[float, float], tuple[float, float]]
    min_distance: float = 0.0
    max_distance: float = math.inf
    wm_above_gm: bool = False

    def __post_init__(self) -> None:
        """Check the parameters and keep them as plain, hashable tuples."""
        mean = np.asarray(self.mean, dtype=np.float64)
        covariance = np.asarray(self.covariance, dtype=np.float64)
        if mean.shape != (2,) or not np.isfinite(mean).all():
            raise ValueError(f"GaussianSNR: mean must hold two finite numbers, got {self.mean!r}.")
        if (
            covariance.shape != (2, 2)
            or not np.isfinite(covariance).all()
            or not np.allclose(covariance, covariance.T)
            or np.linalg.eigvalsh(covariance)[0] <= 0
        ):
            raise ValueError(
                "GaussianSNR: covariance must be a finite, symmetric, positive definite 2 x 2 "
                f"matrix, got {self.covariance!r}."
            )
        if not 0 <= self.min_distance < self.max_distance:
            raise ValueError(
                "GaussianSNR: distances must satisfy 0 <= min_distance < max_distance, got "
                f"min_distance={self.min_distance!r} and max_distance={self.max_distance!r}."
            )
        object.__setattr__(self, "mean", tuple(mean.tolist()))
        object.__setattr__(self, "covariance", tuple(map(tuple, covariance.tolist())))
        if self._angle_integral()[1] <= 0:
            raise ValueError(
                f"GaussianSNR: there is no probability between the distances "
                f"{self.min_distance:g} and {self.max_distance:g} with "
                f"wm_above_gm={self.wm_above_gm}. Widen the region."
            )

    def _whitening(self) -> tuple[NDArray[np.float64], float]:
        """
        Return a factor B of the covariance and the distance c of the line SNR_WM = SNR_GM.

        For a pair ``mean + B z``, SNR_WM > SNR_GM is equivalent to z[0] < c.
        """
        factor = np.linalg.cholesky(np.array(self.covariance))
        towards_line = -(factor[0] - factor[1])
        length = float(np.hypot(*towards_line))
        cosine, sine = towards_line / length
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        return factor @ rotation, (self.mean[0] - self.mean[1]) / length

    def _angle_integral(self) -> tuple[Callable[[NDArray[np.float64]], Any], float]:
        """Return the unnormalised distribution function of the angle on [0, pi] and its total."""
        inner, outer = self._tail(self.min_distance), self._tail(self.max_distance)
        if not self.wm_above_gm:
            return (lambda angle: (inner - outer) * angle), math.pi * (inner - outer)
        _, signed_distance = self._whitening()
        distance = abs(signed_distance)
        # The line leaves the inner circle and the outer circle at these angles.
        start = math.acos(min(1.0, distance / self.min_distance)) if self.min_distance else 0.0
        stop = math.acos(min(1.0, distance / self.max_distance))

        def beyond_line(angle: NDArray[np.float64]) -> NDArray[np.float64]:
            middle = np.clip(angle, start, stop)
            chord = owens_t(distance, np.tan(middle)) - owens_t(distance, math.tan(start))
            return (
                inner * np.minimum(angle, start)
                + 2 * math.pi * chord
                + outer * np.maximum(angle - stop, 0)
            )

        if signed_distance >= 0:

            def integral(angle: NDArray[np.float64]) -> NDArray[np.float64]:
                facing = np.minimum(angle, math.pi / 2)
                return inner * angle - beyond_line(facing) - outer * (angle - facing)
        else:
            # The mean lies on the wrong side of the line. Only the part beyond the line is kept,
            # and the angle is measured from the opposite normal.
            def integral(angle: NDArray[np.float64]) -> NDArray[np.float64]:
                facing = np.minimum(angle, math.pi / 2)
                return beyond_line(facing) - outer * facing

        return integral, float(integral(np.array(math.pi)))

    @staticmethod
    def _tail(distance: float) -> float:
        """Return the probability that a standard bivariate Gaussian exceeds a distance."""
        return math.exp(-(distance**2) / 2)

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """
        Draw pairs of signal-to-noise ratios, exactly and without rejection.

        Parameters
        ----------
        n : int
            Number of pairs.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n, 2), float64
            SNR of white matter and of grey matter, one pair in each row.
        """
        rng = check_random_state(random_state)
        # Three uniforms for each pair, row by row, so that a longer draw starts with a shorter one.
        uniform = rng.uniform(size=(n, 3))
        integral, total = self._angle_integral()
        low, high = np.zeros(n), np.full(n, math.pi)
        wanted = uniform[:, 0] * total
        for _ in range(_N_BISECTIONS):
            middle = (low + high) / 2
            below = integral(middle) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        angle = (low + high) / 2

        factor, distance = self._whitening()
        inner = np.full(n, float(self.min_distance))
        outer = np.full(n, float(self.max_distance))
        if self.wm_above_gm:
            if distance < 0:
                angle = math.pi - angle
            cosine = np.cos(angle)
            facing = cosine * distance > 0
            line = np.divide(distance, cosine, out=np.zeros(n), where=facing)
            if distance >= 0:
                outer[facing] = np.clip(line[facing], inner[facing], outer[facing])
            else:
                inner[facing] = np.clip(line[facing], inner[facing], outer[facing])
        # A truncated Rayleigh variable, written so that far rings do not underflow.
        kept = -np.expm1((inner**2 - outer**2) / 2)
        radius = np.sqrt(inner**2 - 2 * np.log1p(-uniform[:, 1] * kept))
        radius = np.clip(radius, inner, outer)
        side = np.where(uniform[:, 2] < 0.5, -1.0, 1.0)
        polar = radius[:, None] * np.stack([np.cos(angle), side * np.sin(angle)], axis=1)
        snr = np.asarray(self.mean) + polar @ factor.T
        return snr

    def mahalanobis(self, snr: ArrayLike) -> NDArray[np.float64]:
        """
        Measure the Mahalanobis distance of pairs from the mean.

        Parameters
        ----------
        snr : array-like of shape (n, 2)
            SNR of white matter and of grey matter.

        Returns
        -------
        ndarray of shape (n,), float64
            Distances, at least 0.

        Raises
        ------
        ValueError
            If `snr` is not two columns of finite numbers.
        """
        deviation = check_snr(snr, caller="GaussianSNR.mahalanobis") - np.asarray(self.mean)
        solved = np.linalg.solve(np.asarray(self.covariance), deviation.T)
        return np.sqrt(np.maximum(np.einsum("ni,in->n", deviation, solved), 0))


@dataclass(frozen=True)
class RatioSNR:
    """
    Describe a uniform WM/GM contrast ratio and an independent, uniform SNR of white matter.

    Parameters
    ----------
    ratio : tuple of two floats
        Lowest and highest ratio SNR_WM / SNR_GM, above 0. Equal values fix the ratio.
    snr_wm : tuple of two floats
        Lowest and highest SNR of white matter, above 0. Equal values fix the SNR.

    Raises
    ------
    ValueError
        If a range is not two finite, positive, ordered numbers.

    Examples
    --------
    >>> from sklearn_iqt.simulation import RatioSNR
    >>> snr = RatioSNR(ratio=(1.0, 1.1), snr_wm=(20, 25)).sample(4, random_state=0)
    >>> ratio = snr[:, 0] / snr[:, 1]
    >>> bool(((ratio >= 1.0) & (ratio <= 1.1)).all())
    True
    """

    ratio: tuple[float, float]
    snr_wm: tuple[float, float]

    def __post_init__(self) -> None:
        """Check the two ranges and keep them as plain, hashable tuples."""
        for name in ("ratio", "snr_wm"):
            given = getattr(self, name)
            bounds = np.asarray(given, dtype=np.float64)
            if (
                bounds.shape != (2,)
                or not np.isfinite(bounds).all()
                or not 0 < bounds[0] <= bounds[1]
            ):
                raise ValueError(
                    f"RatioSNR: {name} must be (lowest, highest) with 0 < lowest <= highest, "
                    f"got {given!r}."
                )
            object.__setattr__(self, name, tuple(bounds.tolist()))

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """
        Draw pairs of signal-to-noise ratios.

        Parameters
        ----------
        n : int
            Number of pairs.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n, 2), float64
            SNR of white matter and of grey matter, one pair in each row.
        """
        uniform = check_random_state(random_state).uniform(size=(n, 2))
        ratio = self.ratio[0] + (self.ratio[1] - self.ratio[0]) * uniform[:, 0]
        snr_wm = self.snr_wm[0] + (self.snr_wm[1] - self.snr_wm[0]) * uniform[:, 1]
        return np.stack([snr_wm, snr_wm / ratio], axis=1)


def check_snr(snr: ArrayLike, *, caller: str) -> NDArray[np.float64]:
    """
    Return SNR pairs as an array of two finite columns.

    Parameters
    ----------
    snr : array-like of shape (n, 2)
        SNR of white matter and of grey matter.
    caller : str
        Name that an error starts with.

    Returns
    -------
    ndarray of shape (n, 2), float64
        The pairs.

    Raises
    ------
    ValueError
        If the shape is not (n, 2) or a value is not finite.
    """
    pairs = np.asarray(snr, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"{caller}: snr must have shape (n, 2), with one (SNR_WM, SNR_GM) in each row, got "
            f"shape {pairs.shape}."
        )
    n_bad = int(np.size(pairs) - np.isfinite(pairs).sum())
    if n_bad:
        raise ValueError(f"{caller}: snr holds {n_bad} non-finite values. Pass finite numbers.")
    return pairs
