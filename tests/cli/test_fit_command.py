"""The command fit, and models that it writes."""

import csv
import json
import shutil
import warnings

import nibabel
import numpy as np
import pytest
from command_line import run
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from sklearn_iqt import IntensityCurveIQT, PatchwiseRegressor
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.persistence import load_model, read_model_card
from sklearn_iqt.preprocessing import TissueScaler


def test_fit_stores_a_training_card(model, pairs):
    card = read_model_card(model)
    training = card.training
    sidecars = [json.loads((pairs / f"sub-{n}_T1w_low.json").read_text()) for n in range(2)]
    assert card.class_name == "PatchwiseRegressor"
    assert training.method == "ridge"
    assert training.n_pairs == 2
    assert training.spacing_low_mm == (1, 1, 4)
    assert training.spacing_high_mm == (1, 1, 1)
    assert training.snr_presets == ("t1w_036t",)
    assert training.snr_gm == tuple(sorted(sidecar["snr_gm"] for sidecar in sidecars))
    assert (training.scale, training.alignment) == ((1, 1, 4), "center")
    assert (training.thickness, training.gap) == ((3,), (1,))
    assert (training.noise, training.tissues) == (("gaussian",), ("given",))
    # File names may identify subjects.
    assert "sub-0" not in str(card)


def test_training_card_has_no_fields_for_incomplete_sidecars(pairs, tmp_path, capsys):
    (pairs / "sub-0_T1w_low.json").write_text(
        '{"preset": "x", "snr_wm": 1, "snr_gm": 2, "gap": {}}'
    )
    (pairs / "sub-1_T1w_low.json").unlink()
    path = tmp_path / "cubic.iqt"
    options = ["--method", "interpolation", "-p", "scale=[1,1,4]", "--output", path]
    for n in range(2):
        low, high = pairs / f"sub-{n}_T1w_low.nii.gz", pairs / f"sub-{n}_T1w_high.nii.gz"
        assert (
            run("fit", "--low", low, "--high", high, *options, "--scale", 2, 2, 2, "--force") == 0
        )
        training = read_model_card(path).training
        assert training.scale == (1, 1, 4)
        assert training.snr_presets == (("x",) if n == 0 else ())
        assert training.thickness == training.gap == ()
        assert "learned from 1 pair\n" in capsys.readouterr().err


def test_fit_accepts_parameters_of_the_method_and_of_its_parts(pairs, tmp_path):
    low, high = pairs / "sub-0_T1w_low.nii.gz", pairs / "sub-0_T1w_high.nii.gz"
    options = ["-p", "n_atoms=16", "-p", "alpha=0.05", "-p", "patcher__patch_size=[3,3,9]"]
    options += ["-p", "patcher__stride=2", "-p", "features=both", "-p", "max_iter=1"]
    path = tmp_path / "deep" / "srep.iqt"
    arguments = ["--low", low, "--high", high, "--output", path, "--seed", 3, "--jobs", 1]
    assert run("fit", *arguments, *options, "--quiet") == 0
    model = load_model(path)
    assert type(model).__name__ == "CoupledDictionaryIQT"
    assert (model.n_atoms, model.alpha, model.features) == (16, 0.05, "both")
    assert (model.patcher.patch_size, model.patcher.stride) == ([3, 3, 9], 2)
    assert (model.random_state, model.n_jobs, model.verbose) == (3, None, 0)


def test_fit_standardizes_and_all_commands_accept_the_model(pairs, tmp_path, capsys):
    lows, highs = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    path, out = tmp_path / "model.iqt", tmp_path / "out.nii.gz"
    options = ["--method", "ridge", "--standardize", "--output", path, "--quiet"]
    assert run("fit", "--low", *lows, "--high", *highs, *options) == 0
    assert run("enhance", "--model", path, lows[0], "--output", out, "--std") == 0
    assert "TissueScaler" not in capsys.readouterr().err  # one progress bar
    expected = make_pipeline(TissueScaler(), PatchwiseRegressor(random_state=0)).fit(lows, highs)
    enhanced = expected.predict([str(lows[0])])[0]
    np.testing.assert_allclose(load_volume(out).dataobj, enhanced.dataobj, rtol=1e-5, atol=1e-3)
    assert read_model_card(path).training.standardized is True
    page = tmp_path / "page.html"
    assert run("report", "--model", path, lows[0], "--truth", highs[0], "--output", page) == 0
    assert "TissueScaler" in page.read_text(encoding="utf-8")
    anat = tmp_path / "bids" / "sub-0" / "anat"
    anat.mkdir(parents=True)
    description = {"Name": "one scan", "BIDSVersion": "1.10.0"}
    (tmp_path / "bids" / "dataset_description.json").write_text(json.dumps(description))
    shutil.copy(lows[0], anat / "sub-0_T1w.nii.gz")
    result = tmp_path / "derivative"
    assert run("bids", tmp_path / "bids", result, "participant", "--model", path, "--quiet") == 0
    (sidecar,) = result.rglob("sub-0_*_T1w.json")
    stored = json.loads(sidecar.read_text())["IQT"]["Model"]
    assert stored["Class"] == "PatchwiseRegressor after TissueScaler"
    assert stored["Scale"] == [1, 1, 4]


