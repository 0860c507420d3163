"""Behaviour of the command line."""

import csv
import json
import shutil
import subprocess
import sys
import warnings

import nibabel
import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from sklearn_iqt import AnyGridIQT, PatchwiseRegressor, __version__
from sklearn_iqt.cli import main
from sklearn_iqt.io import load_volume, save_volume, scaled_affine
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.metrics import nrmse, paired_differences, psnr, ssim
from sklearn_iqt.persistence import load_model, read_model_card
from sklearn_iqt.preprocessing import TissueScaler, resample_to_voxel_size

COMMANDS = (
    "prepare",
    "simulate",
    "fit",
    "enhance",
    "evaluate",
    "report",
    "resample",
    "bids",
    "demo",
)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 1.0, -30], [0, 1.0, 0, -10], [0, 0, 0, 1]])


def make_brain(seed):
    """Return a small volume of three shells, similar to a head, and its label map."""
    rng = np.random.default_rng(seed)
    i, j, k = np.indices((24, 26, 32)) - np.reshape([11.5, 12.5, 15.5], (3, 1, 1, 1))
    radius = np.sqrt(i**2 + j**2 + (0.8 * k) ** 2) + 0.7 * np.sin(i + seed) * np.cos(k)
    labels = np.digitize(-radius, [-11.0, -9.5, -6.5])
    volume = np.array([0, 60, 200, 300.0])[labels] * rng.normal(1, 0.02, labels.shape)
    return volume.astype(np.float32), labels.astype(np.uint8)


@pytest.fixture
def brains(tmp_path):
    """Return the paths of two scans and of their label maps."""
    folder = tmp_path / "brains"
    folder.mkdir()
    scans, maps = [], []
    for n in range(2):
        volume, labels = make_brain(n)
        scan, label_map = folder / f"sub-{n}_T1w.nii.gz", folder / f"sub-{n}_seg.nii.gz"
        scans.append(str(save_volume(volume, scan, affine=AFFINE)))
        maps.append(str(save_volume(labels, label_map, affine=AFFINE, dtype="uint8")))
    return scans, maps


@pytest.fixture
def pairs(brains, tmp_path):
    """Return a folder of simulated pairs."""
    scans, maps = brains
    folder = tmp_path / "pairs"
    assert run("simulate", *scans, "--tissues", *maps, "--output-dir", folder, "--quiet") == 0
    return folder


@pytest.fixture
def model(pairs, tmp_path):
    """Return the path of a fitted model."""
    path = tmp_path / "ridge.iqt"
    low, high = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    arguments = ["--low", *low, "--high", *high, "--method", "ridge", "--output", path, "--quiet"]
    assert run("fit", *arguments) == 0
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_simulate_writes_aligned_pairs(brains, pairs):
    assert names(pairs) == sorted(
        f"sub-{n}_T1w_{end}" for n in range(2) for end in ("low.nii.gz", "high.nii.gz", "low.json")
    )
    low, high = (load_volume(pairs / f"sub-0_T1w_{kind}.nii.gz") for kind in ("low", "high"))
    assert low.shape == (24, 26, 8)
    assert high.shape == (24, 26, 32)
    np.testing.assert_allclose(low.affine, scaled_affine(AFFINE, (1, 1, 0.25)), atol=1e-5)
    np.testing.assert_allclose(high.affine, AFFINE, atol=1e-5)
    volume, labels = make_brain(0)
    np.testing.assert_allclose(high.get_fdata(), np.where(labels, volume, 0), rtol=1e-5)


def test_sidecars_of_simulate_reproduce_the_scans(brains, pairs):
    from sklearn_iqt.simulation import LowFieldSimulator, mahalanobis_distance

    sidecars = [json.loads((pairs / f"sub-{n}_T1w_low.json").read_text()) for n in range(2)]
    assert sidecars[0]["snr_wm"] != sidecars[1]["snr_wm"]
    for n, sidecar in enumerate(sidecars):
        assert sidecar["preset"] == "t1w_036t"
        assert sidecar["seed"] == 0
        assert sidecar["version"] == __version__
        distance = mahalanobis_distance([[sidecar["snr_wm"], sidecar["snr_gm"]]])[0]
        assert sidecar["mahalanobis"] == pytest.approx(distance)
        simulator = LowFieldSimulator(sidecar["preset"], random_state=sidecar["random_state"])
        again = simulator.simulate([brains[0][n]], [brains[1][n]])
        low = load_volume(pairs / f"sub-{n}_T1w_low.nii.gz")
        np.testing.assert_array_equal(again.low[0].dataobj, low.dataobj)


