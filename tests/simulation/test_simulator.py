"""LowFieldSimulator agrees with the published method, and refuses bad input."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to, smooth_image
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates
from sklearn.base import clone

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.simulation import (
    GaussianSNR,
    LowFieldSimulator,
    degrade,
    mahalanobis_distance,
    tissue_maps_from_labels,
)

INTENSITY = np.array([0, 40, 100, 150])
EXACT = {"noise": None, "mask_target": False}


def slabs(shape=(24, 10, 32), *, background=0):
    """Return a label map that changes only along the first axis, which is not blurred."""
    labels = np.ones(shape, dtype=np.uint8)
    labels[shape[0] // 6 :], labels[shape[0] // 2 :] = 2, 3
    labels[:background] = 0
    return labels


def textured(labels, dtype=np.float64, seed=0):
    """Return a volume of the tissues' intensities with a random texture."""
    texture = np.random.default_rng(seed).uniform(0.8, 1.2, size=labels.shape)
    return (INTENSITY[labels] * texture).astype(dtype)


def simulate(high, tissues, snr=None, **parameters):
    # Hard labels, unless a test says otherwise: expected values are then exact.
    given = {"border_width": 0, "random_state": 0, **parameters}
    return LowFieldSimulator(**given).simulate(high, tissues, snr)


def blurred_and_decimated(volume, scale, thickness, alignment):
    """Blur and sample along the last axis, point by point."""
    sigma = thickness / math.sqrt(8 * math.log(2))
    blurred = gaussian_filter1d(volume, sigma, axis=2, mode="nearest")
    size = volume.shape[2] // scale
    position = np.arange(size) * scale + ((scale - 1) / 2 if alignment == "center" else 0)
    grid = np.meshgrid(*map(np.arange, volume.shape[:2]), position, indexing="ij")
    return map_coordinates(blurred, grid, order=3)


