"""Enhancement of a BIDS dataset: results, failures and processes."""

import json
import os
import re

import numpy as np
import pytest
from bids_dataset import (
    AFFINE,
    OUTPUTS,
    SCANS,
    make_scan,
    participant,
    run,
    scans_in,
    sidecar,
    snapshot,
    table_of,
)
from nibabel import Nifti1Image, aff2axcodes

from sklearn_iqt import InterpolationIQT, __version__
from sklearn_iqt.cli.bids import _command
from sklearn_iqt.cli.bids._layout import Scan
from sklearn_iqt.io import load_volume, save_volume, scaled_affine
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.persistence import load_model, save_model


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
    assert lines[0] == f"sklearn-iqt bids: {SCANS[2]} was refused: the scan has no positive voxel"
    assert lines[1].startswith(f"sklearn-iqt bids: error: {SCANS[1]}")
    # Once a scan is repaired, only that scan is enhanced.
    save_volume(make_scan(1), dataset / SCANS[1], affine=AFFINE)
    assert participant(dataset, out, model) == 3
    assert scans_in(out) == list(OUTPUTS[:2])
    assert participant(dataset, out, model, "--session-label", "b", "--force") == 2
    assert "no positive intensity" in capsys.readouterr().err


def test_a_scan_whose_content_was_not_fetched_fails(dataset, model, tmp_path, capsys):
    (dataset / SCANS[0]).unlink()
    (dataset / SCANS[0]).symlink_to("../../.git/annex/objects/nowhere")
    assert participant(dataset, tmp_path / "iqt", model) == 1
    assert "no such file" in capsys.readouterr().err


def test_two_processes_make_the_same_files(dataset, model, tmp_path):
    out, again = tmp_path / "one", tmp_path / "two"
    assert participant(dataset, out, model) == 0
    # A broken scan in another process is reported as well.
    (dataset / SCANS[2]).write_bytes(b"no scan")
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
        _command.Job(
            scan, tmp_path / "o", tmp_path / "r", None, model, "0", (), None, 1, False, False, 0
        )
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
    assert f"warning: {SCANS[0]}: the result may be worse" in error
    assert error.count("the scan's slices are 3 mm thick, but 4 mm in training") == 1
    check = json.loads(sidecar(tmp_path / "iqt", 0).read_text())["IQT"]["Check"]
    assert check["Verdict"] == "caution"


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


def test_a_scan_with_the_voxel_size_of_the_result_is_refused(dataset, model, tmp_path, capsys):
    save_volume(make_scan(0), dataset / SCANS[0], affine=AFFINE @ np.diag([1, 1, 0.25, 1]))
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 3
    assert "nothing to enhance" in capsys.readouterr().err
    assert not sidecar(out, 0).exists()
    assert sidecar(out, 1).exists()
    # Its grid cannot be changed, so it fails if it is not refused.
    assert participant(dataset, out, model, "--force") == 1


def test_a_scan_of_another_kind_is_refused(dataset, model, tmp_path, capsys):
    labels = np.rint(make_scan(0) / 40)
    save_volume(labels, dataset / SCANS[0], affine=AFFINE)
    out = tmp_path / "iqt"
    assert participant(dataset, out, model) == 3
    assert f"{SCANS[0]} was refused: the scan looks like a map of labels" in capsys.readouterr().err
    assert scans_in(out) == sorted(OUTPUTS[1:])
    path = out / "refused" / "sub-01_desc-iqt_T1w.json"
    content = json.loads(path.read_text())
    assert content["IQT"]["Check"]["Verdict"] == "refuse"
    assert content["Sources"] == [f"bids:source:{SCANS[0]}"]
    assert run(dataset, out, "group", "--quiet", "--model", model) == 1
    row = table_of(out)[0]
    assert (row["status"], row["check"]) == ("refused", "refuse")
    assert "labels" in row["check_reasons"]
    assert [other["check"] for other in table_of(out)[1:]] == ["ok", "ok"]

    save_volume(2 * labels, dataset / SCANS[0], affine=AFFINE)  # another scan of this name
    assert run(dataset, out, "group", "--quiet", "--model", model) == 1
    assert table_of(out)[0]["status"] == "missing"
    assert participant(dataset, out, model, "--force") == 0
    assert "it is enhanced although it was refused" in capsys.readouterr().err
    assert not path.exists()
    assert run(dataset, out, "group", "--quiet", "--model", model) == 0
    assert (table_of(out)[0]["status"], table_of(out)[0]["check"]) == ("done", "refuse")


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


def test_corner_alignment_has_no_consistency(dataset, tmp_path):
    fitted = InterpolationIQT(alignment="corner")
    fitted.fit(np.ones((1, 8, 8, 4)), np.ones((1, 8, 8, 16)))
    model, out = save_model(fitted, tmp_path / "corner.iqt"), tmp_path / "iqt"
    assert participant(dataset, out, model) == 0
    assert json.loads(sidecar(out, 0).read_text())["IQT"]["ConsistencyNRMSE"] is None
    assert run(dataset, out, "group", "--quiet") == 0
    assert table_of(out)[0]["consistency_nrmse"] == "n/a"
