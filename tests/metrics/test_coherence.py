"""Coherence and shell correlation agree with scipy and with theory."""

import nibabel
import numpy as np
import pytest
from scipy import signal
from scipy.ndimage import gaussian_filter

from sklearn_iqt.metrics import (
    coherence,
    coherence_spectrum,
    fourier_shell_correlation,
    shell_resolution,
)
from sklearn_iqt.preprocessing import upsample
from sklearn_iqt.simulation import degrade


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).normal(size=(24, 24, 128))


def test_every_frequency_agrees_with_scipy(truth):
    other = truth + np.random.default_rng(1).normal(size=truth.shape)
    spectrum = coherence_spectrum(truth, other)
    # Lines and their segments in one long line would mix neighbours, so sum the spectra instead.
    options = {"window": "hann", "nperseg": 64, "noverlap": 32, "detrend": "constant"}
    _, cross = signal.csd(truth, other, **options)
    x, y = (signal.csd(v, v, **options)[1].real.mean(axis=(0, 1)) for v in (truth, other))
    expected = np.abs(cross.mean(axis=(0, 1))) ** 2 / (x * y)
    np.testing.assert_allclose(spectrum.coherence, expected[1:], rtol=1e-9)
    np.testing.assert_allclose(spectrum.frequency, np.arange(1, 33) / 64)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_adds_nothing_above_nyquist(truth, axis):
    scale = [1, 1, 1]
    scale[axis] = 4
    volume = np.moveaxis(truth, -1, axis)
    estimate = upsample(degrade(volume, scale=scale), scale)
    assert coherence(volume, volume, axis=axis) == pytest.approx(1)
    # White noise aliases most of all; it leaves a little of itself above the frequency.
    assert coherence(volume, estimate, axis=axis) < 0.05
    assert coherence(volume, estimate, axis=axis, band="below") > 0.6


def test_noise_lowers_it_as_theory_says(truth):
    for noise in (0.5, 1.0, 2.0):
        estimate = truth + noise * np.random.default_rng(1).normal(size=truth.shape)
        for band in ("below", "above"):
            expected = 1 / (1 + noise**2)
            assert coherence(truth, estimate, band=band) == pytest.approx(expected, abs=0.04)


def test_the_bias_without_any_relation_is_one_over_the_number_of_segments():
    rng = np.random.default_rng(0)
    for n in (4, 10):
        found = [
            coherence(*rng.normal(size=(2, n, 1, 64)), segment=64) for _ in range(200)
        ]  # one segment in each line
        assert np.mean(found) == pytest.approx(1 / n, rel=0.1)


def test_shift_gain_offset_and_filter(truth):
    smooth = gaussian_filter(truth, 1)
    shifted = np.roll(smooth, 1, axis=2)
    assert coherence(smooth, shifted) > 0.9
    assert coherence(smooth, 7 * smooth - 20) == pytest.approx(1)
    half = coherence_spectrum(truth, gaussian_filter(truth, (0, 0, 1), mode="wrap"))
    expected = np.exp(-0.5 * (2 * np.pi * half.frequency) ** 2)
    np.testing.assert_allclose(half.gain[2:-2], expected[2:-2], atol=0.03)
    # The shell correlation sees the shift.
    shells = fourier_shell_correlation(truth, np.roll(truth, 1, axis=2), axis=2, voxel_size_mm=1)
    expected = np.cos(2 * np.pi * shells.frequency)
    np.testing.assert_allclose(shells.correlation[8:], expected[8:], atol=0.25)


def test_the_border_of_a_mask_is_not_part_of_a_spectrum(truth):
    mask = np.zeros(truth.shape, bool)
    mask[4:20, 4:20, 10:100] = True
    other = np.random.default_rng(1).normal(size=truth.shape)
    # Inside, the two are not related. Outside they are equal.
    estimate = np.where(mask, other, truth)
    assert coherence(truth, estimate, mask=mask) < 0.02
    assert coherence(truth, estimate) > 0.1
    loud = np.where(mask, truth, 1e6)
    assert coherence(loud, truth, mask=mask) == pytest.approx(1)


def test_collections_and_matching(truth):
    noisy = truth + np.random.default_rng(1).normal(size=truth.shape)
    scores = coherence([truth, truth], [truth, noisy], per_volume=True)
    assert scores == pytest.approx([1, coherence(truth, noisy)])
    assert coherence(truth, noisy, match="affine") == pytest.approx(scores[1])


def test_what_cannot_be_measured_is_refused(truth):
    for options, message in (
        ({"band": "beside"}, "band must be"),
        ({"scale": 1}, "scale must be"),
        ({"scale": 2.5}, "scale must be"),
        ({"axis": 3}, "axis must be"),
        ({"segment": 4}, "segment must be"),
        ({"segment": 200}, "axis 2 has 128 voxels, but segment is 200"),
        ({"segment": 8}, "no frequency below"),
    ):
        with pytest.raises(ValueError, match=f"coherence: .*{message}"):
            coherence(truth, truth, **{"band": "below", **options})
    with pytest.raises(ValueError, match="no line of 64 voxels"):
        coherence(truth, truth, mask=np.indices(truth.shape)[2] < 60)
    with pytest.raises(ValueError, match="no energy"):
        coherence(np.full(truth.shape, 0.1), truth)