def test_the_pair_of_a_scan_does_not_depend_on_other_scans(brains, pairs, tmp_path):
    scans, maps = brains
    folder = tmp_path / "alone"
    arguments = [scans[1], "--tissues", maps[1], "--output-dir", folder, "--quiet"]
    assert run("simulate", *arguments) == 0
    low = "sub-1_T1w_low.nii.gz"
    alone, together = (load_volume(path / low).dataobj for path in (folder, pairs))
    np.testing.assert_array_equal(alone, together)
    # Scans of different calls do not share their noise either.
    sidecars = [json.loads((pairs / f"sub-{n}_T1w_low.json").read_text()) for n in range(2)]
    assert sidecars[0]["random_state"] != sidecars[1]["random_state"]
    assert run("simulate", *arguments, "--seed", 1, "--force") == 0
    assert (load_volume(folder / low).dataobj != alone).any()


def test_simulate_uses_its_options(brains, tmp_path):
    folder = tmp_path / "a" / "b"
    options = ["--scale", 1, 1, 2, "--thickness", 1.5, "--gap", 0.5, "--alignment", "corner"]
    options += ["--noise", "rician", "--snr", "ind1", "--seed", 5, "--border-width", 0, "--quiet"]
    scans, maps = brains
    code = run("simulate", scans[0], "--tissues", maps[0], "--output-dir", folder, *options)
    assert code == 0
    low = load_volume(folder / "sub-0_T1w_low.nii.gz")
    assert low.shape == (24, 26, 16)
    assert low.get_fdata().min() >= 0
    expected = scaled_affine(AFFINE, (1, 1, 0.5), "corner")
    np.testing.assert_allclose(low.affine, expected, atol=1e-5)
    sidecar = json.loads((folder / "sub-0_T1w_low.json").read_text())
    assert sidecar["mahalanobis"] < 1
    assert sidecar["noise"] == "rician"
    assert sidecar["border_width"] == 0


def test_simulate_estimates_missing_tissues(brains, tmp_path):
    assert run("simulate", brains[0][0], "--output-dir", tmp_path / "out", "--quiet") == 0
    sidecar = json.loads((tmp_path / "out" / "sub-0_T1w_low.json").read_text())
    assert sidecar["tissues"] == "estimated"


@pytest.fixture
def head(brains, tmp_path):
    """Return the paths of a head with a scalp, and of the mask of its brain."""
    volume, labels = (np.pad(array, 8) for array in make_brain(0))
    place = np.indices(volume.shape) - np.reshape([19.5, 20.5, 23.5], (3, 1, 1, 1))
    radius = np.sqrt(place[0] ** 2 + place[1] ** 2 + (0.8 * place[2]) ** 2)
    volume = np.where((radius > 14) & (radius < 16), 280, volume)
    scan, mask = tmp_path / "sub-0_head.nii.gz", tmp_path / "sub-0_brain.nii.gz"
    save_volume(volume, scan, affine=AFFINE)
    save_volume(labels > 0, mask, affine=AFFINE, dtype="uint8")
    return str(scan), str(mask)


def test_simulate_recognises_a_head_and_takes_a_mask(head, brains, tmp_path, capsys, monkeypatch):
    from sklearn_iqt.prepare import _brain

    scan, mask = head
    arguments = ["simulate", scan, "--output-dir", tmp_path / "out"]
    assert run(*arguments, "--quiet") == 2
    error = capsys.readouterr().err
    assert "sub-0_head.nii.gz seems to show a whole head with its skull" in error
    assert "--extract-brain" in error
    assert run(*arguments, "--mask", mask, "--quiet") == 0
    brain = load_volume(mask).get_fdata() > 0
    high = load_volume(tmp_path / "out" / "sub-0_head_high.nii.gz").get_fdata()
    np.testing.assert_allclose(high, load_volume(scan).get_fdata() * brain, rtol=1e-5, atol=1e-3)
    sidecar = tmp_path / "out" / "sub-0_head_low.json"
    assert json.loads(sidecar.read_text())["mask"] == "given"

    monkeypatch.setattr(_brain, "extract_brain", lambda image, caller: brain)
    assert run(*arguments, "--extract-brain", "--quiet", "--force") == 0
    again = load_volume(tmp_path / "out" / "sub-0_head_high.nii.gz").get_fdata()
    np.testing.assert_array_equal(again, high)
    assert json.loads(sidecar.read_text())["mask"] == "extracted"
    assert run(*arguments, "--mask", brains[0][0], "--force") == 2
    assert "24 x 26 x 32 voxels, but" in capsys.readouterr().err


