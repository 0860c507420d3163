"""The BIDS App, which writes a derivative dataset of enhanced scans."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nibabel import Nifti1Image, aff2axcodes

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor, __version__
from sklearn_iqt.cli import main
from sklearn_iqt.cli.bids import _command
from sklearn_iqt.cli.bids._layout import Scan
from sklearn_iqt.io import load_volume, save_volume, scaled_affine
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.persistence import TrainingCard, load_model, save_model
from sklearn_iqt.preprocessing import intensity_scale

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 4.0, -30], [0, 1.0, 0, -10], [0, 0, 0, 1]])
SCANS = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii",
)
OUTPUTS = (
    "sub-01/anat/sub-01_desc-iqt_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_desc-iqt_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_desc-iqt_T1w.nii.gz",
)


def make_scan(seed):
    """Return a noisy ball on a background of zeros."""
    i, j, k = np.indices((14, 15, 6)) - np.reshape([6.5, 7, 2.5], (3, 1, 1, 1))
    inside = i**2 + j**2 + (2 * k) ** 2 < 36
    return np.where(inside, 100 + 5 * np.random.default_rng(seed).standard_normal(i.shape), 0)


@pytest.fixture
def dataset(tmp_path):
    """Return the folder of a small dataset with three scans of two participants."""
    folder = tmp_path / "bids"
    for n, name in enumerate(SCANS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_volume(make_scan(n), path, affine=AFFINE)
    # Files that are not T1w scans.
    shutil.copy(folder / SCANS[0], folder / "sub-01/anat/sub-01_T2w.nii.gz")
    (folder / "sub-01/anat/._sub-01_T1w.nii.gz").write_bytes(
        b"metadata of another operating system"
    )
    (folder / "sub-03/func").mkdir(parents=True)
    described = {"Name": "Balls", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.1/x"}
    (folder / "dataset_description.json").write_text(json.dumps(described))
    (folder / "T1w.json").write_text('{"SkullStripped": true, "EchoTime": 0.004}')
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the path of a fitted model."""
    high = np.random.default_rng(0).random((2, 12, 12, 24)).astype(np.float32)
    low = high.reshape(2, 12, 12, 6, 4).mean(axis=-1)
    affines = AFFINE, scaled_affine(AFFINE, (1, 1, 4))
    pairs = [
        [Nifti1Image(volume, affine) for volume in volumes]
        for volumes, affine in zip((low, high), affines, strict=True)
    ]
    fitted = PatchwiseRegressor(random_state=0).fit(*pairs)
    path = tmp_path_factory.mktemp("models") / "ridge.iqt"
    return save_model(fitted, path, training=TrainingCard(spacing_low_mm=(1, 1, 4), n_pairs=2))


def run(*arguments):
    return main(["bids", *(str(argument) for argument in arguments)])


def participant(dataset, out, model, *more):
    return run(dataset, out, "participant", "--model", model, "--n-cpus", 1, "--quiet", *more)


def sidecar(out, n):
    return out / OUTPUTS[n].replace(".nii.gz", ".json")


