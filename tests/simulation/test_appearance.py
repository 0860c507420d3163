"""Contrast, bias field, noise, background and lesions of simulated scans."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_iqt.simulation import LowFieldSimulator

SHAPE = (24, 24, 32)
INTENSITY = np.array([0, 40, 100, 150])


def labels():
    """Return a block of CSF, GM and WM in a background."""
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[2:22, 2:22] = 1
    tissues[5:22, 2:22] = 2
    tissues[11:22, 2:22] = 3
    return tissues


def scan(**params):
    """Return the simulated scan of the block, and the labels of its voxels."""
    given = {"border_width": 0, "random_state": 0, "noise": None, **params}
    tissues = labels()
    volume = INTENSITY[tissues].astype(np.float64)
    pair = LowFieldSimulator(**given).simulate([volume], [tissues], snr=[[60, 50]])
    return pair.low[0], tissues[..., 1::4]


def means(low, tissues):
    return np.array([low[tissues == n].mean() for n in (1, 2, 3)])


def test_csf_is_multiplied():
    plain, tissues = scan()
    np.testing.assert_allclose(
        means(scan(csf=1.5)[0], tissues) / means(plain, tissues), [1.5, 1, 1]
    )


@pytest.mark.parametrize(("tissue", "kept"), [("gm", 1), ("wm", 2)])
def test_gamma_raises_ratios_to_a_power_and_keeps_the_reference(tissue, kept):
    plain, tissues = scan(reference_tissue=tissue)
    curved = means(scan(reference_tissue=tissue, gamma=0.8)[0], tissues)
    reference = means(plain, tissues)
    np.testing.assert_allclose(curved[kept], reference[kept])
    np.testing.assert_allclose(curved / curved[kept], (reference / reference[kept]) ** 0.8)


def test_the_bias_field_is_smooth_and_as_strong_as_it_says():
    plain, tissues = scan()
    inside = tissues > 0
    field = scan(bias=0.3, bias_width=20)[0][inside] / plain[inside]
    assert 1 / 1.3 - 1e-9 <= field.min() < field.max() <= 1.3 + 1e-9
    assert field.max() / field.min() > 1.1
    full = np.where(inside, scan(bias=0.3, bias_width=20)[0] / np.where(inside, plain, 1), 1)
    steps = np.diff(full[3:21, 3:21], axis=0)
    assert np.abs(steps).max() < 0.06


def test_a_background_of_zeros_ends_at_the_brain():
    low, tissues = scan(noise="gaussian", background="zero")
    assert (low[tissues == 0] == 0).all()
    assert (low[tissues > 0] != 0).all()
    np.testing.assert_array_equal(low[tissues > 0], scan(noise="gaussian")[0][tissues > 0])


def test_each_scan_has_one_of_the_kinds_of_noise():
    tissues = np.stack([labels()] * 8)
    volumes = INTENSITY[tissues].astype(np.float64)
    options = {"border_width": 0, "random_state": 0}
    mixed, gaussian, rician = (
        LowFieldSimulator(noise=noise, **options).simulate(volumes, tissues).low
        for noise in (("gaussian", "rician"), "gaussian", "rician")
    )
    is_gaussian = [np.array_equal(a, b) for a, b in zip(mixed, gaussian, strict=True)]
    is_rician = [np.array_equal(a, b) for a, b in zip(mixed, rician, strict=True)]
    assert sum(is_gaussian) + sum(is_rician) == 8
    assert 0 < sum(is_gaussian) < 8


def test_a_range_does_not_change_the_draws_of_other_parameters():
    plain = scan(noise="gaussian", csf=(0.5, 1.5))[0]
    again, tissues = scan(noise="gaussian", csf=(0.5, 1.5), bias=(0, 0))
    np.testing.assert_array_equal(plain, again)
    # Nor do parameters of one value change the noise and the SNR of earlier releases.
    np.testing.assert_array_equal(scan(noise="gaussian")[0][tissues == 2], plain[tissues == 2])


def test_lesions_are_in_the_scan_and_in_the_high_volume():
    tissues = labels()
    volume = INTENSITY[tissues].astype(np.float64)
    options = {"border_width": 0, "random_state": 1, "noise": None}
    lesions = {"n_lesions": 1, "lesion_diameter": 6, "lesion_contrast": 0.3}
    (high,), (low,) = (
        LowFieldSimulator(**options, **lesions).simulate([volume], [tissues], snr=[[60, 50]])[name]
        for name in ("high", "low")
    )
    change = high - volume
    assert change.max() == pytest.approx(0.3 * 150)
    assert (change[tissues != 3] == 0).all()
    # As large as a sphere of this diameter, within the rim.
    assert change.sum() / (0.3 * 150) == pytest.approx(np.pi / 6 * 6**3, rel=0.25)
    expected = LowFieldSimulator(**options).simulate([high], [tissues], snr=[[60, 50]]).low[0]
    inside = tissues[..., 1::4] > 0
    near = np.abs(low[inside] / expected[inside] - 1)
    assert near.max() < 0.05  # the mean of white matter, which sets its gain, includes the lesion


def test_lesions_without_a_place_are_left_out():
    tissues = labels()
    volume = INTENSITY[tissues].astype(np.float64)
    simulator = LowFieldSimulator(n_lesions=3, lesion_diameter=40, border_width=0, random_state=0)
    np.testing.assert_array_equal(simulator.simulate([volume], [tissues]).high[0], volume)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"csf": (2, 1)}, "csf"),
        ({"gamma": (0, 1)}, "gamma"),
        ({"bias": (-0.1, 0)}, "bias"),
        ({"noise": ("gaussian", "salt")}, "noise"),
        ({"background": ()}, "background"),
        ({"n_lesions": (0, 1.5)}, "n_lesions"),
        ({"lesion_diameter": (3, 2)}, "lesion_diameter"),
    ],
)
def test_bad_ranges_are_refused(params, message):
    with pytest.raises(ValueError, match=f"LowFieldSimulator: {message}"):
        scan(**params)
