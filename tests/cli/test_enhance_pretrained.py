"""The command enhance without --model, which chooses a model of the package."""

import numpy as np
import pytest
from command_line import run

from sklearn_iqt import AnyGridIQT, InterpolationIQT, save_model
from sklearn_iqt.cli._pretrained import Measured, find_doubts
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


def add_model(folder, pairs, name="any", **card):
    low, high = (load_volume(pairs / f"sub-0_T1w_{kind}.nii.gz") for kind in ("low", "high"))
    model = AnyGridIQT(InterpolationIQT(scale=1), slices="interpolate").fit([low], [high])
    card = {"intended_use": "brains of the tests", "contrast": (1, 3), "surface": (0, 3), **card}
    save_model(model, folder / f"{name}.iqt", training=TrainingCard(**card))
    return model


def test_the_model_and_the_reason_are_printed(folder, pairs, scan, tmp_path, capsys):
    model, out = add_model(folder, pairs), tmp_path / "out.nii.gz"
    assert run("enhance", scan, "--output", out) == 0
    said = capsys.readouterr().err
    assert f"{scan}: enhanced by the model any of the package, because it is for brains" in said
    assert "warning" not in said
    (expected,) = model.predict([scan])
    result = load_volume(out)
    np.testing.assert_allclose(result.dataobj, expected.dataobj, atol=1e-3)
    np.testing.assert_allclose(result.affine, expected.affine, atol=1e-5)


def test_without_models_in_the_package_a_model_is_needed(folder, scan, tmp_path, capsys):
    assert run("enhance", scan, "--output", tmp_path / "out.nii.gz") == 2
    assert "--model is needed" in capsys.readouterr().err


def test_a_whole_head_is_refused_until_its_mask_is_given(folder, pairs, head, tmp_path, capsys):
    add_model(folder, pairs)
    scan, _ = head
    out = tmp_path / "out.nii.gz"
    assert run("enhance", scan, "--output", out) == 2
    assert "whole head with its skull" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"contrast": (4, 5)}, "because contrast, WM / GM is"),
        ({"snr_wm": (4000, 5000)}, "because signal-to-noise ratio of WM is"),
    ],
)
def test_a_warning_names_the_differences(card, message, folder, pairs, scan, tmp_path, capsys):
    add_model(folder, pairs, **card)
    assert run("enhance", scan, "--output", tmp_path / "out.nii.gz", "--quiet") == 0
    assert message in capsys.readouterr().err


def test_another_contrast_is_refused():
    found = Measured(False, "its tissues are too similar", 1.3)
    card = TrainingCard(surface=(0.4, 0.8))
    with pytest.raises(
        ValueError, match=r"another contrast: surface .* is 1\.30, but 0\.36 to 0\.88"
    ):
        find_doubts(found, card)
    (doubt,) = find_doubts(found._replace(surface=0.6), card)
    assert doubt == "its contrast and noise could not be measured: its tissues are too similar"


def test_the_model_with_the_fewest_differences_is_chosen(folder, pairs, scan, tmp_path, capsys):
    add_model(folder, pairs, "far", contrast=(4, 5))
    add_model(folder, pairs, "near")
    assert run("enhance", scan, "--output", tmp_path / "out.nii.gz") == 0
    assert "enhanced by the model near of the package" in capsys.readouterr().err


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