def test_simulator_agrees_with_the_published_method_in_nibabel():
    labels = slabs((24, 8, 37))
    # Soft maps: tissue borders that cross the slices.
    maps = tissue_maps_from_labels(np.roll(labels, 7, axis=0), border_width=0).astype(np.float64)
    maps[..., 20:] = tissue_maps_from_labels(labels, border_width=0)[..., 20:]
    maps = gaussian_filter1d(maps, 1.0, axis=1)
    volume = textured(labels)
    affine = np.diag([0.7, 0.7, 0.7, 1.0])
    low_grid = ((24, 8, 9), affine @ np.diag([1, 1, 4, 1]))

    def lower(array):
        image = smooth_image(nib.Nifti1Image(array, affine), [0, 0, 3 * 0.7])
        return np.asarray(resample_from_to(image, low_grid).dataobj)

    low, csf, grey, white = (lower(array) for array in (volume, *maps))
    sigma = low[grey > 0.9].mean() / 54.14
    expected = (csf + grey + white * 64.5 * sigma / low[white > 0.9].mean()) * low
    pairs = simulate([volume], [maps], [[64.5, 54.14]], alignment="corner", noise=None)
    np.testing.assert_allclose(pairs.low[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pairs.high[0], (volume * maps.sum(axis=0))[..., :36], atol=1e-12)


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("reference_tissue", ["gm", "wm"])
def test_the_original_contrast_without_noise_is_only_blurred_and_sampled(
    alignment, reference_tissue
):
    labels = slabs()
    volume = textured(labels)
    expected = blurred_and_decimated(volume, 4, 3, alignment)
    low_labels = labels[..., ::4]
    grey, white = (expected[low_labels == label].mean() for label in (2, 3))
    pairs = simulate(
        [volume],
        [labels],
        [[white / grey * 1e9, 1e9]],
        alignment=alignment,
        reference_tissue=reference_tissue,
    )
    np.testing.assert_allclose(pairs.low[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(pairs.high[0], volume)


@pytest.mark.parametrize("reference_tissue", ["gm", "wm"])
def test_snr_and_noise_have_the_requested_values(reference_tissue):
    labels = slabs((60, 40, 80), background=5)
    volume = INTENSITY[labels].astype(np.float64)
    pairs = simulate([volume], [labels], [[30.0, 24.0]], reference_tissue=reference_tissue)
    low, low_labels = pairs.low[0], labels[..., ::4]
    csf, grey, white = (low[low_labels == label] for label in (1, 2, 3))
    assert grey.mean() / grey.std() == pytest.approx(24, rel=0.02)
    assert white.mean() / white.std() == pytest.approx(30, rel=0.02)
    # The reference and CSF keep their means, and the background holds only noise.
    sigma = 100 / 24 if reference_tissue == "gm" else 150 / 30
    background = low[low_labels == 0]
    assert background.std() == pytest.approx(sigma, rel=0.03)
    assert abs(background.mean()) < 4 * sigma / math.sqrt(background.size)
    assert csf.mean() == pytest.approx(40, abs=0.3)
    kept = grey.mean() / 100 if reference_tissue == "gm" else white.mean() / 150
    assert kept == pytest.approx(1, abs=0.002)


def test_rician_noise_has_the_moments_of_a_magnitude_image():
    labels = slabs((60, 40, 80), background=10)
    volume = INTENSITY[labels].astype(np.float64)
    low = simulate([volume], [labels], [[30, 24]], noise="rician").low[0]
    sigma = 100 / 24
    background = low[labels[..., ::4] == 0]
    assert low.min() >= 0
    assert background.mean() == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.01)
    assert background.std() == pytest.approx(sigma * math.sqrt(2 - math.pi / 2), rel=0.03)


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_a_ramp_is_sampled_at_the_positions_of_the_alignment(scale, alignment):
    labels = slabs((12, 6, scale * 12))
    ramp = np.zeros(labels.shape) + np.arange(labels.shape[2]) + 100.0
    # One intensity in GM and WM: equal SNR changes nothing.
    pairs = simulate(
        [ramp],
        [labels],
        [[1, 1]],
        scale=(1, 1, scale),
        thickness=scale - 1,
        alignment=alignment,
        **EXACT,
    )
    expected = scale * np.arange(12) + ((scale - 1) / 2 if alignment == "center" else 0)
    inner = slice(3, -3)  # the blur repeats the last voxel, which bends a ramp
    np.testing.assert_allclose(pairs.low[0][0, 0, inner] - 100, expected[inner], atol=0.02)


def test_several_axes_can_have_a_scale_and_a_thickness():
    labels = np.moveaxis(slabs((48, 12, 20)), 0, 2)
    pairs = simulate(
        [textured(labels)], [labels], scale=(2, 1, 4), thickness=(2, 1, 2.5), gap=(0, 0, 1.5)
    )
    assert pairs.low[0].shape == (6, 20, 12)
    assert pairs.high[0].shape == (12, 20, 48)


def test_a_single_scale_is_used_for_all_axes():
    labels = slabs((12, 12, 24))
    one, three = (
        simulate([textured(labels)], [labels], scale=scale, thickness=1.5, gap=0.5)
        for scale in (2, (2, 2, 2))
    )
    assert one.low[0].shape == (6, 6, 12)
    np.testing.assert_array_equal(one.low[0], three.low[0])


def test_shapes_that_scale_does_not_divide_are_cropped_at_the_far_end():
    labels = slabs((24, 10, 31))
    volume = textured(labels, np.float32)
    pairs = simulate([volume], [labels])
    assert pairs.low[0].shape == (24, 10, 7)
    np.testing.assert_array_equal(pairs.high[0], volume[..., :28])


def test_the_target_is_masked_like_the_input_by_default():
    labels = slabs(background=3)
    volume = textured(labels) + 7.0
    masked, whole = (
        simulate([volume], [labels], mask_target=mask).high[0] for mask in (True, False)
    )
    np.testing.assert_array_equal(whole, volume)
    np.testing.assert_array_equal(masked, np.where(labels > 0, volume, 0))


def test_the_contrast_changes_after_sampling_and_csf_is_kept():
    labels = slabs(background=2)
    volume = INTENSITY[labels].astype(np.float64)
    low = simulate([volume], [labels], [[66.0, 60.0]], noise=None).low[0]
    expected = np.array([0, 40, 100, 110])[labels[..., ::4]]
    np.testing.assert_allclose(low, expected, rtol=1e-6)


def test_results_have_the_same_container_as_the_input(tmp_path):
    labels = slabs()
    volume = textured(labels, np.float32)
    affine = np.array([[0, 0, 2.0, 5], [1.5, 0, 0, -3], [0, 1, 0, 2], [0, 0, 0, 1]])
    image, label_image = nib.Nifti1Image(volume, affine), nib.Nifti1Image(labels, affine)
    nib.save(image, tmp_path / "t1w.nii.gz")
    nib.save(label_image, tmp_path / "tissues.nii.gz")
    soft = tissue_maps_from_labels(labels, border_width=0)

    stacked = simulate(np.stack([volume] * 2), np.stack([labels] * 2))
    assert isinstance(stacked.low, np.ndarray)
    assert stacked.low.shape == (2, 24, 10, 8)
    assert stacked.high.shape == (2, 24, 10, 32)
    for high, tissues in (
        ([volume] * 2, [labels, soft]),
        ([volume] * 2, np.stack([soft] * 2)),
        ((image, image), [label_image, soft]),
        ([tmp_path / "t1w.nii.gz"] * 2, [tmp_path / "tissues.nii.gz", label_image]),
        ([str(tmp_path / "t1w.nii.gz")] * 2, [str(tmp_path / "tissues.nii.gz"), labels]),
    ):
        pairs = simulate(high, tissues)
        assert pairs.low.shape == pairs.high.shape == (2,)
        assert pairs.low.dtype == object
        for index in range(2):
            low, kept = pairs.low[index], pairs.high[index]
            if isinstance(low, nib.Nifti1Image):
                np.testing.assert_allclose(kept.affine, affine)
                # The low grid covers the field of view of the high one.
                corner_low = low.affine @ [-0.5, -0.5, -0.5, 1]
                np.testing.assert_allclose(corner_low, affine @ [-0.5, -0.5, -0.5, 1], atol=1e-6)
                np.testing.assert_allclose(low.affine[:3, 2], 4 * affine[:3, 2])
                low, kept = low.get_fdata(), kept.get_fdata()
            np.testing.assert_array_equal(low, stacked.low[index])
            np.testing.assert_array_equal(kept, stacked.high[index])
    corner = simulate([image], [labels], alignment="corner").low[0]
    np.testing.assert_allclose(corner.affine[:, 3], affine[:, 3])


def test_volumes_may_have_different_shapes_and_dtypes():
    all_labels = [slabs((24, 10, 32)), slabs((30, 7, 41))]
    volumes = [textured(all_labels[0], np.float32), textured(all_labels[1], np.float64)]
    pairs = simulate(volumes, all_labels)
    assert [low.shape for low in pairs.low] == [(24, 10, 8), (30, 7, 10)]
    assert [low.dtype for low in pairs.low] == [np.float32, np.float64]
    assert [high.dtype for high in pairs.high] == [np.float32, np.float64]
    whole = INTENSITY[all_labels[0]].astype(">i2")
    assert simulate([np.asfortranarray(whole)], all_labels[:1]).low[0].dtype == np.float32


@pytest.mark.parametrize("mask_target", [True, False])
def test_a_mask_equals_skull_stripping(mask_target):
    labels = slabs(background=4)
    volume = textured(labels) + 70  # something outside of the brain
    brain = labels > 0
    simulator = LowFieldSimulator(mask_target=mask_target, random_state=0)
    stripped = simulator.simulate([volume * brain], [labels])
    for maps in (labels, np.where(brain, labels, 3)):
        found = simulator.simulate([volume], [maps], mask=[brain])
        np.testing.assert_array_equal(found.low[0], stripped.low[0])
        np.testing.assert_array_equal(found.high[0], stripped.high[0])


def test_masks_of_other_grids_or_numbers_are_refused():
    labels = slabs()
    volume, affine = textured(labels), np.eye(4)
    simulator, moved = LowFieldSimulator(random_state=0), np.diag([1, 1, 1.5, 1])
    image, mask = nib.Nifti1Image(volume, affine), nib.Nifti1Image(np.ones(labels.shape), moved)
    for masks, error, reason in (
        ([labels, labels], ValueError, "high holds 1 volumes but mask holds 2"),
        ([labels[1:]], GeometryMismatchError, r"mask\[0\] has shape"),
        ([mask], GeometryMismatchError, r"mask\[0\] and high\[0\] lie up to"),
        ([np.zeros(labels.shape)], ValueError, r"mask\[0\] is empty"),
    ):
        with pytest.raises(error, match=reason):
            simulator.simulate([image], [labels], mask=masks)


@pytest.mark.parametrize("mask_target", [True, False])
def test_inputs_may_be_read_only_and_outputs_are_new(mask_target):
    labels = slabs()
    volume, maps = textured(labels), tissue_maps_from_labels(labels)
    snr = np.array([[60.0, 50]])
    for array in (volume, maps, snr):
        array.setflags(write=False)
    pairs = simulate([volume], [maps], snr, mask_target=mask_target)
    for result in (pairs.low[0], pairs.high[0], pairs.snr):
        assert result.flags.writeable
        assert not any(np.shares_memory(result, array) for array in (volume, maps, snr))


def test_the_result_for_a_volume_does_not_depend_on_the_others():
    labels = [slabs(), slabs((30, 12, 40)), slabs()]
    volumes = [textured(each, seed=seed) for seed, each in enumerate(labels)]
    three, again = simulate(volumes, labels), simulate(volumes, labels)
    two = simulate([volumes[0], volumes[2]], [labels[0], labels[2]])
    for left, right in ((three, again), (two, three)):
        np.testing.assert_array_equal(left.low[0], right.low[0])
        np.testing.assert_array_equal(left.snr[:2], right.snr[:2])
    other = simulate(volumes, labels, random_state=1)
    assert not np.array_equal(three.low[0], other.low[0])
    assert not np.array_equal(three.snr, other.snr)
    assert len(np.unique(three.snr)) == 6
    # The drawn pairs reproduce the volumes, because the noise has a separate random stream.
    np.testing.assert_array_equal(simulate(volumes, labels, three.snr).low[1], three.low[1])


def test_drawn_pairs_and_their_distances_are_reported():
    labels = [slabs((12, 2, 4))] * 40
    volumes = [textured(each) for each in labels]
    ring = GaussianSNR((64.5, 54.14), ((78.47, 71.5), (71.5, 73.91)), max_distance=0.5)
    for snr, low, high in (("ind1", 0, 1), ("ind2", 3, 9), (ring, 0, 0.5), ("ulf_measured", 3, 6)):
        pairs = LowFieldSimulator(snr, random_state=0).simulate(volumes, labels)
        np.testing.assert_allclose(pairs.mahalanobis, mahalanobis_distance(pairs.snr))
        assert low <= pairs.mahalanobis.min() <= pairs.mahalanobis.max() <= high


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scale": (1, 1, 8)}, r"on axis 2 they are 3 \+ 1 and scale is 8.*thickness=7, gap=1 on"),
        ({"scale": (1, 4)}, "scale must be a positive integer or three"),
        ({"scale": (1, 1, 4.0)}, "scale must be a positive integer or three"),
        ({"scale": (1, 1, 0)}, "scale must be a positive integer or three"),
        ({"thickness": (3, 3, 3)}, "on axis 0"),
        ({"thickness": (3, 3)}, "thickness must be"),
        ({"gap": (0, 0, np.nan)}, "gap must be"),
        ({"thickness": 0.5, "gap": 3.5}, "'thickness' parameter"),
        ({"thickness": 5, "gap": -1}, "'gap' parameter"),
        ({"alignment": "left"}, "'alignment' parameter"),
        ({"noise": "poisson"}, "'noise' parameter"),
        ({"reference_tissue": "csf"}, "'reference_tissue' parameter"),
        ({"snr": 3}, "'snr' parameter"),
        ({"snr": "ind9"}, "unknown SNR distribution"),
        ({"random_state": "now"}, "'random_state' parameter"),
    ],
)
def test_parameters_are_checked_when_used(parameters, message):
    labels = slabs()
    simulator = LowFieldSimulator(**parameters)
    with pytest.raises(ValueError, match=message):
        simulator.simulate([textured(labels)], [labels])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda v, t: ([v, v], [t]), GeometryMismatchError, "2 volumes, but tissues holds 1"),
        (lambda v, t: ([v], t), GeometryMismatchError, "single ndarray"),
        (lambda v, t: ([v], "t.nii.gz"), GeometryMismatchError, "single str"),
        (lambda v, t: ([v], [t[1:]]), GeometryMismatchError, r"tissues\[0\] has shape \(23"),
        (lambda v, t: ([v], [np.zeros((2, *t.shape))]), GeometryMismatchError, r"tissues\[0\]"),
        (lambda v, t: ([v[..., :3]], [t[..., :3]]), GeometryMismatchError, "one low voxel"),
        (lambda v, t: (v, [t]), ValueError, "Wrap it in a list"),
        (lambda v, t: ([np.where(t == 1, np.nan, v)], [t]), ValueError, "NaN"),
        (lambda v, t: ([v], [t + 1]), ValueError, r"tissues\[0\].*other labels than 0"),
        (lambda v, t: ([v], [np.full((3, *t.shape), np.nan)]), ValueError, "not finite"),
        (lambda v, t: ([v], [np.full((3, *t.shape), 1.5)]), ValueError, r"within \[0, 1\]"),
        (lambda v, t: ([v], [np.minimum(t, 2)]), ValueError, r"high\[0\].*no low voxels.*WM"),
        (lambda v, t: ([v], [np.where(t == 2, 0, t)]), ValueError, r"high\[0\].*no low voxels.*GM"),
        (lambda v, t: ([v * 0], [t]), ValueError, "has a mean of 0 in low voxels"),
    ],
)
def test_bad_pairs_are_refused_with_a_reason(change, error, message):
    labels = slabs()
    high, tissues = change(textured(labels), labels)
    with pytest.raises(error, match=message):
        simulate(high, tissues)


