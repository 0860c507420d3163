"""On real brains, IQT-SRep is better than interpolation and does not shift volumes."""

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, LowFieldSimulator, load_volume
from sklearn_iqt.metrics import nrmse, ssim

TRAINING, TEST = ("sub-01", "sub-02", "sub-03"), ("sub-13", "sub-14")


def read(folder, subjects):
    """Return the middle of each brain and of its label map."""
    parts = []
    for kind in ("T1w", "tissues"):
        volumes = [load_volume(folder / f"{s}_{kind}.nii.gz").get_fdata() for s in subjects]
        parts.append([v[30:126, 30:102, 40:136].astype(np.float32) for v in volumes])
    return parts


@pytest.fixture(scope="module", params=["center", "corner"])
def experiment(request, shared_data):
    folder = shared_data / "ds002748"
    alignment = request.param
    simulator = LowFieldSimulator(alignment=alignment, random_state=0)
    training = simulator.simulate(*read(folder, TRAINING))
    test = simulator.set_params(snr="ind1", random_state=1).simulate(*read(folder, TEST))
    models = [
        InterpolationIQT(alignment=alignment),
        CoupledDictionaryIQT(
            128, alignment=alignment, max_patches=8000, max_iter=8, random_state=0, n_jobs=2
        ),
    ]
    return test, [m.fit(training.low, training.high).predict(test.low) for m in models]


def test_sparse_codes_beat_interpolation_for_every_subject(experiment):
    test, (interpolated, enhanced) = experiment
    brains = [truth > 0 for truth in test.high]
    for measure, sign in ((nrmse, -1), (ssim, 1)):
        before = measure(test.high, interpolated, mask=brains, per_volume=True)
        after = measure(test.high, enhanced, mask=brains, per_volume=True)
        assert (sign * (after - before) > 0).all()


def test_nothing_is_shifted(experiment):
    """A shift by half a voxel would be 0.5 here, and a wrong alignment 1.5 along k."""
    test, estimates = experiment
    for estimate in estimates:
        for truth, volume in zip(test.high, estimate, strict=True):
            shift, _, _ = phase_cross_correlation(
                truth, volume, upsample_factor=20, normalization=None
            )
            assert np.abs(shift).max() <= 0.2


def test_no_seams_between_patches(experiment):
    """Steps of the error at the borders of patches are not larger than with interpolation."""
    test, estimates = experiment
    for axis in range(3):
        excess = []
        for estimate in estimates:
            steps = sum(
                np.abs(np.diff(volume - truth, axis=axis)).mean(axis=tuple({0, 1, 2} - {axis}))
                for truth, volume in zip(test.high, estimate, strict=True)
            )
            excess.append(steps[2::3].mean() / steps.mean())
        assert excess[1] == pytest.approx(excess[0], rel=0.05)
