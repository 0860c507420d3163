"""The command simulate."""

import json

import numpy as np
import pytest
from command_line import AFFINE, make_brain, names, run

from sklearn_iqt import __version__
from sklearn_iqt.io import load_volume, scaled_affine


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
    assert "shape (24, 26, 32), but" in capsys.readouterr().err


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
