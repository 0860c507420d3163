"""Scans that are selected, and datasets that are never written to."""

import json
import shutil

import pytest
from bids_dataset import OUTPUTS, participant, run, scans_in, snapshot


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


def test_names_are_valid_bids_names(dataset, model, tmp_path):
    validator = pytest.importorskip("bids_validator").BIDSValidator()
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    # This validator only accepts names of raw datasets, which have no desc-.
    for path in out.rglob("*.*"):
        name = f"/{path.relative_to(out).as_posix()}".replace("_desc-iqt", "")
        if path.is_file() and path.name != ".bidsignore":
            assert validator.is_bids(name.replace("README.md", "README")), name
