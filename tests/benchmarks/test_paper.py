"""Tests of the paper's experiment: it is complete, can be resumed, and keeps subjects apart."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nilearn", reason="the embedded brains come with nilearn")

from benchmarks.cohorts import Cohort, load_cohort, write_embedded_cohort
from benchmarks.paper.__main__ import main
from benchmarks.paper.config import build_estimator, list_cells, read_profile
from benchmarks.paper.pairs import high_files, low_files, prepare_pairs
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.plotting._slices import thick_view

ROOT = Path(__file__).parents[2]


def start(output, *options):
    command = [sys.executable, "-m", "benchmarks.paper", "--output", str(output), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Return options of a quick smoke profile, with small brains and small patches for the nets."""
    folder = tmp_path_factory.mktemp("paper")
    cohort = write_embedded_cohort(folder / "brains", 6, (64, 72, 48))
    text = (ROOT / "benchmarks" / "paper" / "profiles" / "smoke.toml").read_text()
    profile = folder / "quick.toml"
    profile.write_text(text.replace("max_steps = 4,", "max_steps = 4, patch_size = [8, 8, 2],"))
    return ["--profile", str(profile), "--cohort", str(cohort.folder)]


@pytest.fixture(scope="module")
def experiment(options, tmp_path_factory):
    """Return an experiment that was killed in the middle and resumed."""
    output = tmp_path_factory.mktemp("paper") / "run"
    process = start(output, *options)
    first = output / "cells" / "interpolation" / "ulf_measured.json"
    wait_for(first, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.json")}
    resumed = start(output, *options, "--resume")
    report, _ = resumed.communicate()
    assert resumed.returncode == 0, report
    return output, before, report


@pytest.mark.processes
def test_resuming_keeps_finished_cells(experiment):
    output, before, _ = experiment
    assert output / "cells" / "interpolation" / "ulf_measured.json" in before
    for path, written in before.items():
        if path.name != "manifest.json":
            assert path.stat().st_mtime_ns == written
    assert len(json.loads((output / "manifest.json").read_text())["runs"]) == 2


@pytest.mark.processes
def test_every_cell_is_in_the_tables_and_figures(experiment):
    output, _, report = experiment
    cells = list_cells(read_profile("smoke"))
    with (output / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["method"], row["test_set"], row["subject"]) for row in rows}
    test = json.loads((output / "manifest.json").read_text())["split"]["test"]
    assert found == {(c.name, s, subject) for c in cells for s in c.test_sets for subject in test}
    assert all(np.isfinite(float(row["NRMSE"])) and float(row["NRMSE"]) > 0 for row in rows)
    assert "Missing or failed" not in report
    for heading in ("Table 1", "Table 2", "Table 3", "Times and memory", "Paired differences"):
        assert heading in report
    assert {path.name for path in (output / "figures").glob("*.png")} >= {
        "figure4.png",
        "figure5.png",
        "figure6.png",
    }


@pytest.mark.processes
def test_the_report_is_written_again_without_training(experiment, capsys):
    output, _, _ = experiment
    report = (output / "report.md").read_text()
    (output / "report.md").unlink()
    assert main(["--output", str(output), "--report", "--no-figures"]) == 0
    assert capsys.readouterr().out.split("## Figures")[0] in report + "\n"


@pytest.mark.processes
def test_another_experiment_in_the_same_folder_is_refused(experiment, options):
    output, _, _ = experiment
    for other, message in (
        ([], "Continue it with --resume"),
        (["--resume", "--seed", "1"], "other options"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["--output", str(output), *options, *other])


@pytest.mark.processes
def test_a_failed_cell_is_reported_and_the_others_run(tmp_path, capsys):
    profile = tmp_path / "broken.toml"
    profile.write_text(
        'test_sets = ["ind1"]\ntable_sets = ["ind1"]\nout_of_distribution = "ulf_measured"\n'
        "[methods.broken]\n"
        'estimator = "CoupledDictionaryIQT"\nparams = { patcher__patch_size = 500 }\n'
        '[methods.interpolation]\nestimator = "InterpolationIQT"\n'
    )
    output = ["--output", str(tmp_path / "run")]
    assert main([*output, "--profile", str(profile), "--no-figures"]) == 1
    printed = capsys.readouterr()
    assert "failed: broken" in printed.err
    assert "Missing or failed:** broken (ind1)" in printed.out
    assert "| ind1 | interpolation |" in printed.out
    assert "every patch of every volume" in (tmp_path / "run" / "cells" / "broken.log").read_text()


def test_a_subject_in_two_parts_is_refused(tmp_path):
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (24, 24, 24))
    table = tmp_path / "brains" / "participants.tsv"
    table.write_text(table.read_text() + "brains\tsub-01\ttest\n")
    with pytest.raises(ValueError, match="two parts"):
        load_cohort(cohort.folder)


