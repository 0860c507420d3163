"""Masks of the scans of a BIDS dataset."""

import json
import re

import numpy as np
import pytest
from bids_dataset import AFFINE, OUTPUTS, SCANS, make_scan, participant, run, sidecar

from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.persistence import load_model


def test_masks_are_found_by_a_pattern_and_used(dataset, model, tmp_path):
    masks = tmp_path / "masks"
    for n, name in enumerate(SCANS):
        path = masks / name.replace("_T1w.nii", "_mask.nii")
        path.parent.mkdir(parents=True, exist_ok=True)
        half = (make_scan(n) > 0) & (np.arange(14) < 7)[:, None, None]
        path = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".nii.gz")
        save_volume(half.astype("uint8"), path, affine=AFFINE, dtype="uint8")
    pattern = f"{masks}/{{folder}}/{{entities}}_mask.nii.gz"
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    whole = (out / OUTPUTS[0]).read_bytes()
    assert participant(dataset, out, model, "--mask", pattern) == 0
    assert (out / OUTPUTS[0]).read_bytes() != whole
    mask = masks / "sub-01/anat/sub-01_mask.nii.gz"
    expected = load_model(model).predict([dataset / SCANS[0]], mask=[mask])[0]
    np.testing.assert_allclose(
        load_volume(out / OUTPUTS[0]).dataobj, expected.dataobj, rtol=1e-5, atol=1e-4
    )
    assert json.loads(sidecar(out, 0).read_text())["Sources"] == [f"bids:source:{SCANS[0]}"]
    # The level group accepts the earlier masks with or without --mask.
    assert run(dataset, out, "group", "--quiet") == 0
    assert run(dataset, out, "group", "--mask", pattern, "--quiet") == 0
    mask.unlink()
    assert run(dataset, out, "group", "--mask", pattern, "--quiet") == 1
    assert participant(dataset, out, model, "--mask", pattern) == 1


def test_a_mask_of_the_dataset_is_a_source(dataset, model, tmp_path):
    mask = "derivatives/masks/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    (dataset / mask).parent.mkdir(parents=True)
    save_volume(make_scan(0) > 0, dataset / mask, affine=AFFINE, dtype="uint8")
    out = tmp_path / "iqt"
    pattern = "derivatives/masks/{folder}/{entities}_desc-brain_mask.nii.gz"
    options = ["--mask", pattern, "--participant-label", "01"]
    assert participant(dataset, out, model, *options) == 0
    content = json.loads(sidecar(out, 0).read_text())
    assert content["Sources"] == [f"bids:source:{SCANS[0]}", f"bids:source:{mask}"]


def test_a_mask_that_is_not_aligned_with_its_scan_is_refused(dataset, model, tmp_path, capsys):
    mask = tmp_path / "sub-01_mask.nii.gz"
    save_volume(make_scan(0) > 0, mask, affine=AFFINE @ np.diag([2, 1, 1, 1]), dtype="uint8")
    options = ["--mask", f"{tmp_path}/{{entities}}_mask.nii.gz", "--participant-label", "01"]
    assert participant(dataset, tmp_path / "iqt", model, *options) == 2
    error = capsys.readouterr().err
    assert str(mask) in error
    assert re.search(r"[\d.]+ mm apart", error)


@pytest.mark.parametrize("pattern", ["mask.nii.gz", "{folder}/{name}_mask.nii.gz", "{folder.x}"])
def test_a_pattern_without_names_of_the_scan_is_refused(pattern, dataset, model, tmp_path):
    assert participant(dataset, tmp_path / "iqt", model, "--mask", pattern) == 2
    assert not (tmp_path / "iqt").exists()