@pytest.mark.parametrize(
    ("snr", "message"),
    [
        ([64.5, 54.1], "shape"),
        ([[64.5, 54.1]] * 2, r"shape \(1, 2\)"),
        ([[0, 54.1]], "above 0"),
        ([[np.inf, 54.1]], "non-finite"),
    ],
)
def test_bad_snr_is_refused(snr, message):
    labels = slabs()
    with pytest.raises(ValueError, match=message):
        simulate([textured(labels)], [labels], snr)


def test_label_map_on_another_grid_is_refused():
    labels = slabs()
    image = nib.Nifti1Image(textured(labels, np.float32), np.eye(4))
    shifted = nib.Nifti1Image(labels, np.diag([1, 1, 2, 1]))
    with pytest.raises(GeometryMismatchError, match=r"tissues\[0\] lies up to"):
        simulate([image], [shifted])


def test_the_simulator_is_a_scikit_learn_object():
    simulator = LowFieldSimulator("ind1", scale=(1, 1, 6), thickness=5, random_state=3)
    copy = clone(simulator).set_params(snr="noisy")
    assert copy.get_params() == {**simulator.get_params(), "snr": "noisy"}
    assert "thickness=5" in repr(simulator)
    own = GaussianSNR((60, 50), ((9, 0), (0, 9)))
    assert clone(LowFieldSimulator(own)).snr == own
    assert vars(simulator).keys() == simulator.get_params().keys()


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 2)), np.full((2, 2, 2), 4), np.full((1, 1, 1), 0.5)]
)
def test_label_maps_are_checked(labels):
    with pytest.raises(ValueError, match="tissue_maps_from_labels"):
        tissue_maps_from_labels(labels)


