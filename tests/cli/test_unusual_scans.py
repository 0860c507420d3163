"""Scans with unusual names or voxels, on the command line."""

import csv
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from sklearn_iqt.cli import main
from sklearn_iqt.io import load_volume, save_volume

VOLUME = np.random.default_rng(0).uniform(1, 2, (12, 12, 12)).astype("f4")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
@pytest.mark.parametrize("name", [b"caf\xe9.nii", "b\u00e9b\u00e9.nii".encode()])
def test_evaluate_writes_its_table_for_any_name_and_terminal(name, tmp_path):
    scan = os.fsencode(tmp_path) + b"/" + name
    os.rename(save_volume(VOLUME, tmp_path / "scan.nii"), scan)
    table = tmp_path / "scores.csv"
    command = [sys.executable, "-m", "sklearn_iqt.cli", "evaluate", "--quiet", "--csv", table]
    done = subprocess.run(
        [*command, "--truth", scan, "--estimate", scan],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
    )
    assert done.returncode == 0, done.stderr
    assert b"1.0000" in done.stdout
    (row,) = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    assert row["SSIM"] == "1.0"


def test_nan_in_scans_is_background_on_request(tmp_path, capsys):
    volume = VOLUME.copy()
    volume[:2] = np.nan
    high, low = str(tmp_path / "high.nii"), str(tmp_path / "low.nii")
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), high)
    nibabel.save(nibabel.Nifti1Image(volume[..., ::4], np.diag([1, 1, 4, 1])), low)
    labels = save_volume(np.nan_to_num(volume).round() + 1, tmp_path / "labels.nii")
    model = tmp_path / "model.iqt"
    commands = (
        ("simulate", high, "--tissues", labels, "--border-width", 0,
         "--output-dir", tmp_path / "pairs"),
        ("fit", "--low", low, "--high", high, "--alignment", "corner", "--method", "ridge",
         "-p", "patcher__patch_size=3", "--output", model),
        ("enhance", low, "--model", model, "--output-dir", tmp_path / "out"),
        ("evaluate", "--truth", high, "--estimate", high),
    )  # fmt: skip
    for command in commands:
        arguments = [str(argument) for argument in (*command, "--quiet")]
        assert main(arguments) == 2
        assert "nan='background'" in capsys.readouterr().err
        assert main([*arguments, "--nan", "background"]) == 0, capsys.readouterr().err
    assert load_volume(tmp_path / "out/low_enhanced.nii.gz").shape == VOLUME.shape
