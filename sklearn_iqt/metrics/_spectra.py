"""Agreement of estimate and truth along one axis, frequency by frequency."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes

__all__ = ["coherence", "coherence_spectrum"]

BANDS = ("below", "above")
# Segments are this many low voxels long by default. The Nyquist frequency is then in bin 8.
_LOW_VOXELS = 16
# The main lobe of the Hann window reaches this many bins to each side.
_LOBE = 2
# Segments that are transformed at a time.
_CHUNK = 50_000


def coherence(
    y_true: Any,
    y_pred: Any,
    *,
    scale: int = 4,
    axis: int = 2,
    band: str = "above",
    segment: int | None = None,
    mask: Any = None,
    match: str = "none",
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the coherence of estimate and truth along the thick axis, in a band of frequencies.

    Thick slices hold no detail above their Nyquist frequency. The coherence there is the share of
    the true detail that an estimate adds, and that interpolation cannot add.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        The truth and its estimate: two volumes, or two collections of the same length.
    scale : int, default=4
        High voxels in a low voxel along the axis, at least 2. The Nyquist frequency of the low
        scan is 1 / (2 * scale) cycles per high voxel.
    axis : int, default=2
        Thick axis: 0, 1 or 2.
    band : {"above", "below"}, default="above"
        Frequencies above or below the Nyquist frequency. Both bands keep away from it by the width
        of the window in frequency, 2 / segment cycles per voxel.
    segment : int, default=None
        Length in voxels of the pieces of lines that are compared. By default 16 * scale, or the
        length of the axis if that is shorter.
    mask : volume or collection of volumes, default=None
        Only segments that lie inside the mask count. Its border is thus never part of a spectrum.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each prediction to its truth first, see :func:`nrmse`. Neither a gain nor
        an offset changes the result.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Between 0 and 1. 1 is best: in the band, the truth is a filtered version of the estimate.

    Raises
    ------
    ValueError
        If a parameter is out of its range, a volume is too short for the band, the mask holds no
        whole segment, or the truth has no energy in the band.
    GeometryMismatchError
        If a prediction or a mask is not on the grid of its truth.

    See Also
    --------
    coherence_spectrum : The coherence of each frequency.
    fourier_shell_correlation : Agreement in all directions, or in a cone.

    Notes
    -----
    Lines along the axis are cut into segments that overlap by half. The mean of a segment is
    subtracted, and a Hann window fades it out at both ends, so that the ends of the field of view
    do not act as edges. With X and Y the spectra of truth and estimate, the coherence of a
    frequency is ``|mean(conj(X) Y)|**2 / (mean(|X|**2) mean(|Y|**2))`` over all segments [1]_, and
    the result is its mean over the band, weighted by ``mean(|X|**2)``.

    - It is the share of the variance of the truth that a linear filter of the estimate explains. It
      does not see whether the estimate has the right amplitude; :func:`coherence_spectrum` has the
      gain, and :func:`nrmse` sees it too.
    - It does not see a shift of the whole volume, as long as the shift is short in comparison with
      a segment; :func:`fourier_shell_correlation` does.
    - Noise of the estimate lowers it: with a ratio r of signal to noise power, at one frequency, it
      is r / (1 + r). Noise of the truth does the same, so that 1 cannot be reached on real scans.
    - Without any relation it is 1 / n on average for n independent segments, and
      C + (1 - C)**2 / n for a coherence C [2]_. Segments of neighbouring lines and overlapping
      segments are not independent; a brain still has thousands.
    - Structures that all lines share, such as the outer edge of a head, are coherent with their
      own blurred copy. Interpolation is therefore a little above 0 on brains, and is the value to
      compare with.

    References
    ----------
    .. [1] J. S. Bendat and A. G. Piersol, "Random Data", 4th edition, Wiley 2010.
    .. [2] G. C. Carter, C. H. Knapp and A. H. Nuttall, "Estimation of the magnitude-squared
       coherence function via overlapped fast Fourier transform processing", IEEE Trans. Audio
       Electroacoust. 21 (1973).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import coherence
    >>> rng = np.random.default_rng(0)
    >>> truth, noise = rng.normal(size=(2, 20, 20, 128))
    >>> round(coherence(truth, 5 * truth + 1), 3)
    1.0
    >>> round(coherence(truth, truth + noise), 1)
    0.5
    """
    if band not in BANDS:
        raise ValueError(f"coherence: band must be one of {BANDS}, got {band!r}.")
    _check_axis(scale, axis, segment, "coherence")

    def measure(pair: ScoredPair) -> float:
        length = _segment_length(pair, scale, axis, segment)
        bins = _band(length, scale, band, pair.name)
        x, y, cross = _spectra(pair, axis, length)
        weights = x[bins]
        if not (weights.sum() > 0 and np.ptp(pair.truth) > 0):
            raise ValueError(
                f"{pair.name}: y_true has no energy {band} the Nyquist frequency along axis "
                f"{axis}. Check for a constant volume."
            )
        return float(weights @ _squared_coherence(x, y, cross)[bins] / weights.sum())

    return score_volumes(
        measure,
        y_true,
        y_pred,
        caller="coherence",
        mask=mask,
        match=match,
        per_volume=per_volume,
        verbose=verbose,
    )