# ---------------------------------------------------------------- shells


@pytest.mark.parametrize("axis", [None, 0, 2])
def test_shells_agree_with_a_full_transform(truth, axis):
    volumes = truth[..., :33], gaussian_filter(truth[..., :33], 0.7)
    size = np.array([1.0, 2.0, 0.8])
    shells = fourier_shell_correlation(*volumes, axis=axis, voxel_size_mm=size, n_shells=6)
    depths = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in volumes[0].shape]
    depth = np.minimum.reduce(np.meshgrid(*depths, indexing="ij"))
    window = 0.5 - 0.5 * np.cos(np.pi * np.minimum(depth / 8, 1))
    x, y = (np.fft.fftn(window * (v - np.average(v, weights=window))) for v in volumes)
    grid = np.stack(
        np.meshgrid(
            *[np.fft.fftfreq(n, d) for n, d in zip(x.shape, size, strict=True)], indexing="ij"
        )
    )
    radius = np.linalg.norm(grid, axis=0)
    highest = 0.5 / (size.max() if axis is None else size[axis])
    for n, correlation in enumerate(shells.correlation):
        shell = (radius > 0) & (radius >= n * highest / 6) & (radius < (n + 1) * highest / 6)
        if axis is not None:
            shell &= np.abs(grid[axis]) >= np.cos(np.pi / 6) * radius
        product = (x[shell] * y[shell].conj()).sum().real
        expected = product / np.linalg.norm(x[shell]) / np.linalg.norm(y[shell])
        assert correlation == pytest.approx(expected, abs=0.01)


def test_noise_lowers_the_shells_as_theory_says(truth):
    noise = np.random.default_rng(1).normal(size=truth.shape)
    shells = fourier_shell_correlation(truth, truth + 2 * noise, voxel_size_mm=1)
    np.testing.assert_allclose(shells.correlation[4:].mean(), 1 / np.sqrt(5), atol=0.03)


def test_the_resolution_is_where_the_blur_begins():
    truth = np.random.default_rng(0).normal(size=(64, 64, 64))
    # Keep the frequencies below 0.25 cycles per voxel, that is detail of 4 voxels.
    spectrum = np.fft.fftn(truth)
    radius = np.linalg.norm(np.meshgrid(*[np.fft.fftfreq(64)] * 3, indexing="ij"), axis=0)
    estimate = np.fft.ifftn(np.where(radius < 0.25, spectrum, 0)).real
    estimate += 1e-3 * np.random.default_rng(1).normal(size=truth.shape)
    image = nibabel.Nifti1Image(truth, np.diag([2, 2, 2, 1.0]))
    assert shell_resolution(image, estimate) == pytest.approx(8, rel=0.07)
    assert shell_resolution(truth, truth, voxel_size_mm=2) == 4
    assert shell_resolution(truth, estimate, voxel_size_mm=1, threshold=0.9) >= 4
    noise = np.random.default_rng(2).normal(size=truth.shape)
    assert shell_resolution(truth, noise, voxel_size_mm=1) == np.inf


def test_voxels_outside_the_mask_do_not_change_the_shells(truth):
    mask = np.zeros(truth.shape, bool)
    mask[:, :, 20:100] = True
    loud = np.where(mask, truth, 1e4)
    inside, expected = (
        fourier_shell_correlation(v, truth, voxel_size_mm=1, mask=mask).correlation
        for v in (loud, truth)
    )
    np.testing.assert_allclose(inside, expected)


def test_bad_shells_are_refused(truth):
    with pytest.raises(ValueError, match="voxel size of an array is not known"):
        fourier_shell_correlation(truth, truth)
    with pytest.raises(ValueError, match="voxel_size_mm must be"):
        fourier_shell_correlation(truth, truth, voxel_size_mm=[1, 0, 1])
    with pytest.raises(ValueError, match="axis must be"):
        fourier_shell_correlation(truth, truth, voxel_size_mm=1, axis=5)
    with pytest.raises(ValueError, match="n_shells must be"):
        fourier_shell_correlation(truth, truth, voxel_size_mm=1, n_shells=1)
    with pytest.raises(ValueError, match="threshold must be"):
        shell_resolution(truth, truth, voxel_size_mm=1, threshold=1)
    with pytest.raises(ValueError, match="constant"):
        shell_resolution(truth, np.zeros(truth.shape), voxel_size_mm=1)


def test_a_difference_in_large_structures_does_not_end_the_resolution():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(40, 40, 40))
    slow = gaussian_filter(rng.normal(size=truth.shape), 12)
    estimate = gaussian_filter(truth, 0.5) + 5 * slow / slow.std()
    assert shell_resolution(truth, estimate, voxel_size_mm=1) == 2