def test_the_slice_axis_comes_last_and_missing_tissues_are_estimated(tmp_path):
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (40, 44, 48))
    labels = load_volume(cohort.tissues("sub-01")).get_fdata()
    cohort.tissues("sub-01").unlink()
    turned, maps = load_cohort(cohort.folder, slice_axis="i").load("sub-01")
    original = load_volume(cohort.image("sub-01"))
    np.testing.assert_array_equal(turned.get_fdata(), original.get_fdata().transpose(1, 2, 0))
    corner = turned.affine @ [1, 2, 3, 1]
    np.testing.assert_allclose(corner, original.affine @ [3, 1, 2, 1])
    agreement = (maps == labels.transpose(1, 2, 0))[maps > 0].mean()
    assert agreement > 0.6


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_estimators_of_profiles_have_valid_parameters(name):
    cells = list_cells(read_profile(name))
    assert len({cell.folder for cell in cells}) == len(cells)
    for cell in cells:
        estimator = build_estimator(cell.spec, random_state=3, alignment="corner")
        steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
        params = steps[-1].get_params()
        assert params.get("random_state", 3) == 3
        assert params["alignment"] == "corner"
        assert cell.spec.get("params", {}).keys() <= params.keys()
        for part in (*steps, *params.values()):
            if hasattr(part, "_validate_params"):
                part._validate_params()


def test_patch_sizes_of_one_table_have_the_same_overlap():
    for name in ("cpu", "gpu"):
        overlaps = []
        for cell in list_cells(read_profile(name)):
            if cell.method == "IQT-SRep" and cell.column.startswith("P"):
                patcher = build_estimator(cell.spec).patcher.fit_geometry()
                overlaps.append(np.prod(np.divide(patcher.patch_size_, patcher.stride_)))
        assert len(overlaps) == 3
        assert max(overlaps) < 1.1 * min(overlaps)


@pytest.mark.parametrize(
    ("sizes", "view", "axis"),
    [
        ((1, 1, 4), "axial", "posterior to anterior"),
        ((1, 4, 1), "coronal", "inferior to superior"),
        ((4, 1, 1), "coronal", "left to right"),
    ],
)
def test_figures_are_cut_through_the_thick_axis(sizes, view, axis):
    # Stored to the right, superior, anterior, as the scans of ds002748.
    affine = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    assert thick_view(affine @ np.diag([*sizes, 1])) == (view, axis)


def test_pairs_do_not_depend_on_other_subjects_and_differ_between_cohorts(tmp_path):
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (40, 44, 48))
    fewer = Cohort(cohort.folder, {"train": ["sub-02"], "validation": [], "test": ["sub-04"]})
    (tmp_path / "others").symlink_to(cohort.folder)
    renamed = Cohort(tmp_path / "others", fewer.split)
    records = []
    for number, brains in enumerate((cohort, fewer, renamed)):
        output = tmp_path / str(number)
        prepare_pairs(brains, output, ["ind1", "thick_axis_i"], alignment="center", seed=0)
        records.append(json.loads((output / "pairs" / "ind1" / "snr.json").read_text()))
        assert high_files(output, "thick_axis_i", ["sub-04"])[0].exists()
    pairs = [dict(zip(r["subjects"], r["snr_wm_gm"], strict=True)) for r in records]
    assert pairs[0]["sub-04"] == pairs[1]["sub-04"] != pairs[2]["sub-04"]
    low = [
        load_volume(low_files(tmp_path / str(n), "ind1", ["sub-04"])[0]).get_fdata() for n in (0, 1)
    ]
    np.testing.assert_array_equal(*low)


def test_a_cohort_without_participants_is_refused(tmp_path):
    save_volume(np.ones((4, 4, 4)), tmp_path / "sub-01_T1w.nii.gz", affine=np.eye(4))
    with pytest.raises(ValueError, match=r"participants\.tsv"):
        load_cohort(tmp_path)


def test_cells_that_share_a_folder_are_refused():
    profile = {"test_sets": [], "methods": {"A (b)": {}, "A b": {}}}
    with pytest.raises(ValueError, match="share the folder"):
        list_cells(profile)


def test_the_intensity_curve_learns_contrast():
    rng = np.random.default_rng(0)
    # All slices are the same, so that interpolation changes nothing.
    high = [np.repeat(rng.random((12, 12, 1)), 16, axis=2) for _ in range(2)]
    low = [volume[..., ::4] for volume in high]
    model = build_estimator({"estimator": "IntensityCurveIQT"}, random_state=0)
    predicted = model.fit(low, [volume**2 for volume in high]).predict(low)[0]
    bright = high[0] > 0.6
    np.testing.assert_allclose(predicted[bright], high[0][bright] ** 2, rtol=0.05)
