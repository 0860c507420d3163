"""Heads are recognised by their skull, at any contrast and with noise, and brains are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.preprocessing import has_skull, resample_to_voxel_size
from sklearn_iqt.preprocessing._background import has_zero_background
from sklearn_iqt.preprocessing._skull import crossings
from sklearn_iqt.simulation import LowFieldSimulator, degrade


@pytest.fixture(scope="module")
def brain():
    """A brain from the template, at 2 mm."""
    image = make_subjects(1, shape=(160, 192, 160), random_state=0).images[0]
    return np.pad(np.asarray(image.dataobj)[::2, ::2, ::2], 12)


@pytest.fixture(scope="module")
def head(brain):
    """The brain with a scalp of 4 mm, 8 mm away from it."""
    outside = ndimage.distance_transform_edt(~ndimage.binary_closing(brain > 0, iterations=3))
    return np.where((outside > 4) & (outside <= 6), 0.8 * brain.max(), brain)


def versions(volume, rng):
    """Return the volume with noise, gain, offset, rings, thick slices and bright voxels."""
    top = np.percentile(volume, 99)
    noise = 0.1 * top * rng.normal(size=(2, *volume.shape))
    ringing = resample_to_voxel_size((volume, np.eye(4)), 1.3, order=3, keep_range=False)
    return {
        "plain": volume,
        "unit": 1e-3 * volume,
        "offset": volume + top,
        "gaussian": volume + noise[0],
        "rician": np.hypot(volume + noise[0], noise[1]),
        "ringing": np.asarray(ringing.dataobj),
        "thick": degrade(volume, scale=(1, 1, 3), thickness=3),
        "bright": np.where(rng.random(volume.shape) < 0.002, 5 * top, volume),
        "turned": volume.transpose(2, 0, 1)[::-1],
    }


def test_made_heads_and_brains_are_distinguished(brain, head, rng):
    for name, volume in versions(head, rng).items():
        assert has_skull(volume), name
    for name, volume in versions(brain, rng).items():
        assert not has_skull(volume), name


def test_volumes_without_a_brain_have_no_skull():
    for volume in (np.zeros((6, 6, 6)), np.ones((6, 6, 6)), np.indices((9, 9, 9))[0]):
        assert not has_skull(volume)
    with pytest.raises(ValueError, match="has_skull: volume has 2 dimensions"):
        has_skull(np.zeros((3, 3)))


# Measured: 0.40 to 0.53 in heads; at most 0.11 in the 68 brains.
@pytest.mark.parametrize(
    ("pattern", "skull"),
    [
        ("heads/sub-0?_T1w", True),
        ("heads/sub-0?_inplaneT2", True),
        ("ds002748/sub-1[5-8]_T1w", False),
        ("ds002748_more/sub-5[5-6]_T1w", False),
        ("oasis/sub-11[0-2]?_T1w", False),
        ("lesions/sub-ms07_*[wR]", False),
    ],
)
def test_real_heads_and_brains_are_distinguished(shared_data, pattern, skull):
    paths = sorted(shared_data.glob(f"{pattern}.nii.gz"))
    assert len(paths) > 1
    for path in paths:
        assert has_skull(path) == skull, path


def test_simulated_scans_of_real_brains_have_no_skull(shared_data):
    path = shared_data / "ds002748" / "sub-17_T1w.nii.gz"
    labels = [str(path).replace("T1w", "tissues")]
    for snr in ("t1w_036t", "ulf_measured"):
        simulator = LowFieldSimulator(snr, noise="rician", random_state=0)
        low = simulator.simulate([str(path)], labels).low[0]
        assert crossings(np.asarray(low.dataobj)) < 0.15


def test_zeros_of_the_background_are_recognised(brain, rng):
    assert has_zero_background(brain)
    for name, volume in versions(brain, rng).items():
        if name in ("offset", "gaussian", "rician", "ringing"):
            assert not has_zero_background(volume), name