def test_one_bad_scan_does_not_stop_the_others(brains, tmp_path, capsys):
    scans, maps = brains
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no scan")
    folder = tmp_path / "out"
    code = run(
        "simulate", bad, scans[1], "--tissues", maps[0], maps[1], "--output-dir", folder, "--quiet"
    )
    assert code == 1
    assert "sub-1_T1w_low.nii.gz" in names(folder)
    error = capsys.readouterr().err
    assert "bad.nii.gz" in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert run("simulate", bad, "--output-dir", tmp_path / "none", "--quiet") == 2


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
    assert run("enhance", "--model", model, scan, "--output", out, "--quiet") == 2 * refused
    assert out.exists() != refused
    error = capsys.readouterr().err
    assert (match or "") in error
    assert len(error.splitlines()) == bool(match)


def test_enhance_equals_predict(model, pairs, tmp_path):
    scans = sorted(pairs.glob("*_low.nii.gz"))
    folder = tmp_path / "enhanced"
    assert run("enhance", "--model", model, *scans, "--output-dir", folder, "--std", "--quiet") == 0
    assert names(folder) == sorted(
        f"sub-{n}_T1w_low_{kind}.nii.gz" for n in range(2) for kind in ("enhanced", "std")
    )
    expected, spread = load_model(model).predict([str(scan) for scan in scans], return_std=True)
    for n in range(2):
        enhanced = load_volume(folder / f"sub-{n}_T1w_low_enhanced.nii.gz")
        np.testing.assert_allclose(enhanced.dataobj, expected[n].dataobj, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(enhanced.affine, AFFINE, atol=1e-5)
        std = load_volume(folder / f"sub-{n}_T1w_low_std.nii.gz")
        np.testing.assert_allclose(std.dataobj, spread[n].dataobj, rtol=1e-4, atol=1e-3)


@pytest.fixture
def turned(pairs, tmp_path):
    """Return paths of a scan with its axes in another order and other voxels, and of its mask."""
    low = load_volume(pairs / "sub-0_T1w_low.nii.gz")
    turned = reorient(resample_to_voxel_size(low, (1.2, 1.2, 4), order=1), "AIR")
    scan = save_volume(turned, tmp_path / "turned.nii.gz")
    mask = np.asarray(turned.dataobj) > 30
    return scan, save_volume(mask, tmp_path / "mask.nii", affine=turned.affine, dtype="uint8")


def test_enhance_brings_scans_to_the_grid_of_the_training(turned, model, tmp_path, capsys):
    out = tmp_path / "out.nii.gz"
    assert run("enhance", "--model", model, turned[0], "--output", out, "--jobs", 1) == 0
    said = capsys.readouterr().err
    assert f"{turned[0]}: to fit the training scans, its axes were put in the order LSA" in said
    assert "resampled from 1.2 x 1.2 x 4 mm to 1 x 1 x 4 mm" in said
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


def test_evaluate_equals_the_metrics(brains, tmp_path, capsys, rng):
    scans, maps = brains
    volume, _ = make_brain(0)
    estimate = tmp_path / "estimate.nii.gz"
    save_volume(volume + rng.normal(0, 5, volume.shape), estimate, affine=AFFINE)
    arguments = ["--truth", scans[0], "--estimate", estimate, "--mask", maps[0]]
    assert run("evaluate", *arguments, "--csv", tmp_path / "scores.csv", "--quiet") == 0
    (row,) = csv.DictReader((tmp_path / "scores.csv").open())
    pair = [scans[0]], [str(estimate)]
    mask = [maps[0]]
    assert float(row["NRMSE (max)"]) == pytest.approx(nrmse(*pair, mask=mask))
    expected = nrmse(*pair, mask=mask, normalization="mean")
    assert float(row["NRMSE (mean)"]) == pytest.approx(expected)
    assert float(row["PSNR (dB)"]) == pytest.approx(psnr(*pair, mask=mask))
    assert float(row["SSIM"]) == pytest.approx(ssim(*pair, mask=mask))
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:2] == ["method", "subject"]
    assert table[-1].split()[:2] == ["estimate", "sub-0"]
    assert [row[name] for name in ("estimate", "truth")] == [str(estimate), scans[0]]
    assert f"{float(row['SSIM']):.4f}" in table[-1]