def test_maps_of_labels_add_up_to_one_inside_and_keep_the_volumes_of_tissues(rng):
    blobs = gaussian_filter(rng.normal(size=(30, 28, 26)), 3)
    labels = np.digitize(blobs, np.quantile(blobs, [0.2, 0.4, 0.7]))
    labels.setflags(write=False)
    hard, soft = (tissue_maps_from_labels(labels, border_width=width) for width in (0, 1.5))
    np.testing.assert_array_equal(hard.argmax(axis=0)[labels > 0] + 1, labels[labels > 0])
    assert set(np.unique(hard)) == {0, 1}
    assert soft.dtype == np.float32
    assert soft.min() >= 0
    np.testing.assert_allclose(soft.sum(axis=0), labels > 0, atol=1e-6)
    assert 0.2 < np.mean(soft.max(axis=0)[labels > 0] < 0.9) < 0.8
    np.testing.assert_allclose(soft.sum(axis=(1, 2, 3)), hard.sum(axis=(1, 2, 3)), rtol=0.05)


def test_the_border_of_tissues_has_the_requested_width():
    labels = np.full((4, 4, 41), 2)
    labels[..., 20:] = 3
    white = tissue_maps_from_labels(labels, border_width=6)[2, 2, 2]
    # A step that a Gaussian of this width has smoothed: its slope falls to a half 3 voxels away.
    slope = np.diff(white)
    np.testing.assert_allclose(slope[[16, 22]], slope[19] / 2, rtol=0.03)
    assert slope.argmax() == 19


