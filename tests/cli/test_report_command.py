"""The command ``report``."""

import numpy as np
import pytest

from sklearn_iqt import PatchwiseRegressor, save_model
from sklearn_iqt.cli import main
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.persistence import TrainingCard

AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])


@pytest.fixture
def files(rng, tmp_path):
    """Return a folder with a model, a scan, its truth and its mask."""
    high = rng.random((16, 18, 24), dtype=np.float32) + np.float32(1)
    high[:4] = high[-4:] = 0
    low = high.reshape(16, 18, 6, 4).mean(axis=-1)
    scan = save_volume(low, tmp_path / "scan.nii.gz", affine=AFFINE)
    truth = save_volume(high, tmp_path / "truth.nii.gz", affine=scaled_affine(AFFINE, (1, 1, 4)))
    model = PatchwiseRegressor(max_patches=500, random_state=0).fit([scan], [truth])
    save_model(model, tmp_path / "m.iqt", training=TrainingCard(snr_presets="t1w_036t"))
    save_volume((low > 0).astype(np.uint8), tmp_path / "mask.nii.gz", affine=AFFINE, dtype="uint8")
    return tmp_path


def run(folder, *more, scan="scan.nii.gz", output="report.html"):
    paths = ["--model", folder / "m.iqt", folder / scan, "--output", folder / output]
    return main(["report", *map(str, paths), *map(str, more)])


def test_report_writes_one_page(files, capsys):
    more = ["--truth", files / "truth.nii.gz", "--mask", files / "mask.nii.gz"]
    assert run(files, *more, "--thickness", 2, "--title", "A & B") == 0
    assert "report.html: 0." in capsys.readouterr().err
    text = (files / "report.html").read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in text
    assert "Against the truth" in text
    assert "1 × 1 × 2" in text
    assert "t1w_036t" in text
    assert str(files) not in text


def test_report_prints_only_warnings_with_quiet(files, capsys):
    assert run(files, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    scan = np.ones((16, 18, 6), np.float32)
    scan[:4] = 0
    save_volume(scan, files / "thin.nii", affine=np.diag([1, 1, 3, 1]))
    assert run(files, "--quiet", scan="thin.nii", output="thin.html") == 0
    assert "low may be worse than for scans like those of the training" in capsys.readouterr().err


def test_report_replaces_a_file_only_with_force(files, capsys):
    assert run(files, "--quiet") == 0
    assert run(files, "--quiet") == 2
    assert "--force" in capsys.readouterr().err
    assert run(files, "--quiet", "--force") == 0


@pytest.mark.parametrize("output", ["scan.nii.gz", "m.iqt", "report.pdf"])
def test_report_refuses_names_that_are_not_pages(files, capsys, output):
    assert run(files, "--force", output=output) == 2
    assert "must end in .html" in capsys.readouterr().err


def test_report_that_fails_writes_no_file(files, capsys):
    (files / "broken.nii").write_bytes(b"no scan")
    before = sorted(files.iterdir())
    assert run(files, scan="broken.nii") == 2
    assert run(files, "--truth", files / "mask.nii.gz") == 2
    assert run(files, "--thickness", 0.2) == 2
    assert run(files, "--model", files / "broken.nii") == 2
    assert sorted(files.iterdir()) == before
    assert len(capsys.readouterr().err.strip().splitlines()) >= 4