def test_evaluate_warns_of_names_of_different_subjects(brains, tmp_path, capsys):
    scans, _ = brains
    swapped = ["--truth", *scans[:2], "--estimate", *scans[1::-1], "--quiet"]
    assert run("evaluate", *swapped) == 0
    error = capsys.readouterr().err
    assert error.count("different subjects") == 2
    assert all(str(scan) in error for scan in scans[:2])
    assert run("evaluate", "--truth", *scans[:2], "--estimate", *scans[:2], "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_evaluate_has_a_mean_for_each_method(brains, tmp_path, capsys, rng):
    scans, _ = brains
    truths = scans[:2]
    methods = []
    for spread in (2, 20):
        for n, truth in enumerate(truths):
            volume = load_volume(truth).get_fdata()
            name = tmp_path / f"method{spread}" / f"{n}.nii.gz"
            name.parent.mkdir(exist_ok=True)
            save_volume(volume + rng.normal(0, spread, volume.shape), name, affine=AFFINE)
        methods += ["--estimate", *sorted((tmp_path / f"method{spread}").glob("*.nii.gz"))]
    table = tmp_path / "scores.csv"
    assert run("evaluate", "--truth", *truths, *methods, "--csv", table, "--quiet") == 0
    rows = list(csv.DictReader(table.open()))
    errors = [float(row["NRMSE (max)"]) for row in rows]
    assert [row["method"] for row in rows] == ["method2", "method20"] * 2
    assert [row["subject"] for row in rows] == ["sub-0", "sub-0", "sub-1", "sub-1"]
    assert [row["truth"] for row in rows] == [truth for truth in truths for _ in range(2)]
    assert {row["mask"] for row in rows} == {""}
    lines = capsys.readouterr().out.splitlines()
    means = [float(line.split()[4]) for line in lines if " mean of 2 " in line]
    assert means == pytest.approx([np.mean(errors[::2]), np.mean(errors[1::2])], abs=1e-4)
    assert means[1] > 5 * means[0]

    (tmp_path / "method2" / "0.nii.gz").write_bytes(b"no scan")
    assert run("evaluate", "--truth", *truths, *methods, "--quiet") == 1
    lines = capsys.readouterr().out.splitlines()
    means = [line.split()[0:4] for line in lines if " mean of " in line]
    assert means == [["method2", "mean", "of", "1"], ["method20", "mean", "of", "2"]]


def test_evaluate_compares_methods_on_the_same_subjects(brains, tmp_path, capsys, rng):
    scans, _ = brains
    arguments = ["--truth", *scans]
    for method, spread in (("cubic", 20), ("srep", 5), ("net", 10)):
        arguments.append("--estimate")
        for n, scan in enumerate(scans):
            volume = load_volume(scan).get_fdata()
            path = tmp_path / f"{n}_{method}.nii.gz"  # one folder, so that files name the methods
            save_volume(volume + rng.normal(0, spread, volume.shape), path, affine=AFFINE)
            arguments.append(path)
    scores, differences = tmp_path / "scores.csv", tmp_path / "differences.csv"
    tables = ["--csv", scores, "--differences", differences, "--quiet"]
    assert run("evaluate", *arguments, *tables) == 0
    rows = list(csv.DictReader(scores.open()))
    for row in rows:
        row["SSIM"] = float(row["SSIM"])
    expected = paired_differences(rows, "cubic", measures=["SSIM"])
    found = [row for row in csv.DictReader(differences.open()) if row["measure"] == "SSIM"]
    assert [(row["method"], row["reference"]) for row in found] == [
        ("srep", "cubic"),
        ("net", "cubic"),
    ]
    for row, right in zip(found, expected, strict=True):
        for name in ("n_subjects", "difference", "low", "high", "p", "p_holm"):
            assert float(row[name]) == pytest.approx(right[name])
    out = capsys.readouterr().out
    assert "differences from cubic" in out
    assert f"{expected[0]['low']:.4f} to {expected[0]['high']:.4f}" in out

    more = ["--names", "a", "b", "c", "--reference", "b", "--quiet"]
    assert run("evaluate", *arguments, *more) == 0
    assert "differences from b" in capsys.readouterr().out
    for wrong, reason in (
        (["--names", "a", "b"], "3 different names"),
        (["--names", "a", "b", "a"], "3 different names"),
        (["--reference", "dl"], "must be one of cubic, srep, net"),
    ):
        assert run("evaluate", *arguments, *wrong) == 2
        assert reason in capsys.readouterr().err
    single = ["--truth", scans[0], "--estimate", scans[0]]
    assert run("evaluate", *single, "--differences", tmp_path / "d.csv") == 2
    assert "two or more methods" in capsys.readouterr().err


def test_evaluate_continues_after_a_file_that_cannot_be_read(brains, tmp_path, capsys):
    scans, _ = brains
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no scan")
    assert run("evaluate", "--truth", *scans, "--estimate", bad, scans[1], "--quiet") == 1
    captured = capsys.readouterr()
    assert "bad.nii.gz" in captured.err
    assert "inf" in captured.out  # the PSNR of a scan with itself
    assert run("evaluate", "--truth", scans[0], "--estimate", bad, "--quiet") == 2


@pytest.fixture
def moved(brains, tmp_path):
    """Return the path of a scan that has the right shape and the wrong affine."""
    affine = AFFINE.copy()
    affine[0, 3] += 7
    return str(save_volume(make_brain(1)[0], tmp_path / "moved.nii.gz", affine=affine))


def test_grids_are_compared_before_any_computation(brains, pairs, model, moved, tmp_path, capsys):
    scans, maps = brains
    lows, highs = (
        [str(path) for path in sorted(pairs.glob(f"*_{kind}.nii.gz"))] for kind in ("low", "high")
    )
    fit = ("--method", "ridge", "--output", tmp_path / "new" / "m.iqt")
    report = (lows[0], "--model", model, "--output", tmp_path / "new" / "r.html")
    csv_file = ("--csv", tmp_path / "new" / "s.csv")
    fine = ("24 x 26 x 32", "24 x 26 x 8")
    for arguments, expected in (
        (("evaluate", "--truth", *scans, "--estimate", scans[0], lows[1], *csv_file), fine),
        (("evaluate", "--truth", *scans, "--estimate", scans[0], moved, *csv_file), ("7 mm",)),
        (("evaluate", "--truth", scans[0], "--estimate", highs[0], "--mask", lows[0]), fine),
        (("simulate", scans[1], "--tissues", moved, "--output-dir", tmp_path / "new"), ("7 mm",)),
        (("fit", "--low", *lows, "--high", highs[0], moved, *fit), ("7 mm",)),
        (("fit", "--low", *lows, "--high", highs[0], lows[0], *fit), ("scale 1 x 1 x 4",)),
        (("fit", "--low", *lows, "--high", *highs, *fit, "-p", "scale=2"), ("scale 2 x 2 x 2",)),
        (("fit", "--low", *lows, "--high", *highs, *fit, "--alignment", "corner"), ("center",)),
        (("report", *report, "--truth", moved), ("7 mm",)),
        (("report", *report, "--truth", lows[1]), ("scale 1 x 1 x 4",)),
        (("report", *report, "--mask", maps[0]), fine),
    ):
        assert run(*arguments) == 2, arguments
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()  # no progress bar
        named = [name for name in (*scans, *lows, *highs, *maps, moved) if name in line]
        assert len(named) == 2, line
        assert all(text in line for text in expected), line
        assert captured.out == ""
        assert not (tmp_path / "new").exists()


def test_all_pairs_that_do_not_match_are_counted(brains, pairs, capsys):
    scans, _ = brains
    lows = sorted(pairs.glob("*_low.nii.gz"))
    assert run("evaluate", "--truth", *scans, *scans, "--estimate", *lows, *lows) == 2
    assert "3 more of the pairs" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["simulate", "fit", "enhance", "evaluate"])
