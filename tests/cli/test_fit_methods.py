"""Forests and classes of the user, from fit to enhance, report and bids."""

import subprocess
import sys

import numpy as np
import pytest

from sklearn_iqt.cli import main
from sklearn_iqt.io import load_volume, save_volume, scaled_affine
from sklearn_iqt.persistence import load_model, read_model_card

OWN = '''
"""A method of the user."""
from sklearn_iqt import PatchwiseRegressor
from sklearn_iqt.persistence import register_class


@register_class
class Sharpened(PatchwiseRegressor):
    """Exaggerate what a regressor adds to the interpolated patches."""

    def _predict_patches(self, X):
        baseline = self._baseline_patches(X)
        return baseline + 1.5 * (super()._predict_patches(X) - baseline)
'''


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def pairs(tmp_path):
    """Return a BIDS dataset of two low scans, and the paths of low and high scans."""
    low, high = [], []
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text(
        '{"Name": "two brains", "BIDSVersion": "1.9.0"}'
    )
    for n in range(2):
        fine = np.random.default_rng(n).random((12, 12, 16)).astype(np.float32) + 1
        coarse = fine.reshape(12, 12, 4, 4).mean(axis=-1)
        scan = tmp_path / "bids" / f"sub-{n}" / "anat" / f"sub-{n}_T1w.nii.gz"
        scan.parent.mkdir(parents=True)
        affine = scaled_affine(np.eye(4), (1, 1, 0.25))
        low.append(save_volume(coarse, scan, affine=affine))
        high.append(save_volume(fine, tmp_path / f"sub-{n}_high.nii.gz", affine=np.eye(4)))
    return low, high


def fit(pairs, output, *options):
    low, high = pairs
    return run("fit", "--low", *low, "--high", *high, "--output", output, "--quiet", *options)


def test_a_forest_is_fitted_and_used_by_every_command(pairs, tmp_path, capsys):
    path = tmp_path / "forest.iqt"
    options = ["-p", "estimator__n_estimators=4", "-p", "max_patches=300", "--seed", 3]
    assert fit(pairs, path, "--method", "forest", *options) == 0
    forest = load_model(path).estimator_
    assert type(forest).__name__ == "ExtraTreesRegressor"
    assert len(forest.estimators_) == 4
    assert forest.get_params()["min_samples_leaf"] == 10
    assert forest.get_params()["random_state"] == 3
    assert read_model_card(path).training.method == "forest"
    # The same command gives the same file.
    again = tmp_path / "again.iqt"
    assert fit(pairs, again, "--method", "forest", *options, "--jobs", 1) == 0
    assert again.read_bytes() == path.read_bytes()

    scan, enhanced = pairs[0][0], tmp_path / "enhanced.nii.gz"
    assert run("enhance", "--model", path, scan, "--output", enhanced) == 0
    expected = load_model(path).predict([load_volume(scan)])[0]
    np.testing.assert_allclose(load_volume(enhanced).dataobj, expected.dataobj, atol=1e-6)
    page = tmp_path / "report.html"
    assert run("report", "--model", path, scan, "--output", page, "--quiet") == 0
    assert "ExtraTreesRegressor" in page.read_text()
    out = tmp_path / "derivatives"
    capsys.readouterr()
    assert run("bids", tmp_path / "bids", out, "participant", "--model", path, "--n-cpus", 1) == 0
    assert (out / "sub-0" / "anat" / "sub-0_desc-iqt_T1w.nii.gz").exists()
    # The model itself draws no bar.
    assert "PatchwiseRegressor:" not in capsys.readouterr().err


def test_the_help_of_fit_names_the_nets_and_the_forest(capsys):
    assert run("fit", "--help") == 0
    text = capsys.readouterr().out
    assert "The default sizes of ddl and unet are made for a GPU" in text
    assert "forest forest of 30" in " ".join(text.split())
    assert "{" not in text.split("examples:")[1]


def test_an_unknown_method_is_refused_with_the_names_of_all(pairs, tmp_path, capsys):
    assert fit(pairs, tmp_path / "model.iqt", "--method", "magic") == 2
    message = capsys.readouterr().err
    assert "no method 'magic'" in message
    assert "srep, ridge, forest" in message
    assert "--import" in message


@pytest.mark.processes
def test_a_class_of_the_user_is_used_by_every_command(pairs, tmp_path, monkeypatch, capsys):
    """Each command runs in a new process, which knows the class only through --import."""
    (tmp_path / "sharpened.py").write_text(OWN)
    low, high = pairs
    model = ["--model", "own.iqt"]
    scans = ["--low", *low, "--high", *high, "--output", "own.iqt", "-p", "max_patches=300"]
    enhance = ["enhance", *model, low[0], "--output", "enhanced.nii.gz"]
    for arguments, module in (
        (["fit", "--method", "Sharpened", *scans], "sharpened.py"),
        (enhance, "sharpened"),  # a module is found by its name as well
        (["report", *model, low[0], "--output", "report.html"], "sharpened.py"),
        (["bids", "bids", "out", "participant", *model, "--n-cpus", 2], "sharpened.py"),
    ):
        program = [sys.executable, "-m", "sklearn_iqt.cli", *map(str, arguments)]
        done = subprocess.run(
            [*program, "--import", module], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sub-1" / "anat" / "sub-1_desc-iqt_T1w.nii.gz").exists()

    # This process does not know the class.
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run(*enhance, "--force") == 2
    refused = capsys.readouterr().err
    assert "'Sharpened'" in refused
    assert "--import MODULE" in refused


def test_an_error_in_a_module_of_the_user_is_one_line(pairs, tmp_path, capsys):
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('broken on purpose')")
    arguments = ["--model", tmp_path / "own.iqt", "--output", tmp_path / "out.nii.gz"]
    assert run("enhance", pairs[0][0], *arguments, "--import", broken) == 2
    assert capsys.readouterr().err.strip() == "sklearn-iqt enhance: error: broken on purpose"


@pytest.mark.parametrize("name", ["missing.py", "missing_module_of_nobody"])
def test_a_module_that_does_not_exist_is_named(name, pairs, tmp_path, capsys):
    scan = pairs[0][0]
    arguments = ["--model", tmp_path / "own.iqt", "--output", tmp_path / "out.nii.gz"]
    assert run("enhance", scan, *arguments, "--import", name) == 2
    assert name in capsys.readouterr().err


def test_a_file_does_not_replace_a_module(pairs, tmp_path, capsys):
    (tmp_path / "json.py").write_text("")
    arguments = ["--model", tmp_path / "own.iqt", "--output", tmp_path / "out.nii.gz"]
    assert run("enhance", pairs[0][0], *arguments, "--import", tmp_path / "json.py") == 2
    assert "another module 'json'" in capsys.readouterr().err
