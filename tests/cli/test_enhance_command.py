"""The command enhance."""

import json

import nibabel
import numpy as np
import pytest
from command_line import AFFINE, names, run
from sklearn.frozen import FrozenEstimator

from sklearn_iqt import AnyGridIQT, PatchwiseRegressor
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.persistence import load_model


@pytest.mark.parametrize(
    ("factors", "match"),
    [((1, 1, 1.05), None), ((1, 1, 0.8), "may be worse"), ((1, 1, 0.25), "nothing to enhance"),
     ((1, 1, 2.5), "Use a model that was trained on such")],
)  # fmt: skip
def test_enhance_checks_the_voxel_size(factors, match, model, pairs, tmp_path, capsys):
    low = load_volume(pairs / "sub-0_T1w_low.nii.gz")
    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz"
    save_volume(low.get_fdata(), scan, affine=low.affine @ np.diag([*factors, 1]))
    refused = match in ("nothing to enhance", "Use a model that was trained on such")
    assert run("enhance", "--model", model, scan, "--output", out, "--quiet") == 3 * refused
    assert out.exists() != refused
    error = capsys.readouterr().err
    assert (match or "") in error
    assert len(error.splitlines()) == bool(match)


def test_enhance_equals_predict(model, pairs, tmp_path):
    scans = sorted(pairs.glob("*_low.nii.gz"))
    folder = tmp_path / "enhanced"
    assert run("enhance", "--model", model, *scans, "--output-dir", folder, "--std", "--quiet") == 0
    assert names(folder) == sorted(
        f"sub-{n}_T1w_low_{kind}"
        for n in range(2)
        for kind in ("enhanced.nii.gz", "std.nii.gz", "enhanced.json")
    )
    expected, spread = load_model(model).predict([str(scan) for scan in scans], return_std=True)
    for n in range(2):
        enhanced = load_volume(folder / f"sub-{n}_T1w_low_enhanced.nii.gz")
        np.testing.assert_allclose(enhanced.dataobj, expected[n].dataobj, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(enhanced.affine, AFFINE, atol=1e-5)
        std = load_volume(folder / f"sub-{n}_T1w_low_std.nii.gz")
        np.testing.assert_allclose(std.dataobj, spread[n].dataobj, rtol=1e-4, atol=1e-3)


def test_enhance_brings_scans_to_the_grid_of_the_training(turned, model, tmp_path, capsys):
    out = tmp_path / "out.nii.gz"
    assert run("enhance", "--model", model, turned[0], "--output", out, "--jobs", 1) == 0
    said = capsys.readouterr().err
    assert (
        f"{turned[0]}: to fit the training scans, its axes were reordered from AIR to LSA" in said
    )
    assert ", and it was resampled from 1.2 x 1.2 x 4 mm to 1 x 1 x 4 mm" in said
    (expected,) = AnyGridIQT(FrozenEstimator(load_model(model))).predict([turned[0]])
    result = load_volume(out)
    assert "".join(nibabel.aff2axcodes(result.affine)) == "AIR"
    np.testing.assert_allclose(result.header.get_zooms(), 1, rtol=1e-5)
    np.testing.assert_allclose(result.dataobj, expected.dataobj, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "grid"),
    [(["--grid", "scan"], "scan"), (["--voxel-size", 2], 2.0),
     (["--voxel-size", 1, 2, 1.5], (1, 2, 1.5)), (["--grid", "model"], "model")],
)  # fmt: skip
def test_enhance_writes_the_grid_that_is_asked_for(options, grid, turned, model, tmp_path):
    out = tmp_path / "out.nii.gz"
    scan, mask = turned
    arguments = ["--model", model, scan, "--mask", mask, "--output", out, "--quiet", *options]
    assert run("enhance", *arguments) == 0
    fitted = AnyGridIQT(FrozenEstimator(load_model(model)), grid=grid)
    (expected,) = fitted.predict([scan], mask=[mask])
    result = load_volume(out)
    np.testing.assert_allclose(result.affine, expected.affine, atol=1e-4)
    np.testing.assert_allclose(result.dataobj, expected.dataobj, rtol=1e-4, atol=1e-2)
    (without,) = fitted.predict([scan])
    assert not np.array_equal(without.dataobj, expected.dataobj)


