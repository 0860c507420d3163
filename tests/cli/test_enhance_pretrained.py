"""The command enhance without --model, which chooses a model of the package."""

import json

import numpy as np
import pytest
from command_line import run

from sklearn_iqt import AnyGridIQT, InterpolationIQT, save_model
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.persistence import TrainingCard, _pretrained


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of the models of the package, which is empty."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(_pretrained, "FOLDER", folder)
    return folder


@pytest.fixture
def scan(pairs):
    return pairs / "sub-0_T1w_low.nii.gz"


def add_model(folder, pairs, name="any", learned_from="low"):
    low, high = (load_volume(pairs / f"sub-0_T1w_{part}.nii.gz") for part in (learned_from, "high"))
    model = AnyGridIQT(InterpolationIQT(scale=1), slices="interpolate").fit([low], [high])
    card = TrainingCard(intended_use="brains of the tests")
    save_model(model, folder / f"{name}.iqt", training=card)
    return model


def test_the_model_and_the_reason_are_printed(folder, pairs, scan, tmp_path, capsys):
    model, out = add_model(folder, pairs), tmp_path / "out.nii.gz"
    assert run("enhance", scan, "--output", out) == 0
    said = capsys.readouterr().err
    assert f"{scan}: the model is any of the package, because it is for brains" in said
    assert "warning" not in said
    (expected,) = model.predict([scan])
    result = load_volume(out)
    np.testing.assert_allclose(result.dataobj, expected.dataobj, atol=1e-3)
    np.testing.assert_allclose(result.affine, expected.affine, atol=1e-5)


def test_without_models_in_the_package_a_model_is_needed(folder, scan, tmp_path, capsys):
    assert run("enhance", scan, "--output", tmp_path / "out.nii.gz") == 2
    assert "--model is needed" in capsys.readouterr().err


def test_a_refused_scan_has_a_record_and_no_result(folder, pairs, head, tmp_path, capsys):
    add_model(folder, pairs)
    out = tmp_path / "out.nii.gz"
    assert run("enhance", head[0], "--output", out) == 3
    assert "1 refused" in capsys.readouterr().err
    assert not out.exists()
    record = json.loads((tmp_path / "out.json").read_text())
    assert not record["Enhanced"]
    assert record["Check"]["Verdict"] == "refuse"


def test_a_record_says_enhanced_only_after_the_result_is_written(
    folder, pairs, scan, tmp_path, monkeypatch
):
    add_model(folder, pairs)

    def fail(*args, **options):
        raise OSError("disk full")

    out = tmp_path / "out.nii.gz"
    with monkeypatch.context() as patched:
        patched.setattr("sklearn_iqt.io.save_volume", fail)
        assert run("enhance", scan, "--output", out) != 0
    assert not json.loads((tmp_path / "out.json").read_text())["Enhanced"]
    assert run("enhance", scan, "--output", out) == 0
    assert json.loads((tmp_path / "out.json").read_text())["Enhanced"]


def test_the_model_with_the_closest_training_scans_is_chosen(folder, pairs, scan, tmp_path, capsys):
    add_model(folder, pairs, "far", learned_from="high")  # without thick slices
    add_model(folder, pairs, "near")
    assert run("enhance", scan, "--output", tmp_path / "out.nii.gz") == 0
    assert "the model is near of the package" in capsys.readouterr().err


def test_outside_of_the_mask_the_result_is_zero(folder, pairs, scan, tmp_path):
    add_model(folder, pairs)
    low = load_volume(scan)
    mask = np.zeros(low.shape, np.uint8)
    mask[: low.shape[0] // 2] = 1
    save_volume(mask, tmp_path / "mask.nii.gz", affine=low.affine, dtype="uint8")
    out = tmp_path / "out.nii.gz"
    run("enhance", scan, "--mask", tmp_path / "mask.nii.gz", "--output", out, "--quiet")
    result = np.asarray(load_volume(out).dataobj)
    half = result.shape[0] // 2
    assert not result[half + 1 :].any()
    assert result[:half].any()
