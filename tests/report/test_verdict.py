"""The verdict at the top of the report."""

import nibabel
import numpy as np
import pytest
from report_page import Page, make_card
from sklearn.pipeline import make_pipeline

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.preprocessing import TissueScaler
from sklearn_iqt.report import describe_scans, write_report
from sklearn_iqt.simulation import LowFieldSimulator

SAME = TrainingCard(snr_wm=(30, 90), snr_gm=(20, 60))


@pytest.fixture
def read(pair, model, tmp_path):
    """Write a report, and return the kind and the sentences of its verdict."""

    def write(scan=pair.low, model=model, **options):
        text = write_report(model, scan, tmp_path / "r.html", **options).read_text("utf-8")
        verdict = text.partition('<section class="verdict ')[2].partition("</section>")[0]
        return verdict

    return write


def test_a_scan_with_an_unknown_training_is_never_called_like_it(read):
    verdict = read()
    assert verdict.startswith("unsure")
    assert (
        "It is not known whether the scan is like the training scans in contrast and noise. "
        in (verdict)
    )
    assert "The enhancement agrees with the scan." in verdict


def test_other_noise_is_named(read):
    card = TrainingCard(snr_wm=(30, 40), snr_gm=(20, 60))
    verdict = read(card=card)
    assert verdict.startswith("unsure")
    assert "The scan differs from the training scans in noise. " in verdict
    assert "in this scan, 30.0 to 40.0 in training (above)" in verdict


def test_a_scan_like_the_training_scans_is_said_to_be_one(read, pair, model):
    high = np.asarray(pair.high.dataobj)
    labels = np.digitize(high, [25, 125, 250])
    scan = LowFieldSimulator(random_state=1).simulate([pair.high], [labels], snr=[(25, 16)]).low[0]
    verdict = read(scan, card=TrainingCard(snr_presets="ulf_measured"))
    assert verdict.startswith("good")
    assert (
        "The scan is like the training scans in voxel size, contrast and noise. The enhancement "
        "agrees with the scan."
    ) in verdict
    assert "Contrast, WM / GM: 1.5" in verdict
    assert "It does not show that the added details are true" in verdict


def test_other_contrast_is_serious_unless_the_model_corrects_it(read, pair):
    card = make_card(snr_presets="t1w_036t").training
    verdict = read(card=card)
    assert verdict.startswith("bad")
    assert "Do not use this enhancement: the scan is not like the training scans (contrast)" in (
        verdict
    )
    corrects = make_pipeline(TissueScaler(), PatchwiseRegressor(max_patches=500, random_state=0))
    verdict = read(model=corrects.fit([pair.low], [pair.high]), card=card)
    assert verdict.startswith("unsure")
    assert "differs from the training scans in contrast and noise" in verdict


def test_a_scan_with_other_voxels_must_not_be_used(read, pair):
    thicker = pair.low.affine @ np.diag([1, 1, 1.5, 1])
    verdict = read(nibabel.Nifti1Image(pair.low.dataobj, thicker))
    assert verdict.startswith("bad")
    assert "(voxel size)" in verdict
    assert "1 × 2 × 9 in this scan, 1 × 2 × 6 in training" in verdict


def test_a_whole_head_must_not_be_used_unless_its_brain_is_known(pair, read):
    place = np.indices(pair.low.shape) - np.reshape(pair.low.shape, (3, 1, 1, 1)) / 2 + 0.5
    radius = np.sqrt((place**2 / np.reshape((20, 18, 6), (3, 1, 1, 1)) ** 2).sum(axis=0))
    brain = np.asarray(pair.low.dataobj) * (radius < 0.7)
    voxels = brain + 250 * ((radius > 0.85) & (radius < 0.97))
    scan = nibabel.Nifti1Image(voxels.astype(np.float32), pair.low.affine)
    verdict = read(scan)
    assert verdict.startswith("bad")
    assert "(the skull" in verdict
    assert "The scan seems to show a whole head with its skull" in verdict
    assert "skull" not in read(scan, mask=radius < 0.75)


def test_a_scan_of_another_kind_of_contrast_must_not_be_used(read, pair):
    voxels = np.asarray(pair.low.dataobj)
    inverted = np.where(voxels > 25, 400 - voxels, voxels).astype(np.float32)
    scan = nibabel.Nifti1Image(inverted, pair.low.affine)
    for card in (
        TrainingCard(snr_presets="t1w_036t"),
        TrainingCard(**describe_scans([pair.low])),
    ):
        verdict = read(scan, card=card)
        assert verdict.startswith("bad")
        assert "training scans (contrast, kind of contrast" in verdict
        assert "above: the scan seems not to be T1-weighted" in verdict
    verdict = read(card=TrainingCard(**describe_scans([pair.low])))
    assert verdict.startswith("good")


def test_slices_in_another_direction_are_named(read, pair):
    turn = np.eye(4)[[1, 2, 0, 3]]
    scan, enhanced = (
        nibabel.Nifti1Image(image.dataobj, turn @ image.affine) for image in (pair.low, pair.high)
    )
    verdict = read(scan, enhanced=enhanced, card=SAME)
    assert verdict.startswith("bad")
    assert "(slice direction" in verdict
    assert "Slices are stacked from left to right in this scan, and from posterior to" in verdict
    assert "slice direction" not in read(card=SAME)


def test_a_scan_without_tissues_must_not_be_used(read):
    low = np.ones((12, 12, 6), np.float32)
    low[:6] = 0
    verdict = read(low, InterpolationIQT().fit([low], [np.repeat(low, 4, axis=2)]))
    assert verdict.startswith("bad")
    assert "(contrast)" in verdict


def test_an_enhancement_of_another_scan_does_not_agree(read, pair):
    other = nibabel.Nifti1Image(np.roll(pair.high.dataobj, 8, axis=0), pair.high.affine)
    verdict = read(enhanced=other, card=SAME)
    assert verdict.startswith("bad")
    assert "Do not use this enhancement: the enhancement does not agree with the scan." in verdict


def test_the_page_says_which_patches_and_numbers_were_used(page, pair, model, tmp_path):
    read = Page(page)
    used = model.patcher_
    assert read.after("patch_size, in voxels of the scan") == " × ".join(map(str, used.patch_size_))
    assert read.after("stride, in voxels of the scan") == " × ".join(map(str, used.stride_))
    assert "patcher" not in read.cells
    card = TrainingCard(scores={"NRMSE": 0.0123456789}, spacing_low_mm=(1.2345678, 2, 6))
    read = Page(write_report(model, pair.low, tmp_path / "r.html", card=card))
    assert read.after("scores") == "NRMSE: 0.0123"
    assert read.after("spacing_low_mm") == "1.23, 2, 6"