def test_masks_reach_all_steps_in_fit_and_enhance(pairs, tmp_path):
    lows, highs = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    masks = []
    for n, path in enumerate(lows):
        low = load_volume(path)
        voxels = low.get_fdata()
        brain = nibabel.Nifti1Image((voxels > 0.3 * voxels.max()).astype("u1"), low.affine)
        masks.append(save_volume(brain, tmp_path / f"mask-{n}.nii.gz"))
    path, out = tmp_path / "model.iqt", tmp_path / "out.nii.gz"
    options = ["--method", "curve", "--standardize", "--output", path, "--quiet"]
    assert run("fit", "--low", *lows, "--high", *highs, "--mask", *masks, *options) == 0
    arguments = ["--model", path, lows[0], "--mask", masks[0], "--output", out, "--quiet"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run("enhance", *arguments) == 0
    expected = make_pipeline(TissueScaler(), IntensityCurveIQT(random_state=0))
    with config_context(enable_metadata_routing=True):
        expected.fit(lows, highs, mask=masks)
        enhanced = expected.predict([str(lows[0])], mask=[masks[0]])[0]
    np.testing.assert_allclose(load_volume(out).dataobj, enhanced.dataobj, rtol=1e-5, atol=1e-3)


def test_scans_with_nan_outside_masks_are_learned_and_described(pairs, tmp_path):
    lows, masks = [], []
    for n, path in enumerate(sorted(pairs.glob("*_low.nii.gz"))):
        low = load_volume(path)
        brain = np.pad(np.ones(np.array(low.shape) - 4), 2) > 0
        voxels = np.where(brain, low.get_fdata(), np.nan)
        lows.append(tmp_path / f"low-{n}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(voxels, low.affine), lows[-1])
        mask = nibabel.Nifti1Image(brain.astype("u1"), low.affine)
        masks.append(save_volume(mask, tmp_path / f"mask-{n}.nii.gz"))
    path = tmp_path / "model.iqt"
    options = ["--mask", *masks, "--method", "curve", "--output", path, "--quiet"]
    highs = sorted(pairs.glob("*_high.nii.gz"))
    assert run("fit", "--low", *lows, "--high", *highs, *options) == 0
    assert read_model_card(path).training.n_pairs == 2


def test_fit_needs_a_mask_for_each_scan(pairs, tmp_path, capsys):
    lows, highs = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    options = ["--mask", lows[0], "--output", tmp_path / "model.iqt"]
    assert run("fit", "--low", *lows, "--high", *highs, *options) == 2
    assert f"got 1 masks for {len(lows)} low scans" in capsys.readouterr().err


def test_report_of_a_standardized_model_with_corner_alignment(brains, tmp_path):
    scans, maps = brains
    folder, path, page = tmp_path / "corner", tmp_path / "model.iqt", tmp_path / "page.html"
    grid = ["--alignment", "corner", "--quiet"]
    assert run("simulate", *scans, "--tissues", *maps, "--output-dir", folder, *grid) == 0
    lows, highs = sorted(folder.glob("*_low.nii.gz")), sorted(folder.glob("*_high.nii.gz"))
    options = ["--method", "ridge", "--standardize", "--output", path, *grid]
    assert run("fit", "--low", *lows, "--high", *highs, *options) == 0
    assert run("report", "--model", path, lows[0], "--truth", highs[0], "--output", page) == 0


@pytest.mark.parametrize(
    ("method", "size"), [("unet", ["n_filters=2", "n_levels=3"]), ("ddl", ["n_atoms=2"])]
)
def test_fit_and_enhance_with_nets(method, size, pairs, tmp_path):
    params = [*size, "max_steps=1", "batch_size=2", "patch_size=[8,8,2]"]
    chosen = [text for param in params for text in ("-p", param)]
    low, high = pairs / "sub-0_T1w_low.nii.gz", pairs / "sub-0_T1w_high.nii.gz"
    net, out = tmp_path / "net.iqt", tmp_path / "out.nii.gz"
    learn = ["--low", low, "--high", high, "--output", net, "--method", method, "--quiet"]
    assert run("fit", *learn, *chosen) == 0
    assert run("enhance", "--model", net, low, "--output", out, "--quiet") == 0
    assert load_volume(out).shape == load_volume(high).shape


def test_an_interrupted_training_says_how_to_continue(pairs, tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")

    def press_ctrl_c(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", press_ctrl_c)
    low, high = pairs / "sub-0_T1w_low.nii.gz", pairs / "sub-0_T1w_high.nii.gz"
    learn = ["--low", low, "--high", high, "--output", tmp_path / "net.iqt", "--quiet"]
    size = [
        "-p",
        "n_filters=2",
        "-p",
        "n_levels=3",
        "-p",
        "max_steps=1",
        "-p",
        "patch_size=[8,8,2]",
    ]
    assert run("fit", *learn, "--method", "unet", *size) == 130
    assert "Nothing was saved. Set checkpoint to a folder" in capsys.readouterr().err


def test_a_learned_model_beats_interpolation(pairs, model, tmp_path, capsys):
    low, high = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    baseline = tmp_path / "cubic.iqt"
    arguments = ["--low", *low, "--high", *high, "--output", baseline, "--quiet"]
    assert run("fit", "--method", "interpolation", *arguments) == 0
    scores = {}
    for path in (baseline, model):
        folder = tmp_path / path.stem
        assert run("enhance", "--model", path, *low, "--output-dir", folder, "--quiet") == 0
        table = folder / "scores.csv"
        estimates = sorted(folder.glob("*.nii.gz"))
        arguments = ["--truth", *high, "--estimate", *estimates, "--csv", table, "--quiet"]
        assert run("evaluate", *arguments) == 0
        scores[path.stem] = list(csv.DictReader(table.open()))
    for learned, cubic in zip(scores["ridge"], scores["cubic"], strict=True):
        assert float(learned["NRMSE (max)"]) < float(cubic["NRMSE (max)"])
        assert float(learned["PSNR (dB)"]) > float(cubic["PSNR (dB)"])
