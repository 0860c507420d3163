"""NRMSE, PSNR and SSIM agree with references, have their invariances, and refuse bad input."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError
from sklearn_iqt.io import save_volume
from sklearn_iqt.metrics import nrmse, psnr, ssim

METRICS = [nrmse, psnr, ssim]
NORMALIZERS = {
    "max": np.max,
    "mean": np.mean,
    "range": np.ptp,
    "p99": lambda volume: np.percentile(volume, 99),
}


def smooth_pair(seed=0, shape=(18, 15, 13), noise=0.1, dtype="f8"):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij"))
    truth = 2 + np.sin(grid).sum(axis=0) + 0.2 * rng.random(shape)
    return truth.astype(dtype), (truth + noise * rng.normal(size=shape)).astype(dtype)


def ball(shape=(18, 15, 13), radius=5):
    center = [(n - 1) / 2 for n in shape]
    grid = np.indices(shape)
    return sum((g - c) ** 2 for g, c in zip(grid, center, strict=True)) < radius**2


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("shape", [(18, 15, 13), (11, 11, 11), (12, 40, 11), (60, 11, 14)])
@pytest.mark.parametrize("sigma", [1.5, 1.0])
@pytest.mark.parametrize("offset", [0.0, 500.0])
def test_ssim_agrees_with_skimage(shape, sigma, offset):
    truth, prediction = smooth_pair(shape=shape)
    truth, prediction = truth + offset, prediction + offset
    data_range = np.ptp(truth)
    expected = structural_similarity(
        truth,
        prediction,
        gaussian_weights=True,
        sigma=sigma,
        use_sample_covariance=False,
        data_range=data_range,
    )
    assert ssim(truth, prediction, sigma=sigma) == pytest.approx(expected, abs=1e-9)
    assert ssim(truth, prediction, sigma=sigma, data_range=data_range) == pytest.approx(
        expected, abs=1e-9
    )


def test_ssim_in_a_mask_is_the_mean_of_the_map_of_skimage():
    truth, prediction = smooth_pair()
    mask = ball()
    _, similarity = structural_similarity(
        truth,
        prediction,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=np.ptp(truth[mask]),
        full=True,
    )
    inner = np.zeros_like(mask)
    inner[5:-5, 5:-5, 5:-5] = True
    expected = similarity[mask & inner].mean()
    assert ssim(truth, prediction, mask=mask) == pytest.approx(expected, abs=1e-9)


def test_the_thickness_of_slabs_does_not_change_ssim(monkeypatch):
    truth, prediction = smooth_pair(shape=(50, 15, 13))
    mask = ball((50, 15, 13), 12)
    whole = ssim(truth, prediction), ssim(truth, prediction, mask=mask)
    monkeypatch.setattr("sklearn_iqt.metrics._volume._SLAB", 7)
    assert (ssim(truth, prediction), ssim(truth, prediction, mask=mask)) == pytest.approx(
        whole, abs=1e-12
    )


def test_psnr_and_nrmse_agree_with_skimage():
    truth, prediction = smooth_pair()
    assert psnr(truth, prediction) == pytest.approx(
        peak_signal_noise_ratio(truth, prediction, data_range=np.ptp(truth))
    )
    assert nrmse(truth, prediction, normalization="range") == pytest.approx(
        normalized_root_mse(truth, prediction, normalization="min-max")
    )
    assert nrmse(truth, prediction, normalization="mean") == pytest.approx(
        normalized_root_mse(truth, prediction, normalization="mean")
    )


def test_ssim_on_a_real_brain(shared_data):
    path = sorted(shared_data.glob("*/*_T1w.nii*"))[0]
    truth = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)[50:100, 40:90, 60:110]
    noise = np.random.default_rng(0).normal(size=truth.shape).astype(np.float32)
    prediction = truth + 0.05 * truth.max() * noise
    expected = structural_similarity(
        truth.astype(float),
        prediction.astype(float),
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=float(np.ptp(truth)),
    )
    assert ssim(truth, prediction) == pytest.approx(expected, abs=1e-7)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(1e-3, 10), st.booleans())
def test_every_normalisation_times_its_normaliser_is_the_rmse(seed, noise, masked):
    truth, prediction = smooth_pair(seed, (6, 5, 4), noise)
    mask = ball((6, 5, 4), 2) if masked else np.ones((6, 5, 4), bool)
    rmse = np.sqrt(np.mean((truth[mask] - prediction[mask]) ** 2))
    for normalization, normalizer in NORMALIZERS.items():
        error = nrmse(truth, prediction, mask=mask, normalization=normalization)
        assert error * normalizer(truth[mask]) == pytest.approx(rmse)


# ---------------------------------------------------------------- properties


@settings(max_examples=25)
@given(
    st.sampled_from(METRICS),
    st.integers(0, 10**6),
    st.floats(1e-3, 1e4),
    st.permutations([0, 1, 2]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_gain_axis_order_and_flips_change_nothing(metric, seed, gain, axes, flips):
    truth, prediction = smooth_pair(seed, (12, 13, 11))
    mask = np.random.default_rng(seed).random((12, 13, 11)) > 0.5
    mask[6, 6, 5] = True  # SSIM is defined nowhere near the border
    score = metric(truth, prediction, mask=mask)

    def moved(volume):
        step = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
        return volume.transpose(axes)[step]

    assert metric(gain * moved(truth), gain * moved(prediction), mask=moved(mask)) == pytest.approx(
        score
    )


@settings(max_examples=25)
@given(st.sampled_from(METRICS), st.permutations(range(4)))
def test_the_order_of_volumes_changes_only_the_order_of_scores(metric, order):
    pairs = [smooth_pair(seed, (12, 11, 11 + seed), 0.05 + 0.1 * seed) for seed in range(4)]
    truths, predictions = map(list, zip(*pairs, strict=True))
    scores = metric(truths, predictions, per_volume=True)
    assert scores.shape == (4,)
    assert metric(truths, predictions) == pytest.approx(scores.mean())
    assert [metric(*pair) for pair in pairs] == pytest.approx(scores)
    shuffled = metric([truths[n] for n in order], [predictions[n] for n in order], per_volume=True)
    np.testing.assert_array_equal(shuffled, scores[order])


def test_more_noise_is_worse():
    truth, _ = smooth_pair()
    scores = [
        [metric(truth, smooth_pair(noise=noise)[1]) for noise in (0.01, 0.1, 1.0)]
        for metric in METRICS
    ]
    assert scores[0] == sorted(scores[0])
    assert scores[1] == sorted(scores[1], reverse=True)
    assert scores[2] == sorted(scores[2], reverse=True)


def test_equal_volumes_have_the_best_scores():
    truth, _ = smooth_pair()
    assert nrmse(truth, truth) == 0
    assert psnr(truth, truth) == np.inf
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_voxels_outside_the_mask_do_not_change_scores(metric):
    truth, prediction = smooth_pair(shape=(40, 15, 13))
    mask = np.zeros(truth.shape, bool)
    mask[:15] = True
    score = metric(truth, prediction, mask=mask)
    far = prediction.copy()
    far[25:] += 1000
    louder = truth.copy()
    louder[25:] *= 1000
    assert metric(louder, far, mask=mask) == pytest.approx(score)
    everything = np.ones(truth.shape, bool)
    assert metric(truth, prediction, mask=everything) == pytest.approx(metric(truth, prediction))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_do_not_depend_on_dtype_and_container(metric, tmp_path):
    truth, prediction = smooth_pair(dtype="f4")
    score = metric(truth.astype("f8"), prediction.astype("f8"))
    for volume in (truth, prediction):
        volume.setflags(write=False)
    stack = np.stack([truth, truth]), np.stack([prediction, prediction])
    objects = np.empty(2, dtype=object)
    objects[:] = [prediction, np.asfortranarray(prediction).astype(">f4")]
    images = [nibabel.Nifti1Image(volume, np.eye(4)) for volume in (truth, prediction)]
    paths = [save_volume(image, tmp_path / f"{n}.nii") for n, image in enumerate(images)]
    for pair in [(truth, prediction), stack, ([truth, truth], objects), images, paths]:
        assert metric(*pair) == pytest.approx(score, rel=1e-6)
    assert metric([images[0]], [paths[1]]) == pytest.approx(score, rel=1e-6)
    assert metric([truth], [prediction], mask=[np.ones(truth.shape, "u1")]) == pytest.approx(score)
    assert isinstance(metric(truth, prediction), float)


def test_integers_are_not_subtracted_as_integers():
    truth = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    assert nrmse(truth, truth[::-1]) == pytest.approx(nrmse(truth * 1.0, truth[::-1] * 1.0))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_named_in_the_error(metric):
    truth, prediction = smooth_pair()
    name = metric.__name__
    with pytest.raises(GeometryMismatchError, match=rf"{name}: .*\(18, 15, 12\).*\(18, 15, 13\)"):
        metric(truth, prediction[..., 1:])
    with pytest.raises(GeometryMismatchError, match=rf"{name}: y_pred\[1\]"):
        metric([truth, truth], [prediction, prediction[..., 1:]])
    with pytest.raises(ValueError, match="2 volumes but y_pred holds 1"):
        metric([truth, truth], [prediction])
    with pytest.raises(ValueError, match="1 volumes but mask holds 2"):
        metric([truth], [prediction], mask=[truth, truth])
    with pytest.raises(ValueError, match="single volume"):
        metric(truth, [prediction])
    with pytest.raises(ValueError, match="mask is empty"):
        metric(truth, prediction, mask=np.zeros(truth.shape))
    with pytest.raises(GeometryMismatchError, match="mask has shape"):
        metric(truth, prediction, mask=np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match=r"constant|nothing to normalise"):
        metric(np.zeros(truth.shape), prediction)
    broken = prediction.copy()
    broken[3, 3, 3] = np.nan
    with pytest.raises(ValueError, match=rf"{name}: y_pred: 1 of 3510 voxels"):
        metric(truth, broken)
    with pytest.raises(ValueError, match="y_true"):
        metric(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)))
    with pytest.raises(VolumeReadError, match="no such file"):
        metric(truth, "nowhere.nii")


def test_images_on_other_grids_are_refused():
    truth, prediction = smooth_pair()
    shifted = np.eye(4)
    shifted[2, 3] = 1.5
    one, other = nibabel.Nifti1Image(truth, np.eye(4)), nibabel.Nifti1Image(prediction, shifted)
    with pytest.raises(GeometryMismatchError, match=r"1\.5 mm apart"):
        nrmse(one, other)
    assert nrmse(one, prediction) == nrmse(truth, prediction)


def test_parameters_are_checked():
    truth, prediction = smooth_pair()
    with pytest.raises(ValueError, match="normalization must be one of"):
        nrmse(truth, prediction, normalization="median")
    with pytest.raises(ValueError, match="range of y_true is 0"):
        nrmse(np.ones(truth.shape), prediction, normalization="range")
    for metric in (psnr, ssim):
        for data_range in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match="data_range"):
                metric(truth, prediction, data_range=data_range)
        assert np.isfinite(metric(np.ones(truth.shape), prediction, data_range=1.0))
    for options in ({"sigma": 0}, {"sigma": np.nan}, {"truncate": -1}, {"truncate": "wide"}):
        with pytest.raises(ValueError, match="must be a positive finite number"):
            ssim(truth, prediction, **options)


def test_a_volume_smaller_than_the_window_is_refused():
    truth, prediction = smooth_pair(shape=(32, 32, 8))
    with pytest.raises(ValueError, match=r"\(32, 32, 8\) is smaller than the window of 11"):
        ssim(truth, prediction)
    assert 0 < ssim(truth, prediction, sigma=0.8) < 1
    edge = np.zeros((18, 15, 13))
    edge[:2] = 1
    with pytest.raises(ValueError, match="border"):
        ssim(*smooth_pair(), mask=edge)


@pytest.mark.parametrize("metric", [nrmse, psnr, ssim])
def test_units_do_not_matter_after_matching(metric):
    truth, prediction = smooth_pair()
    mask = ball()
    for match, changed in (("gain", 40 * prediction), ("affine", 40 * prediction + 7)):
        expected = metric(truth, prediction, mask=mask, match=match)
        assert metric(truth, changed, mask=mask, match=match) == pytest.approx(expected)
        assert metric(truth, changed, mask=mask) != pytest.approx(expected)


def test_matching_is_the_least_squares_fit():
    truth, prediction = smooth_pair()
    mask = ball()
    x, y = prediction[mask], truth[mask]
    design = np.stack([x, np.ones_like(x)], axis=1)
    for match, columns in (("gain", design[:, :1]), ("affine", design)):
        _, residual, *_ = np.linalg.lstsq(columns, y, rcond=None)
        expected = np.sqrt(residual[0] / len(y)) / y.max()
        assert nrmse(truth, prediction, mask=mask, match=match) == pytest.approx(expected)


def test_an_unknown_match_and_a_constant_prediction():
    truth, _ = smooth_pair()
    with pytest.raises(ValueError, match="nrmse: match must be one of"):
        nrmse(truth, truth, match="curve")
    flat = np.full(truth.shape, 3.0)
    expected = truth.std() / truth.max()
    assert nrmse(truth, flat, match="affine") == pytest.approx(expected)
    assert nrmse(truth, 0 * flat, match="gain") == nrmse(truth, 0 * flat)


@pytest.mark.parametrize("match", ["gain", "affine"])
def test_an_inverted_contrast_is_not_matched(match):
    truth = np.arange(1.0, 28.0).reshape(3, 3, 3)
    inverted = -truth if match == "gain" else 28 - truth
    assert nrmse(truth, inverted, match=match) >= 0.2
