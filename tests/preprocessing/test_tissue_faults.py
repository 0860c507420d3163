"""TissueScaler warns of scans in which it cannot have found fluid, grey and white matter."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from sklearn_iqt.preprocessing import TissueScaler


def head(intensities=(0, 40, 100, 150), noise=4, size=48):
    """Return a ball of white matter inside grey matter inside fluid, and its labels."""
    rng = np.random.default_rng(0)
    radius = np.linalg.norm(np.indices((size,) * 3) - (size - 1) / 2, axis=0)
    labels = np.select(
        [radius < 0.29 * size, radius < 0.39 * size, radius < 0.42 * size], [3, 2, 1]
    )
    volume = np.asarray(intensities, float)[labels]
    return volume + rng.normal(0, noise, size=volume.shape) * (labels > 0), labels


def warnings_of(volume, mask=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TissueScaler().tissue_means(volume, mask)
    return [str(warning.message) for warning in caught]


def test_a_brain_in_air_is_plausible_with_and_without_a_mask():
    volume, labels = head()
    assert warnings_of(volume) == []
    assert warnings_of(volume, labels > 0) == []
    assert warnings_of(head((0, 40, 100, 125), noise=8)[0]) == []


def test_a_crop_without_air_needs_a_mask():
    volume, labels = head()
    crop = (slice(10, -10),) * 3
    (message,) = warnings_of(volume[crop])
    assert "estimated foreground" in message
    assert "no air around the brain" in message
    assert "Pass a mask" in message
    assert not any("no air" in text for text in warnings_of(volume[crop], labels[crop] > 0))


@pytest.mark.parametrize("masked", [False, True])
def test_other_contrasts_are_recognised(masked):
    # Of T2-weighted scans, where fluid is bright, and of FLAIR, where grey matter is brighter.
    for intensities in ((0, 160, 100, 70), (0, 40, 120, 90)):
        volume, labels = head(intensities)
        (message,) = warnings_of(volume, labels > 0 if masked else None)
        assert "probably wrong" in message
        assert ("in the mask" in message) == masked


def test_a_fit_and_a_transform_name_the_volume():
    good, bad = head()[0], head((0, 40, 120, 90))[0]
    scaler = TissueScaler().fit([good])
    with pytest.warns(UserWarning, match=r"X\[1\]: .* white matter is inside grey matter"):
        scaler.transform([good, bad])
