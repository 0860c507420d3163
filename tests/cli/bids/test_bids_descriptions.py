"""Sidecars, tables and descriptions of a derivative dataset."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bids_dataset import OUTPUTS, SCANS, participant, run, sidecar, table_of

from sklearn_iqt import __version__
from sklearn_iqt.io import load_volume
from sklearn_iqt.preprocessing import intensity_scale


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
