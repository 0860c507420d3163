"""Registration, bias field and brain extraction, on scans where the right answer is known."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from made_scans import center_of, rigid, scan_thickly
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from sklearn_iqt.prepare import _brain, _steps, brain_mask, prepare_pair


@pytest.fixture
def sitk():
    return pytest.importorskip("SimpleITK", reason="the extra [prepare] is not installed")


@pytest.mark.parametrize(
    ("degrees", "shift"), [((4, -6, 8), (5, -7, 6)), ((-8, 24, 6), (-12, 8, 90))]
)
def test_registration_finds_the_motion(brains, sitk, degrees, shift):
    high = brains[0]
    truth = rigid(degrees, shift, center_of(high))
    low = scan_thickly(high, motion=truth)
    prepared = prepare_pair(low, high, register=True)
    found = prepared.record["steps"]["registration"]
    error = np.array(found["matrix"]) @ np.linalg.inv(truth)
    assert np.degrees(Rotation.from_matrix(error[:3, :3]).magnitude()) < 0.5
    center = center_of(high)
    moved = apply_affine(np.array(found["matrix"]), center) - apply_affine(truth, center)
    assert np.linalg.norm(moved) < 0.5
    assert found["mutual_information"] > 0.5
    expected = np.degrees(Rotation.from_euler("xyz", degrees, degrees=True).magnitude())
    assert found["rotation_degrees"] == pytest.approx(expected, abs=0.5)
    np.testing.assert_allclose(found["angles_degrees"], degrees, atol=0.5)
    # The volumes show the same thing at the same place.
    fine, coarse = np.asarray(prepared.high.dataobj), np.asarray(prepared.low.dataobj)
    blocks = fine.reshape(*coarse.shape, 5).mean(axis=-1)
    inner = ndimage.binary_erosion(np.asarray(prepared.mask.dataobj) > 0)
    assert np.corrcoef(coarse[inner], blocks[inner])[0, 1] > 0.93


def test_registration_gives_the_same_bits_every_time(pair, sitk):
    first, second = (prepare_pair(*pair, register=True, correct_bias=True) for _ in range(2))
    for name in ("low", "high", "mask"):
        np.testing.assert_array_equal(getattr(first, name).dataobj, getattr(second, name).dataobj)
    assert first.record == second.record
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() >= 1


def test_a_registered_scan_has_one_place_in_its_header(brains, sitk):
    high = nibabel.Nifti1Image(brains[0].dataobj, brains[0].affine)
    high.set_qform(high.affine, 1)
    high.set_sform(high.affine, 1)
    low = scan_thickly(high, motion=rigid((4, 0, 0), (3, 0, 0), center_of(high)))
    prepared = prepare_pair(low, high, register=True)
    header = prepared.high.header
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-3)


def test_an_implausible_registration_is_refused(brains, sitk):
    low = scan_thickly(brains[0], motion=rigid((0, 0, 60), (0, 0, 0), center_of(brains[0])))
    with pytest.raises(ValueError, match=r"prepare_pair: low and high: the registration turned"):
        prepare_pair(low, brains[0], register=True)


def test_scans_of_two_places_cannot_be_registered_without_overlap(brains, sitk, monkeypatch):
    from sklearn_iqt.prepare import _registration

    monkeypatch.setattr(_registration, "_mutual_information", lambda *_: -np.inf)
    with pytest.raises(ValueError, match="overlap neither by their affines nor"):
        prepare_pair(scan_thickly(brains[0]), brains[0], register=True)


def test_bias_correction_takes_a_smooth_gain_away(brains, sitk):
    high = brains[0]
    low = scan_thickly(high)
    ramp = np.linspace(0.6, 1.4, low.shape[0])[:, None, None]
    biased = nibabel.Nifti1Image(np.asarray(low.dataobj) * ramp, low.affine)
    plain, uneven, own, even = (
        prepare_pair(scan, high, correct_bias=correct)
        for correct in (False, True)
        for scan in (low, biased)
    )
    mask = np.asarray(plain.mask.dataobj) > 0

    def spread(prepared, reference):
        ratio = np.asarray(prepared.low.dataobj)[mask] / np.asarray(reference.low.dataobj)[mask]
        return ratio.std() / ratio.mean()

    # The brain has a gain that is corrected, too.
    assert spread(even, own) < 0.5 * spread(uneven, plain)
    gains = even.record["steps"]["bias_correction"]["low_gain"]
    assert gains[0] < 0.85
    assert gains[1] > 1.15
    assert plain.record["steps"]["bias_correction"] is None


def test_the_brain_is_cut_out_of_a_head(brains):
    pytest.importorskip("deepbet", reason="the extra [prepare] is not installed")
    from sklearn_iqt.datasets import make_subjects

    brain = make_subjects(1, random_state=0).images[0]
    voxels = np.asarray(brain.dataobj)
    inside = voxels > 0
    distance = ndimage.distance_transform_edt(~inside)
    rng = np.random.default_rng(0)
    head = np.where((distance > 5) & (distance < 12), 250.0, voxels)
    head += np.abs(rng.normal(0, 4, head.shape))
    high = nibabel.Nifti1Image(head.astype(np.float32), brain.affine)
    for scan in ("high", "low"):
        prepared = prepare_pair(scan_thickly(high, gain=0.5), high, extract_brain=scan)
        found = prepared.record["steps"]["brain_extraction"]
        assert found["scan"] == scan
        assert found["volume_ml"] == pytest.approx(inside.sum() / 1000, rel=0.15)
        mask = np.asarray(prepared.mask.dataobj) > 0
        assert not np.asarray(prepared.low.dataobj)[~mask].any()
        share = (np.asarray(prepared.high.dataobj) > 0).sum() / inside.sum()
        assert share == pytest.approx(1, abs=0.15)


class FakeNets:
    """Stands in for deepbet: a part of the scan is brain, or an error."""

    def __init__(self, part):
        self.part = part

    def run(self, scan):
        assert scan.get_data_dtype() == np.float32
        if self.part is None:
            raise AssertionError("Not enough foreground")
        mask = np.zeros(scan.shape, bool)
        mask[self.part] = True
        return scan, nibabel.Nifti1Image(mask.astype(np.uint8), scan.affine), 0.0


@pytest.fixture
def deepbet(monkeypatch):
    """Put a net that finds a given part in the place of deepbet."""

    def install(part):
        monkeypatch.setattr(_brain, "load_deepbet", lambda caller: FakeNets(part))
        monkeypatch.setattr(_steps, "load_deepbet", lambda caller: None)
        monkeypatch.setattr(_steps, "version", lambda package: "0")

    return install


@pytest.mark.parametrize("scan", ["high", "low"])
def test_both_volumes_are_zero_outside_of_the_brain_that_was_found(pair, deepbet, scan):
    image = pair[1] if scan == "high" else pair[0]
    box = tuple(slice(int(0.3 * n), int(0.7 * n)) for n in image.shape)
    deepbet(box)
    with pytest.warns(UserWarning, match=r"found a brain of \d+ ml"):
        prepared = prepare_pair(*pair, extract_brain=scan, crop=False)
    mask = np.asarray(prepared.mask.dataobj) > 0
    volume = np.prod([part.stop - part.start for part in box]) * voxel_sizes(image.affine).prod()
    assert mask.sum() * 5 == pytest.approx(volume, rel=0.15)
    assert not np.asarray(prepared.low.dataobj)[~mask].any()
    assert (np.asarray(prepared.high.dataobj) > 0).sum() == pytest.approx(volume, rel=0.15)
    assert prepared.record["software"]["deepbet"] == "0"
    assert prepared.record["steps"]["brain_extraction"]["scan"] == scan


@pytest.mark.parametrize("scan", ["high", "low"])
@pytest.mark.parametrize("register", [False, True])
def test_the_users_brain_does_the_same_as_an_extracted_one(pair, deepbet, scan, register):
    if register:
        pytest.importorskip("SimpleITK", reason="the extra [prepare] is not installed")
    image = pair[1] if scan == "high" else pair[0]
    box = tuple(slice(n // 3, n - n // 3) for n in image.shape)  # the same after flips
    deepbet(box)
    with pytest.warns(UserWarning, match="found a brain"):
        expected = prepare_pair(*pair, extract_brain=scan, register=register)
    voxels = np.zeros(image.shape, np.uint8)
    voxels[box] = 2  # a label map will do
    found = prepare_pair(*pair, mask=nibabel.Nifti1Image(voxels, image.affine), register=register)
    for name in ("low", "high", "mask"):
        np.testing.assert_array_equal(getattr(found, name).dataobj, getattr(expected, name).dataobj)
    steps = found.record["steps"]
    assert steps["brain_extraction"] == expected.record["steps"]["brain_extraction"]
    assert found.record["mask"]["shape"] == list(image.shape)
    assert expected.record["mask"] is None


def test_masks_that_do_not_belong_to_the_scans_are_refused(pair, deepbet):
    deepbet(None)
    low, high = pair
    voxels = np.ones(high.shape, np.float32)
    moved = high.affine.copy()
    moved[0, 3] += 3
    ringing = voxels.copy()
    ringing[:2] = -0.01
    for mask, options, reason in (
        (nibabel.Nifti1Image(voxels, moved), {}, "on the grid of neither low nor high"),
        (nibabel.Nifti1Image(voxels[1:], high.affine), {}, "on the grid of neither low nor high"),
        (nibabel.Nifti1Image(0 * voxels, high.affine), {}, "mask is empty"),
        (nibabel.Nifti1Image(ringing, high.affine), {}, "voxels below zero"),
        (voxels, {}, "mask must hold nibabel images or paths"),
        (high, {"extract_brain": "high"}, "either mask or extract_brain"),
    ):
        with pytest.raises(ValueError, match=reason):
            prepare_pair(low, high, mask=mask, **options)


def test_the_mask_of_a_brain_lies_on_the_grid_of_its_scan(pair, deepbet, tmp_path):
    low = pair[0]
    deepbet((slice(3, 20), slice(4, 20), slice(2, 8)))
    path = tmp_path / "low.nii"
    nibabel.save(low, path)
    for scan in (low, path):
        with pytest.warns(UserWarning, match="brain_mask: deepbet found a brain of"):
            mask = brain_mask(scan)
        assert mask.get_data_dtype() == np.uint8
        assert np.asarray(mask.dataobj).sum() == 17 * 16 * 6
        np.testing.assert_allclose(mask.affine, low.affine, atol=1e-4)
    with pytest.raises(ValueError, match="brain_mask: scan must hold nibabel images or paths"):
        brain_mask(np.asarray(low.dataobj))


def test_a_scan_in_which_no_brain_is_found_is_refused(pair, deepbet):
    deepbet(None)
    with pytest.raises(ValueError, match=r"low and high: deepbet found no brain \(Not enough"):
        prepare_pair(*pair, extract_brain="high")


def test_a_brain_outside_of_the_low_scan_is_refused(pair, deepbet):
    deepbet((slice(0, 1), slice(0, 1), slice(0, 1)))
    with (
        pytest.warns(UserWarning, match="0 ml"),
        pytest.raises(ValueError, match="no foreground in common"),
    ):
        prepare_pair(*pair, extract_brain="high")
