"""The command evaluate."""

import csv

import numpy as np
import pytest
from command_line import AFFINE, make_brain, run

from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.metrics import nrmse, paired_differences, psnr, ssim


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