def coherence_spectrum(
    y_true: Any,
    y_pred: Any,
    *,
    scale: int = 4,
    axis: int = 2,
    segment: int | None = None,
    mask: Any = None,
) -> Bunch:
    """Compare estimate and truth along the thick axis at each frequency.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image or path
        The truth and its estimate.
    scale : int, default=4
        High voxels in a low voxel along the axis, at least 2.
    axis : int, default=2
        Thick axis: 0, 1 or 2.
    segment : int, default=None
        Length of the segments in voxels, see :func:`coherence`.
    mask : array of shape (i, j, k), image or path, default=None
        Only segments that lie inside the mask count.

    Returns
    -------
    sklearn.utils.Bunch
        ``frequency`` of shape (n,), in cycles per voxel without 0; ``coherence``, the
        magnitude-squared coherence from 0 to 1; ``gain``, the amplitude with which the truth
        appears in the estimate, 1 if it is kept and below 1 if it is blurred; ``power``, the share
        of the energy of the truth; each of the shape of ``frequency``. ``nyquist`` is the Nyquist
        frequency of the low scan.

    Raises
    ------
    ValueError
        If a parameter is out of its range or the mask holds no whole segment.
    GeometryMismatchError
        If the estimate or the mask is not on the grid of the truth.

    See Also
    --------
    coherence : One number for a band, and what it means.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import coherence_spectrum
    >>> truth = np.random.default_rng(0).normal(size=(20, 20, 128))
    >>> spectrum = coherence_spectrum(truth, 0.5 * truth)
    >>> spectrum.nyquist, len(spectrum.frequency)
    (0.125, 32)
    >>> bool(np.allclose(spectrum.coherence, 1)), bool(np.allclose(spectrum.gain, 0.5))
    (True, True)
    """
    _check_axis(scale, axis, segment, "coherence_spectrum")
    found = Bunch()

    def measure(pair: ScoredPair) -> float:
        length = _segment_length(pair, scale, axis, segment)
        x, y, cross = _spectra(pair, axis, length)
        x, y, cross = x[1:], y[1:], cross[1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            found.update(
                frequency=np.arange(1, len(x) + 1) / length,
                coherence=_squared_coherence(x, y, cross),
                gain=np.where(x > 0, np.abs(cross) / x, 0.0),
                power=x / x.sum(),
                nyquist=1 / (2 * scale),
            )
        return 0.0

    score_volumes(measure, y_true, y_pred, caller="coherence_spectrum", mask=mask)
    return found


def _check_axis(scale: int, axis: int, segment: int | None, caller: str) -> None:
    if not (isinstance(scale, Integral) and scale >= 2):
        raise ValueError(f"{caller}: scale must be an integer of at least 2, got {scale!r}.")
    if axis not in (0, 1, 2):
        raise ValueError(f"{caller}: axis must be 0, 1 or 2, got {axis!r}.")
    if segment is not None and not (isinstance(segment, Integral) and segment >= 8):
        raise ValueError(f"{caller}: segment must be an integer of at least 8, got {segment!r}.")


def _segment_length(pair: ScoredPair, scale: int, axis: int, segment: int | None) -> int:
    size = pair.truth.shape[axis]
    if segment is None:
        return min(_LOW_VOXELS * scale, size)
    if segment > size:
        raise ValueError(
            f"{pair.name}: axis {axis} has {size} voxels, but segment is {segment}. Pass a shorter "
            "segment."
        )
    return int(segment)


def _band(length: int, scale: int, band: str, name: str) -> slice:
    """Return the bins of a band."""
    nyquist = length / (2 * scale)
    first, stop = (
        (int(np.ceil(nyquist + _LOBE)), length // 2 + 1)
        if band == "above"
        else (1, int(np.floor(nyquist - _LOBE)) + 1)
    )
    if stop <= first:
        raise ValueError(
            f"{name}: segments of {length} voxels have no frequency {band} the Nyquist frequency "
            f"of a scale of {scale}. Pass larger volumes or a longer segment."
        )
    return slice(first, stop)


def _spectra(
    pair: ScoredPair, axis: int, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.complex128]]:
    """Return the summed power of truth and estimate, and their cross-spectrum, over segments."""
    step = max(length // 2, 1)
    volumes = [np.moveaxis(volume, axis, -1) for volume in (pair.truth, pair.prediction)]
    inside = None if pair.inside is None else np.moveaxis(pair.inside, axis, -1)
    window = np.hanning(length + 1)[:-1]
    n_bins = length // 2 + 1
    power = np.zeros((2, n_bins))
    cross = np.zeros(n_bins, dtype=np.complex128)
    n_segments = 0
    for start in range(0, volumes[0].shape[-1] - length + 1, step):
        part = slice(start, start + length)
        kept = slice(None) if inside is None else inside[..., part].all(axis=-1)
        x_lines, y_lines = (volume[..., part][kept].reshape(-1, length) for volume in volumes)
        n_segments += len(x_lines)
        for first in range(0, len(x_lines), _CHUNK):
            x, y = (
                _transform(lines[first : first + _CHUNK], window) for lines in (x_lines, y_lines)
            )
            power += [(np.abs(spectrum) ** 2).sum(axis=0) for spectrum in (x, y)]
            cross += (x.conj() * y).sum(axis=0)
    if not n_segments:
        raise ValueError(
            f"{pair.name}: no line of {length} voxels along axis {axis} lies inside the mask. Pass "
            "a shorter segment or a larger mask."
        )
    return power[0], power[1], cross


def _transform(lines: NDArray, window: NDArray[np.float64]) -> NDArray[np.complex128]:
    centered = lines.astype(np.float64)
    centered -= centered.mean(axis=1, keepdims=True)
    return np.fft.rfft(window * centered, axis=1)


def _squared_coherence(
    x: NDArray[np.float64], y: NDArray[np.float64], cross: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """Return the coherence of each frequency, 0 where a volume has no energy."""
    product = x * y
    squared = np.abs(cross) ** 2
    return np.divide(squared, product, out=np.zeros_like(product), where=product > 0)