@pytest.mark.parametrize(
    ("options", "match"),
    [(["--voxel-size", -1], "--voxel-size takes lengths above 0 in mm, got -1"),
     (["--voxel-size", 1, 1, "nan"], "--voxel-size takes lengths above 0 in mm, got 1 1 nan"),
     (["--grid", "models"], "--grid must be model, scan or a NIfTI file, got models")],
)  # fmt: skip
def test_enhance_refuses_a_wrong_grid_before_anything_else(options, match, tmp_path, capsys):
    arguments = "--model", "absent.iqt", "absent.nii", "--output-dir", tmp_path / "out"
    assert run("enhance", *arguments, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert match in line
    assert not (tmp_path / "out").exists()


def test_enhance_puts_the_result_on_the_grid_of_a_file(turned, model, pairs, tmp_path, capsys):
    reference, out = pairs / "sub-0_T1w_high.nii.gz", tmp_path / "out.nii.gz"
    arguments = ["--model", model, turned[0], "--output", out, "--grid", reference]
    assert run("enhance", *arguments, "--quiet") == 0
    assert load_volume(out).shape == load_volume(reference).shape
    truth = load_volume(reference).get_fdata()
    assert nrmse([truth], [load_volume(out).get_fdata()]) < 0.2
    both = "--voxel-size", 1
    assert run("enhance", *arguments, *both, "--force") == 2
    assert "not allowed with" in capsys.readouterr().err
    assert run("enhance", *arguments, "--mask", turned[1], turned[1], "--force") == 2
    assert "2 masks for 1 scans" in capsys.readouterr().err


def test_enhance_writes_one_scan_to_the_requested_file(model, pairs, tmp_path):
    scans = sorted(pairs.glob("*_low.nii.gz"))
    output = tmp_path / "new" / "better.nii"
    assert run("enhance", "--model", model, scans[0], "--output", output, "--quiet") == 0
    assert load_volume(output).shape == (24, 26, 32)
    assert run("enhance", "--model", model, *scans, "--output", output, "--force") == 2


def test_enhance_refuses_a_file_that_is_not_a_model(pairs, tmp_path, capsys):
    model = tmp_path / "evil.iqt"
    model.write_bytes(b"\x80\x04pickle" * 10)
    scan = pairs / "sub-0_T1w_low.nii.gz"
    assert run("enhance", "--model", model, scan, "--output-dir", tmp_path / "out") == 2
    assert "evil.iqt" in capsys.readouterr().err


def test_intervals_are_calibrated_by_fit_and_written_by_enhance(model, pairs, tmp_path, capsys):
    low, high = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    files = ["--low", low[0], low[0], low[1], "--high", high[0], high[0], high[1]]
    out, path = tmp_path / "out.nii.gz", tmp_path / "calibrated.iqt"
    fit = ["fit", *files, "--method", "ridge", "--output", path, "--quiet", "--calibrate"]
    assert run(*fit, 2) == 2
    assert "needs at least 4 calibration subjects, got 2" in capsys.readouterr().err
    assert run(*fit, 3) == 2
    assert "must leave pairs to learn from, got 3 of 3 scans" in capsys.readouterr().err
    assert run(*fit, 2, "--subject-level", 0.6, "--confidence-level", 0.95) == 0
    calibrated = load_model(path)
    assert (calibrated.confidence_level, calibrated.subject_level) == (0.95, 0.6)
    first = PatchwiseRegressor(random_state=0).fit([str(low[0])], [str(high[0])])
    enhance = ["enhance", low[1], "--output", out, "--quiet", "--interval"]
    assert run(*enhance, "--model", model) == 2
    assert "--interval needs a calibrated model" in capsys.readouterr().err
    assert not out.exists()
    assert run(*enhance, "--model", path, "--std") == 0
    expected = calibrated.predict_interval([str(low[1])])
    np.testing.assert_array_equal(expected[0][0].dataobj, first.predict([str(low[1])])[0].dataobj)
    for ending, volumes in zip(("", "_lower", "_upper"), expected, strict=True):
        written = load_volume(tmp_path / f"out{ending}.nii.gz")
        np.testing.assert_allclose(written.dataobj, volumes[0].dataobj, rtol=1e-4, atol=1e-2)
    assert (tmp_path / "out_std.nii.gz").exists()


@pytest.fixture
def other_contrast(pairs, tmp_path):
    """Return the path of a scan in which fluid is bright, as in T2-weighted scans."""
    scan = load_volume(pairs / "sub-0_T1w_low.nii.gz")
    low = scan.get_fdata()
    bright = np.where(low > 20, np.maximum(400 - low, 0), low)
    return save_volume(bright, tmp_path / "t2w.nii.gz", affine=scan.affine)


def read_json(path):
    return json.loads(path.read_text())


def test_enhance_refuses_a_scan_of_another_kind(other_contrast, model, tmp_path, capsys):
    out = tmp_path / "out.nii.gz"
    arguments = ["--model", model, other_contrast, "--output", out, "--quiet"]
    for _ in range(2):  # the sidecar of a refused scan does not stop the next run
        assert run("enhance", *arguments) == 3
        assert not out.exists()
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{other_contrast} was refused: " in line
        assert "in the training scans" in line
        assert "pass --force" in line
    content = read_json(tmp_path / "out.json")
    assert not content["Enhanced"]
    assert content["Check"]["Verdict"] == "refuse"
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()

    assert run("enhance", *arguments, "--force") == 0
    assert out.exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"warning: {other_contrast}: it is enhanced although it was refused: " in line
    content = read_json(tmp_path / "out.json")
    assert content["Enhanced"]
    assert content["Check"]["Verdict"] == "refuse"


def test_a_refused_scan_does_not_stop_others(other_contrast, model, pairs, tmp_path, capsys):
    scan, absent, folder = pairs / "sub-0_T1w_low.nii.gz", tmp_path / "no.nii", tmp_path / "out"
    arguments = ["--model", model, other_contrast, scan, "--output-dir", folder]
    assert run("enhance", *arguments) == 3
    assert "1 of 2 done, 1 refused" in capsys.readouterr().err
    assert names(folder) == [
        "sub-0_T1w_low_enhanced.json",
        "sub-0_T1w_low_enhanced.nii.gz",
        "t2w_enhanced.json",
    ]
    assert read_json(folder / "sub-0_T1w_low_enhanced.json")["Check"]["Verdict"] == "ok"
    scans = [scan, absent, other_contrast]
    assert run("enhance", "--model", model, *scans, "--output-dir", folder, "--force") == 1
    assert "2 of 3 done, 1 failed" in capsys.readouterr().err


def test_a_json_file_of_something_else_is_kept(model, pairs, tmp_path, capsys):
    scan, out, other = pairs / "sub-0_T1w_low.nii.gz", tmp_path / "a.nii", tmp_path / "a.json"
    other.write_text('{"EchoTime": 0.1}')
    arguments = ["--model", model, scan, "--output", out, "--quiet"]
    assert run("enhance", *arguments) == 2
    assert f"{other} exists already" in capsys.readouterr().err
    assert read_json(other) == {"EchoTime": 0.1}
    assert not out.exists()
    assert run("enhance", *arguments, "--force") == 0
    assert read_json(other)["Enhanced"]