def snapshot(folder):
    """Return the bytes and the time of every file, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def scans_in(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.nii*"))


def table_of(out):
    with open(out / "group_iqt.tsv", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_results_equal_predict_and_the_dataset_is_unchanged(dataset, model, tmp_path):
    before, out = snapshot(dataset), tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    assert snapshot(dataset) == before
    assert scans_in(out) == sorted(OUTPUTS)
    expected = load_model(model).predict([dataset / name for name in SCANS])
    for name, image in zip(OUTPUTS, expected, strict=True):
        written = load_volume(out / name)
        np.testing.assert_allclose(written.dataobj, image.dataobj, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(written.affine, scaled_affine(AFFINE, (1, 1, 4)), atol=1e-5)
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]


def test_the_sidecar_describes_the_result(dataset, model, tmp_path):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    content = json.loads(sidecar(out, 1).read_text())
    assert content["Sources"] == [f"bids:source:{SCANS[1]}"]
    assert content["SkullStripped"] is True  # from T1w.json at the top of the dataset
    iqt = content["IQT"]
    assert iqt["Version"] == __version__
    assert iqt["Spacing"] == [1, 1, 1]
    assert iqt["SpacingOfScan"] == [1, 1, 4]
    assert iqt["Shape"] == [14, 15, 24]
    assert iqt["Model"]["Class"] == "PatchwiseRegressor"
    assert iqt["Model"]["Training"] == {"spacing_low_mm": [1, 1, 4], "n_pairs": 2}
    scan = np.asarray(load_volume(dataset / SCANS[1]).dataobj)
    enhanced = np.asarray(load_volume(out / OUTPUTS[1]).dataobj)
    slices = enhanced.reshape(14, 15, 6, 4).mean(axis=-1)
    rms = np.sqrt(np.mean((slices - scan) ** 2)) / scan.max()
    assert iqt["ConsistencyNRMSE"] == pytest.approx(rms, rel=1e-4)
    assert iqt["IntensityScale"] == pytest.approx(intensity_scale(scan))
    # Paths in the file system are private.
    assert str(tmp_path) not in sidecar(out, 1).read_text()


def test_the_nearest_json_file_determines_skull_stripped(dataset, model, tmp_path):
    (dataset / "sub-02/sub-02_T1w.json").write_text('{"SkullStripped": false}')
    (dataset / "sub-02/ses-a/anat/sub-02_ses-a_run-2_T1w.json").write_text(
        '{"SkullStripped": true}'  # of another run
    )
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    stripped = [json.loads(sidecar(out, n).read_text())["SkullStripped"] for n in range(3)]
    assert stripped == [True, False, False]
    assert participant(dataset, out, model, "--skull-stripped", "yes", "--force") == 0
    assert all(json.loads(sidecar(out, n).read_text())["SkullStripped"] for n in range(3))
    (dataset / "T1w.json").write_text("{}")
    assert participant(dataset, out, model, "--force") == 0
    assert "SkullStripped" not in json.loads(sidecar(out, 0).read_text())


def test_the_derivative_dataset_is_described(dataset, model):
    out = dataset / "derivatives" / "iqt"  # the only folder of the dataset for results
    assert participant(dataset, out, model) == 0
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "sklearn_iqt"
    assert described["GeneratedBy"][0]["Version"] == __version__
    assert described["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    assert described["DatasetLinks"] == {"source": "../.."}
    assert "Balls" in described["Name"]
    assert "desc-iqt" in (out / "README.md").read_text()
    (out / "README.md").write_text("mine")
    assert participant(dataset, out, model) == 0
    assert (out / "README.md").read_text() == "mine"


def test_existing_results_are_kept(dataset, model, tmp_path, capsys):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--participant-label", "02") == 0
    before = {name: (out / name).stat().st_mtime_ns for name in OUTPUTS[1:]}
    assert run(dataset, out, "participant", "--model", model, "--n-cpus", 1, "-v") == 0
    assert {name: (out / name).stat().st_mtime_ns for name in OUTPUTS[1:]} == before
    messages = capsys.readouterr().err
    assert "3 of 3 done, 2 of them in an earlier run, 0 failed" in messages
    assert f"{SCANS[1]}: done in an earlier run" in messages
    assert re.search(rf"{SCANS[0]}: done in [\d.]+ s", messages)
    assert participant(dataset, out, model, "--force") == 0
    assert all((out / name).stat().st_mtime_ns > before[name] for name in OUTPUTS[1:])


@pytest.mark.parametrize(
    "fault", ["truncated", "no sidecar", "garbled sidecar", "hostile sidecar", "scan", "model"]
)
def test_incomplete_or_outdated_results_are_replaced(fault, dataset, model, tmp_path):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    expected = (out / OUTPUTS[0]).read_bytes()
    others = {name: (out / name).stat().st_mtime_ns for name in OUTPUTS[1:]}
    if fault == "truncated":
        (out / OUTPUTS[0]).write_bytes(expected[:-20])
    elif fault == "no sidecar":
        sidecar(out, 0).unlink()
    elif fault == "garbled sidecar":
        sidecar(out, 0).write_text('{"IQT": ')
    elif fault == "hostile sidecar":
        sidecar(out, 0).write_text('{"IQT": {"Model": [1], "SHA256": "x"}}')
    elif fault == "scan":
        save_volume(make_scan(9), dataset / SCANS[0], affine=AFFINE)
    else:
        fitted = InterpolationIQT().fit(np.ones((1, 8, 8, 4)), np.ones((1, 8, 8, 16)))
        model = save_model(fitted, tmp_path / "other.iqt")
    assert run(dataset, out, "group", "--model", model, "--quiet") == 1
    stale = [row["status"] == "stale" for row in table_of(out)]
    assert stale == ([True] * 3 if fault == "model" else [True, False, False])
    assert participant(dataset, out, model) == 0
    same = (out / OUTPUTS[0]).read_bytes() == expected
    assert same == (fault not in ("scan", "model"))
    unchanged = {name: (out / name).stat().st_mtime_ns for name in OUTPUTS[1:]} == others
    assert unchanged == (fault != "model")
    assert run(dataset, out, "group", "--model", model, "--quiet") == 0


def test_a_broken_scan_is_reported_after_the_others_are_enhanced(dataset, model, tmp_path, capsys):
    (dataset / SCANS[1]).write_bytes(b"\x1f\x8bno scan")
    save_volume(np.zeros((8, 8, 4)), dataset / SCANS[2], affine=AFFINE)
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 1
    assert scans_in(out) == [OUTPUTS[0]]
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("sklearn-iqt bids: error: sub-02/") for line in lines)
    assert "no positive intensity" in lines[1]
    # Once a scan is repaired, only that scan is enhanced.
    save_volume(make_scan(1), dataset / SCANS[1], affine=AFFINE)
    assert participant(dataset, out, model) == 1
    assert scans_in(out) == list(OUTPUTS[:2])
    assert participant(dataset, out, model, "--session-label", "b") == 2


def test_a_scan_whose_content_was_not_fetched_fails(dataset, model, tmp_path, capsys):
    (dataset / SCANS[0]).unlink()
    (dataset / SCANS[0]).symlink_to("../../.git/annex/objects/nowhere")
    assert participant(dataset, tmp_path / "iqt", model) == 1
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("label", ["02", "sub-02"])
def test_labels_select_scans(label, dataset, model, tmp_path):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--participant-label", label) == 0
    assert scans_in(out) == list(OUTPUTS[1:])
    single = tmp_path / "one"
    labels = ["--participant_label", label, "--session_label", "ses-b"]
    assert participant(dataset, single, model, *labels) == 0
    assert scans_in(single) == [OUTPUTS[2]]


def test_an_unknown_label_is_a_failure(dataset, model, tmp_path, capsys):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--participant-label", "01", "1", "03") == 1
    assert scans_in(out) == [OUTPUTS[0]]
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(": ")[2] for line in lines] == ["sub-03", "sub-1"]


def test_the_suffix_selects_scans(dataset, model, tmp_path):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--suffix", "T2w") == 0
    assert scans_in(out) == ["sub-01/anat/sub-01_desc-iqt_T2w.nii.gz"]


def test_invalid_and_colliding_names_are_refused(dataset, model, tmp_path, capsys):
    anat = dataset / "sub-01/anat"
    shutil.copy(anat / "sub-01_T1w.nii.gz", anat / "sub-07_T1w.nii.gz")
    shutil.copy(anat / "sub-01_T1w.nii.gz", anat / "sub-01_my scan_T1w.nii.gz")
    shutil.copy(anat / "sub-01_T1w.nii.gz", anat / "sub-01_desc-preproc_T1w.nii.gz")
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--participant-label", "01") == 1
    assert scans_in(out) == [OUTPUTS[0]]
    error = capsys.readouterr().err
    assert "sub-07_T1w.nii.gz: its name is not a BIDS name for a file of sub-01" in error
    assert "sub-01_my scan_T1w.nii.gz: its name" in error
    assert "would have the same name" in error


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


@pytest.mark.parametrize("where", [".", "derivatives", "sub-01", "code/../new"])
@pytest.mark.parametrize("level", ["participant", "group"])
def test_the_dataset_is_never_written_to(where, level, dataset, model, capsys):
    before = snapshot(dataset)
    assert run(dataset, dataset / where, level, "--model", model, "--quiet") == 2
    assert snapshot(dataset) == before
    assert "never written to" in capsys.readouterr().err


@pytest.mark.parametrize("link", ["sub-01", "dataset_description.json"])
def test_results_are_not_written_into_the_dataset_through_links(
    link, dataset, model, tmp_path, capsys
):
    out = tmp_path / "iqt"
    out.mkdir()
    (out / link).symlink_to(dataset / link)
    before = snapshot(dataset)
    assert participant(dataset, out, model) == 2
    assert snapshot(dataset) == before


def test_the_derivative_dataset_of_another_program_is_unchanged(dataset, model, tmp_path, capsys):
    out = tmp_path / "fmriprep"
    out.mkdir()
    text = '{"Name": "fMRIPrep", "GeneratedBy": [{"Name": "fMRIPrep"}]}'
    (out / "dataset_description.json").write_text(text)
    assert participant(dataset, out, model) == 2
    assert (out / "dataset_description.json").read_text() == text
    assert "Choose another folder" in capsys.readouterr().err


def test_a_folder_without_a_description_needs_an_option(dataset, model, tmp_path, capsys):
    (dataset / "dataset_description.json").unlink()
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 2
    assert "--skip-bids-validation" in capsys.readouterr().err
    for flag in ("--skip-bids-validation", "--skip_bids_validator"):
        assert participant(dataset, out, model, flag) == 0
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["SourceDatasets"] == [{"URL": "../bids"}]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("participant",), "--model"),
        (("participant", "--model", "none.iqt"), "none.iqt"),
        (("participant", "--model", "{bad}"), "bad.iqt"),
        (("participant", "--model", "{model}", "--n-cpus", "0"), "--n-cpus"),
        (("participant", "--model", "{model}", "--suffix", "T1w/.."), "--suffix"),
        (("participant", "--model", "{model}", "--suffix", "FLAIR"), "FLAIR"),
        (("session",), "session"),
    ],
)
def test_invalid_usage_writes_no_file(arguments, match, dataset, model, tmp_path, capsys):
    bad = tmp_path / "bad.iqt"
    bad.write_bytes(b"\x80\x04pickle" * 10)
    out = tmp_path / "iqt"
    assert run(dataset, out, *(text.format(bad=bad, model=model) for text in arguments)) == 2
    error = capsys.readouterr().err
    assert match in error
    assert "Traceback" not in error
    assert not out.exists()


def test_two_processes_make_the_same_files(dataset, model, tmp_path):
    out, again = tmp_path / "one", tmp_path / "two"
    assert participant(dataset, out, model) == 0
    # A broken scan in another process is reported as well.
    save_volume(np.zeros((8, 8, 4)), dataset / SCANS[2], affine=AFFINE)
    arguments = ["participant", "--model", model, "--n_cpus", 2, "--quiet"]
    assert run(dataset, again, *arguments) == 1
    assert scans_in(again) == list(OUTPUTS[:2])
    for name in OUTPUTS[:2]:
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_a_killed_process_fails_only_unfinished_scans(dataset, model, tmp_path, monkeypatch):
    def enhance(job):  # nested, so that it is pickled by value
        if job.scan.subject == "sub-02":
            os._exit(9)
        return {"status": "done"}

    monkeypatch.setattr(_command, "enhance", enhance)
    scans = [
        Scan(dataset, folder, "sub-x", name, "T1w")
        for folder, name in (scan.rsplit("/", 1) for scan in SCANS)
    ]
    jobs = [
        _command.Job(scan, tmp_path / "o", None, model, "0", (), None, 1, False, False)
        for scan in scans
    ]
    results = list(_command._run_jobs(jobs, 2))
    assert len(results) == 3
    assert {result["status"] for result in results[1:]} == {"failed"}
    assert "memory" in results[2]["error"]


def test_warnings_name_the_scan(dataset, model, tmp_path, capsys):
    save_volume(make_scan(0), dataset / SCANS[0], affine=AFFINE @ np.diag([1, 1, 0.75, 1]))
    assert participant(dataset, tmp_path / "iqt", model, "--participant-label", "01") == 0
    error = capsys.readouterr().err
    assert f"the result for {SCANS[0]} may be worse" in error
    assert "its slices are 3 mm thick, but 4 mm in training" in error


def test_a_scan_on_another_grid_is_enhanced_and_described(dataset, model, tmp_path, capsys):
    image = Nifti1Image(make_scan(0).astype("f4"), AFFINE @ np.diag([1.3, 1.3, 1, 1]))
    save_volume(reorient(image, "PIR"), dataset / SCANS[0])
    out = tmp_path / "iqt"
    assert participant(dataset, out, model, "--participant-label", "01") == 0
    assert capsys.readouterr().err.count("warning") == 0
    iqt = json.loads(sidecar(out, 0).read_text())["IQT"]
    assert iqt["Grid"] == {
        "Orientation": {"Scan": "PIR", "Model": "LSA"},
        "VoxelSize": {"Scan": [1.3, 1.3, 4.0], "Model": [1.0, 1.0, 4.0]},
    }
    assert iqt["Spacing"] == [1, 1, 1]
    assert 0 < iqt["ConsistencyNRMSE"] < 0.2
    assert "".join(aff2axcodes(load_volume(out / OUTPUTS[0]).affine)) == "PIR"


def test_a_scan_with_the_voxel_size_of_the_result_fails(dataset, model, tmp_path, capsys):
    save_volume(make_scan(0), dataset / SCANS[0], affine=AFFINE @ np.diag([1, 1, 0.25, 1]))
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 1
    assert "nothing to enhance" in capsys.readouterr().err
    assert not sidecar(out, 0).exists()
    assert sidecar(out, 1).exists()


def test_help_has_examples(capsys):
    assert run("--help") == 0
    examples = capsys.readouterr().out.split("examples:")[1]
    assert examples.count("  sklearn-iqt bids ") == 4
    assert all(len(line) <= 100 for line in examples.splitlines())
    assert run("--version") == 0
    assert capsys.readouterr().out == f"sklearn-iqt {__version__}\n"


def test_quiet_prints_nothing(dataset, model, tmp_path, capsys):
    assert participant(dataset, tmp_path / "iqt", model) == 0
    assert run(dataset, tmp_path / "iqt", "group", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run(dataset, tmp_path / "iqt", "group") == 0
    assert "3 of 3 scans are done" in capsys.readouterr().err


def test_the_group_table_has_a_row_for_each_scan(dataset, model, tmp_path):
    out = tmp_path / "iqt"
    (dataset / SCANS[0]).write_bytes(b"\x1f\x8bno scan")
    assert participant(dataset, out, model) == 1
    assert run(dataset, out, "group", "--quiet") == 1
    rows = table_of(out)
    columns = json.loads((out / "group_iqt.json").read_text())
    assert list(rows[0]) == list(columns)
    assert all(column["Description"] for column in columns.values())
    assert [row["scan"] for row in rows] == list(SCANS)
    assert [row["status"] for row in rows] == ["missing", "done", "done"]
    assert [row["session_id"] for row in rows] == ["n/a", "ses-a", "ses-b"]
    assert rows[0]["seconds"] == rows[0]["consistency_nrmse"] == "n/a"
    iqt = json.loads(sidecar(out, 1).read_text())["IQT"]
    assert float(rows[1]["intensity_scale"]) == pytest.approx(iqt["IntensityScale"], rel=1e-5)
    assert float(rows[1]["consistency_nrmse"]) == pytest.approx(iqt["ConsistencyNRMSE"], rel=1e-5)
    assert [float(rows[1][f"spacing_{axis}"]) for axis in "ijk"] == [1, 1, 1]
    assert int(rows[1]["voxels"]) == 14 * 15 * 24
    assert rows[1]["model_sha256"] == iqt["Model"]["SHA256"]


def test_a_hostile_sidecar_cannot_break_the_table(dataset, model, tmp_path):
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    content = json.loads(sidecar(out, 0).read_text())
    content["IQT"] |= {"Seconds": "1\t2\n3", "Shape": [1, "x", None], "Spacing": {}, "Version": [1]}
    sidecar(out, 0).write_text(json.dumps(content))
    assert run(dataset, out, "group", "--quiet") == 0
    rows = table_of(out)
    assert len(rows) == 3
    assert rows[0]["seconds"] == "1 2 3"
    assert rows[0]["voxels"] == rows[0]["spacing_i"] == "n/a"


def test_corner_alignment_has_no_consistency(dataset, tmp_path):
    fitted = InterpolationIQT(alignment="corner")
    fitted.fit(np.ones((1, 8, 8, 4)), np.ones((1, 8, 8, 16)))
    model, out = save_model(fitted, tmp_path / "corner.iqt"), tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    assert json.loads(sidecar(out, 0).read_text())["IQT"]["ConsistencyNRMSE"] is None
    assert run(dataset, out, "group", "--quiet") == 0
    assert table_of(out)[0]["consistency_nrmse"] == "n/a"


def test_names_are_valid_bids_names(dataset, model, tmp_path):
    validator = pytest.importorskip("bids_validator").BIDSValidator()
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    # This validator only accepts names of raw datasets, which have no desc-.
    for path in out.rglob("*.*"):
        name = f"/{path.relative_to(out).as_posix()}".replace("_desc-iqt", "")
        if path.is_file() and path.name != ".bidsignore":
            assert validator.is_bids(name.replace("README.md", "README")), name


def test_the_bids_validator_finds_no_errors(dataset, model, tmp_path):
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("bids-validator-deno", path=search_path)
    if program is None:
        pytest.skip("bids-validator-deno is not installed")
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    assert run(dataset, out, "group", "--quiet") == 0
    done = subprocess.run([program, str(out), "--json"], capture_output=True)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert errors == []
