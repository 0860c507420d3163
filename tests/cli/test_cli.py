"""Behaviour that the commands share: usage, help, progress, and files that are never lost."""

import csv
import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest
from command_line import names, run

from sklearn_iqt import __version__
from sklearn_iqt.io import load_volume
from sklearn_iqt.persistence import list_pretrained, load_model, read_model_card

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


def test_grids_are_compared_before_any_computation(brains, pairs, model, moved, tmp_path, capsys):
    scans, maps = brains
    lows, highs = (
        [str(path) for path in sorted(pairs.glob(f"*_{kind}.nii.gz"))] for kind in ("low", "high")
    )
    fit = ("--method", "ridge", "--output", tmp_path / "new" / "m.iqt")
    report = (lows[0], "--model", model, "--output", tmp_path / "new" / "r.html")
    csv_file = ("--csv", tmp_path / "new" / "s.csv")
    fine = ("(24, 26, 32)", "(24, 26, 8)")
    for arguments, expected in (
        (("evaluate", "--truth", *scans, "--estimate", scans[0], lows[1], *csv_file), fine),
        (("evaluate", "--truth", *scans, "--estimate", scans[0], moved, *csv_file), ("7 mm",)),
        (("evaluate", "--truth", scans[0], "--estimate", highs[0], "--mask", lows[0]), fine),
        (("simulate", scans[1], "--tissues", moved, "--output-dir", tmp_path / "new"), ("7 mm",)),
        (("fit", "--low", *lows, "--high", highs[0], moved, *fit), ("7 mm",)),
        (("fit", "--low", *lows, "--high", highs[0], lows[0], *fit), ("scale (1, 1, 4)",)),
        (("fit", "--low", *lows, "--high", *highs, *fit, "-p", "scale=2"), ("scale (2, 2, 2)",)),
        (("fit", "--low", *lows, "--high", *highs, *fit, "--alignment", "corner"), ("center",)),
        (("report", *report, "--truth", moved), ("7 mm",)),
        (("report", *report, "--truth", lows[1]), ("scale (1, 1, 4)",)),
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
    # The models of the package take part if torch is installed.
    torch = all(map(importlib.util.find_spec, ("torch", "skorch")))
    shipped = list(list_pretrained()) if torch else []
    kinds = ("low", "interpolated", "curve", "enhanced", *shipped, "truth")
    assert names(folder) == sorted(
        ["demo.png", "model.iqt", "scores.csv"] + [f"sub-03_{kind}.nii.gz" for kind in kinds]
    )
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    methods = ["interpolation", "intensity curve", "IQT-SRep", *shipped]
    assert [row["subject"] for row in rows] == ["sub-03"] * len(methods) + ["mean"] * len(methods)
    assert [row["method"] for row in rows] == 2 * methods
    cubic, curve, learned = rows[len(methods) :][:3]
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