def test_existing_files_are_replaced_only_by_force(command, brains, pairs, model, tmp_path, capsys):
    scans, maps = brains
    low, high = pairs / "sub-0_T1w_low.nii.gz", pairs / "sub-0_T1w_high.nii.gz"
    output = tmp_path / "existing.nii.gz"
    arguments = {
        "simulate": (scans[0], "--tissues", maps[0], "--output-dir", pairs),
        "fit": ("--low", low, "--high", high, "--method", "interpolation", "--output", model),
        "enhance": ("--model", model, low, "--output", output),
        "evaluate": ("--truth", high, "--estimate", high, "--csv", output),
    }[command]
    kept = {"simulate": low, "fit": model}.get(command, output)
    if not kept.exists():
        kept.write_bytes(b"precious")
    before = kept.read_bytes()
    assert run(command, *arguments, "--quiet") == 2
    assert kept.read_bytes() == before
    assert "--force" in capsys.readouterr().err
    changed = ("--seed", 9) if command == "simulate" else ()
    assert run(command, *arguments, *changed, "--quiet", "--force") == 0
    assert kept.read_bytes() != before


def test_inputs_are_never_overwritten(model, pairs, tmp_path, capsys):
    scan = pairs / "sub-0_T1w_low.nii.gz"
    before = scan.read_bytes()
    link = tmp_path / "link.nii.gz"
    link.symlink_to(scan)
    for output in (scan, link):
        assert run("enhance", "--model", model, scan, "--output", output, "--force") == 2
    assert scan.read_bytes() == before
    high = pairs / "sub-0_T1w_high.nii.gz"
    arguments = ["--truth", high, "--estimate", high, "--csv", high, "--force"]
    assert run("evaluate", *arguments) == 2
    assert "is an input" in capsys.readouterr().err


