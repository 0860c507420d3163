"""The variants of IQT-SRep that the fidelity study compares are those that it names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.fidelity import PaperDictionary
from sklearn_iqt import CoupledDictionaryIQT
from sklearn_iqt.simulation import degrade


@pytest.fixture(scope="module")
def pairs():
    """Return low and high volumes of smooth noise."""
    rng = np.random.default_rng(0)
    high = [100 + 60 * gaussian_filter(rng.normal(size=(26, 24, 32)), 1.0) for _ in range(2)]
    high = [volume.astype(np.float32) for volume in high]
    return [degrade(volume) for volume in high], high


def test_without_its_two_details_it_is_the_estimator(pairs):
    low, high = pairs
    model = CoupledDictionaryIQT(
        24,
        features="gradient",
        n_components=0.9,
        target_unit="low",
        max_patches=400,
        random_state=3,
    ).fit(low, high)
    plain = PaperDictionary(24, 400, 3, whole=False, reduce_atoms=False).fit(low, high)
    np.testing.assert_allclose(plain.low_, model.dictionary_low_, atol=1e-3)
    expected = model.predict(low)
    for found, wanted in zip(plain.predict(low), expected, strict=True):
        assert np.abs(found - wanted).mean() < 1e-3 * np.abs(wanted).mean()


def test_differences_of_whole_volumes_see_beyond_the_patch(pairs):
    volume = pairs[1][0].astype(np.float64)
    model = PaperDictionary(24, 400, 3, whole=True, reduce_atoms=False)
    (operator,) = model._operators()
    box = (slice(4, 13), slice(5, 14), slice(6, 21))  # a patch of 7 with one low voxel around it
    found = operator @ volume[box].ravel() / np.sqrt(9 * 9 * 15 / 343)
    expected = []
    for axis, step in enumerate((1, 1, 4)):
        ahead = np.roll(volume, -(step - step // 2), axis)
        expected.append(ahead - np.roll(volume, step // 2, axis))
        expected.append(
            (np.roll(volume, -step, axis) - 2 * volume + np.roll(volume, step, axis)) / 2
        )
    inner = (slice(5, 12), slice(6, 13), slice(10, 17))
    np.testing.assert_allclose(found, np.concatenate([e[inner].ravel() for e in expected]))


def test_atoms_are_reduced_after_they_are_learned(pairs):
    low, high = pairs
    model = PaperDictionary(24, 400, 3, whole=False, reduce_atoms=True).fit(low, high)
    n_components, n_voxels = model.projection_.shape
    assert n_voxels == 343
    assert model.low_.shape == (24, n_components)
    assert n_components < 24
    # The atoms had unit norm; 90 % of their energy is left.
    assert 0.9 <= np.mean(np.sum(model.low_**2, axis=1)) < 1