def test_label_maps_get_soft_borders_unless_they_are_to_be_hard(tmp_path):
    labels = slabs()
    volume = textured(labels)
    path = tmp_path / "labels.nii.gz"
    nib.save(nib.Nifti1Image(labels, np.eye(4)), path)
    simulator = LowFieldSimulator("ind1", random_state=0)
    image = nib.Nifti1Image(volume, np.eye(4))
    soft = simulator.simulate([volume], [tissue_maps_from_labels(labels)]).low[0]
    np.testing.assert_allclose(simulator.simulate([volume], [labels]).low[0], soft, rtol=1e-6)
    read = simulator.simulate([image], [path]).low[0].get_fdata()
    np.testing.assert_allclose(read, soft, rtol=1e-4, atol=1e-3)
    hard = clone(simulator).set_params(border_width=0).simulate([volume], [labels]).low[0]
    # Only white matter changes its intensity, so only borders with it differ.
    difference = np.abs(hard - soft).max(axis=(1, 2))
    assert difference[11] > 1
    assert difference[2:9].max() < 0.01


@pytest.mark.parametrize("width", [-1, np.nan, np.inf])
def test_the_width_of_borders_is_checked(width):
    with pytest.raises(ValueError, match="border_width must be"):
        tissue_maps_from_labels(slabs(), border_width=width)