def test_two_inputs_with_the_same_output_are_refused(model, pairs, tmp_path, capsys):
    scan = pairs / "sub-0_T1w_low.nii.gz"
    other = tmp_path / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    assert run("enhance", "--model", model, scan, other, "--output-dir", tmp_path / "out") == 2
    assert "two inputs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "COMMAND"),
        (("paint",), "invalid choice"),
        (("simulate", "a.nii"), "--output-dir"),
        (("simulate", "a.nii", "--output-dir", "o", "--snr", "loud"), "t1w_036t"),
        (("simulate", "a.nii", "--output-dir", "o", "--seed", "-1"), "--seed"),
        (("simulate", "a.nii", "--output-dir", "o", "--tissues", "b", "c"), "2 label maps"),
        (("simulate", "a.nii", "--output-dir", "o", "--mask", "b", "c"), "2 masks"),
        (("fit", "--low", "a", "b", "--high", "c", "--output", "m.iqt"), "one high scan for each"),
        (("fit", "--low", "a", "--high", "c", "--output", "m.pkl"), ".iqt"),
        (("fit", "--low", "a", "--high", "c", "--output", "m.iqt", "-p", "n_atoms"), "NAME=VALUE"),
        (("fit", "--low", "a", "--high", "c", "--output", "m.iqt", "-p", "wings=2"), "wings"),
        (("fit", "--low", "a.nii", "--high", "c.nii", "--output", "m.iqt"), "a.nii"),
        (("fit", "--low", "a", "--high", "c", "--output", "m.iqt", "-p", "n_atoms=x"), "n_atoms"),
        (("enhance", "--model", "m.iqt", "a.nii"), "--output"),
        (("enhance", "--model", "m.iqt", "a.nii", "--output", "b.nii"), "no file 'm.iqt'"),
        (("evaluate", "--truth", "a", "b", "--estimate", "c"), "2 truths, 1 estimates"),
        (("demo", "--subjects", "1"), "at least 2"),
        (("resample", "a.nii", "--output", "b.nii"), "--voxel-size"),
        (("resample", "a.nii", "--voxel-size", "1", "2", "--output", "b.nii"), "got 2"),
        (("resample", "a", "b", "--voxel-size", "1", "--output", "c.nii"), "--output-dir"),
    ],
)
def test_invalid_usage_prints_one_line_and_exits_with_code_2(
    arguments, match, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert match in error
    assert "Traceback" not in error
    assert error.strip().splitlines()[-1].startswith("sklearn-iqt")


def test_debug_raises_the_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        run("enhance", "--model", tmp_path / "m.iqt", "a.nii", "--output-dir", tmp_path, "--debug")


def test_help_of_simulate_lists_every_preset(capsys):
    from sklearn_iqt.cli._simulate import SNR_NAMES
    from sklearn_iqt.simulation import SNR_PRESETS

    assert set(SNR_NAMES) == set(SNR_PRESETS)
    run("simulate", "--help")
    text = capsys.readouterr().out
    presets = text.split("presets of --snr")[1].split("examples:")[0]
    assert set(SNR_NAMES) <= set(presets.replace(",", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"  sklearn-iqt {command}" in text.split("examples:")[1]
    assert all(len(line) <= 100 for line in text.split("examples:")[1].splitlines())
    for option in ("--force", "--quiet", "--debug"):
        assert option in text


def test_version_is_printed(capsys):
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out


def test_quiet_prints_nothing_and_progress_goes_to_stderr(brains, pairs, model, tmp_path, capfd):
    scans, maps = brains
    lows, highs = (sorted(pairs.glob(f"*_{kind}.nii.gz")) for kind in ("low", "high"))
    bids = tmp_path / "bids"
    for low in lows:
        subject = low.name.split("_")[0]
        (bids / subject / "anat").mkdir(parents=True)
        (bids / subject / "anat" / f"{subject}_T1w.nii.gz").write_bytes(low.read_bytes())
    skip = "--skip-bids-validation"
    commands = {
        "simulating": ("simulate", *scans, "--tissues", *maps, "--output-dir", tmp_path / "s"),
        "learning": ("fit", "--low", *lows, "--high", *highs, "--output", tmp_path / "m.iqt"),
        "enhancing": ("enhance", "--model", model, lows[0], "--output", tmp_path / "e.nii"),
        "2/2": ("enhance", "--model", model, *lows, "--output-dir", tmp_path / "e"),
        "evaluating": ("evaluate", "--truth", *highs, "--estimate", *highs),
        "MB": ("report", lows[0], "--model", model, "--output", tmp_path / "r.html"),
        "2 of 2": ("bids", bids, tmp_path / "iqt", "participant", "--model", model, skip),
        "collecting": ("bids", bids, tmp_path / "iqt", "group", skip),
    }
    small = ("-p", "n_atoms=8", "-p", "max_iter=1", "-p", "max_patches=200")
    capfd.readouterr()
    for message, (command, *arguments) in commands.items():
        options = (*arguments, *(small if command == "fit" else ()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert run(command, *options, "--quiet") == 0
            quiet = capfd.readouterr()
            assert run(command, *options, "--force") == 0
            verbose = capfd.readouterr()
        assert quiet.err == ""
        assert message in verbose.err
        # The table of evaluate is a result and is always printed.
        assert quiet.out == verbose.out
        assert bool(quiet.out) == (command == "evaluate")


@pytest.mark.processes
def test_importing_the_command_line_imports_nothing_heavy():
    heavy = ["numpy", "scipy", "sklearn", "nibabel", "numba", "torch", "matplotlib", "nilearn"]
    code = f"import sys, sklearn_iqt.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_model_of_the_demo_beats_both_baselines(tmp_path, capsys):
    pytest.importorskip("nilearn")
    pytest.importorskip("matplotlib")
    folder = tmp_path / "demo"
    shape = ["--shape", 64, 64, 48]
    assert run("demo", "--output", folder, "--subjects", 3, *shape, "--jobs", 1, "--quiet") == 0
    assert names(folder) == sorted(
        ["demo.png", "model.iqt", "scores.csv"]
        + [
            f"sub-03_{kind}.nii.gz"
            for kind in ("low", "interpolated", "curve", "enhanced", "truth")
        ]
    )
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    cubic, curve, learned = rows[-3:]
    assert [row["subject"] for row in rows] == ["sub-03"] * 3 + ["mean"] * 3
    assert [row["method"] for row in rows[-3:]] == ["interpolation", "intensity curve", "IQT-SRep"]
    for baseline in (cubic, curve):
        assert float(learned["NRMSE (max)"]) < float(baseline["NRMSE (max)"])
        assert float(learned["NRMSE (max, after gain)"]) < float(
            baseline["NRMSE (max, after gain)"]
        )
        assert float(learned["SSIM"]) > float(baseline["SSIM"])
    assert "IQT-SRep" in capsys.readouterr().out

    card = read_model_card(folder / "model.iqt").training
    assert card.n_pairs == 2
    assert card.scores["SSIM"] == pytest.approx(float(learned["SSIM"]))
    model = load_model(folder / "model.iqt")
    enhanced = model.predict([str(folder / "sub-03_low.nii.gz")])[0]
    written = load_volume(folder / "sub-03_enhanced.nii.gz")
    np.testing.assert_allclose(enhanced.dataobj, written.dataobj, rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(enhanced.affine, written.affine, atol=1e-4)