def test_degrading_is_a_blur_by_the_slice_profile_and_sampling(rng):
    high = rng.random((6, 5, 34)).astype(np.float32)
    high.setflags(write=False)
    for alignment, first in (("corner", 0), ("center", 1.5)):
        low = degrade(high, alignment=alignment)
        blurred = gaussian_filter1d(high, 3 / math.sqrt(8 * math.log(2)), axis=2, mode="nearest")
        places = np.meshgrid(np.arange(6), np.arange(5), first + 4 * np.arange(8), indexing="ij")
        np.testing.assert_allclose(low, map_coordinates(blurred, places, order=3), atol=1e-5)
        assert low.dtype == np.float32
    maps = np.stack([high, high])
    np.testing.assert_allclose(degrade(maps)[1], degrade(high), rtol=1e-5)
    assert degrade(high, scale=2, thickness=(1, 1, 2.5)).shape == (3, 2, 17)
    assert degrade(np.ones((4, 4, 8), int)).dtype == np.float32


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"scale": (1, 4)}, "scale must be"),
        ({"scale": 1.5}, "scale must be"),
        ({"thickness": 0.5}, "thickness must be"),
        ({"thickness": (1, 1, np.inf)}, "thickness must be one finite number"),
        ({"thickness": np.nan}, "thickness must be"),
        ({"alignment": "centre"}, "alignment must be"),
        ({"scale": (1, 1, 9)}, "Pass a larger volume"),
    ],
)
def test_degrading_refuses_what_it_cannot_do(parameters, match):
    with pytest.raises(ValueError, match=match):
        degrade(np.ones((4, 4, 8)), **parameters)
    with pytest.raises(ValueError, match="3 axes"):
        degrade(np.ones((4, 8)))
    with pytest.raises(ValueError, match="real numbers, got dtype complex128"):
        degrade(np.ones((4, 4, 8), complex))


def test_degrading_by_nothing_returns_a_copy(rng):
    high = rng.random((4, 4, 8))
    low = degrade(high, scale=1)
    np.testing.assert_array_equal(low, high)
    assert not np.shares_memory(low, high)
