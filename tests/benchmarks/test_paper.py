"""Tests of the paper's experiment: it is complete, can be resumed, and keeps subjects apart."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytest.importorskip("nilearn", reason="the embedded brains come with nilearn")

from benchmarks.cohorts import Cohort, load_cohort, write_embedded_cohort
from benchmarks.paper.__main__ import main
from benchmarks.paper.cell import list_scans, store_prediction
from benchmarks.paper.config import build_estimator, list_cells, make_folds, read_profile
from benchmarks.paper.endpoints import draw_table, endpoint_rows, endpoint_section
from benchmarks.paper.measures import ENDPOINTS, MEASURES, Measure, measure_cell, read_scores
from benchmarks.paper.measures import main as measure
from benchmarks.paper.pairs import drawn_file, high_file, labels_file, low_file, prepare_pairs
from benchmarks.paper.report import write_report
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.plotting._slices import thick_view

ROOT = Path(__file__).parents[2]
QUICK = Path(__file__).parent / "quick.toml"


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
    """Return options of a run with small brains, and with one method of each kind."""
    folder = tmp_path_factory.mktemp("paper")
    # Smaller brains have no white matter that is wide enough for the lesions.
    cohort = write_embedded_cohort(folder / "brains", 4, (60, 64, 48))
    return ["--profile", str(QUICK), "--cohort", str(cohort.folder)]


@pytest.fixture(scope="module")
def experiment(options, tmp_path_factory):
    """Return an experiment that was killed in the middle and resumed by two processes."""
    output = tmp_path_factory.mktemp("paper") / "run"
    process = start(output, *options)
    first = output / "cells" / "interpolation_fold0_fit0" / "ulf_measured_draw1.json"
    wait_for(first, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.json")}
    options = [*options, "--resume"]
    resumed = [
        start(output, *options),
        start(output, *options, "--folds", "1", "--no-figures"),
    ]
    reports = [process.communicate()[0] for process in resumed]
    for process, report in zip(resumed, reports, strict=True):
        assert process.returncode == 0, report
    return output, before, reports[0]


def read_json(path):
    return json.loads(path.read_text())


@pytest.mark.processes
def test_resuming_keeps_finished_cells(experiment):
    output, before, _ = experiment
    assert output / "cells" / "interpolation_fold0_fit0" / "ulf_measured_draw1.json" in before
    for path, written in before.items():
        if path.name != "manifest.json" and not path.name.endswith(".scores.json"):
            assert path.stat().st_mtime_ns == written
    assert len(read_json(output / "manifest.json")["runs"]) == 3


@pytest.mark.processes
def test_the_manifest_names_endpoints_and_folds(experiment):
    manifest = read_json(experiment[0] / "manifest.json")
    assert manifest["endpoints"] == [
        "NRMSE after gain",
        "GM Dice",
        "coherence above Nyquist",
        "lesion contrast",
    ]
    tested = [subject for fold in manifest["folds"] for subject in fold]
    assert sorted(tested) == [f"sub-{n:02d}" for n in range(1, 5)]
    assert manifest["profile"]["draws"] == 2


@pytest.mark.processes
def test_no_model_is_tested_on_subjects_that_it_learned_from(experiment):
    output = experiment[0]
    folds = read_json(output / "manifest.json")["folds"]
    cells = list_cells(read_profile(str(QUICK)))
    assert {cell.fold for cell in cells} == {0, 1}
    for cell in cells:
        folder = output / "cells" / cell.folder
        train = set(read_json(folder / "fit.json")["train"])
        for name in cell.test_sets:
            tested = set(read_json(folder / f"{name}_draw0.json")["subjects"])
            assert tested == set(folds[cell.fold])
            assert not tested & train
        assert train | tested == {subject for fold in folds for subject in fold}


@pytest.mark.processes
def test_settings_are_chosen_on_training_subjects(experiment):
    fit = read_json(experiment[0] / "cells" / "ridge-percentilescaler_fold0_fit0" / "fit.json")
    errors = {
        c["params"]["patchwiseregressor__estimator__alpha"]: c["nrmse_after_gain"]
        for c in fit["candidates"]
    }
    assert set(errors) == {0.1, 1000.0}
    (chosen,) = fit["chosen"].values()
    assert errors[chosen] == min(errors.values())


@pytest.mark.processes
def test_every_cell_is_in_the_tables_and_figures(experiment):
    output, _, report = experiment
    manifest = read_json(output / "manifest.json")
    cells = list_cells(read_profile(str(QUICK)))
    with (output / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(r["method"], r["test_set"], r["subject"], r["draw"], r["fold"]) for r in rows]
    expected = [
        (c.name, name, subject, str(draw), str(c.fold))
        for c in cells
        for name in c.test_sets
        for subject, draw in list_scans(manifest, c.fold)
    ]
    assert sorted(found) == sorted(expected)
    for row in rows:
        has_lesions = row["test_set"].endswith("_lesions")
        measured = ["lesion contrast"] if has_lesions else ["NRMSE", "coherence above Nyquist"]
        assert all(np.isfinite(float(row[name])) for name in measured)
    assert "Missing or failed" not in report
    for heading in (
        "Endpoints",
        "Table 1",
        "Table 2",
        "Times and memory",
        "Paired differences",
        "Variance between draws",
        "Settings chosen",
    ):
        assert heading in report
    assert {path.name for path in (output / "figures").glob("*.png")} >= {
        "endpoints.png",
        "figure4.png",
        "figure5.png",
        "figure6.png",
    }


@pytest.mark.processes
def test_measures_are_computed_again_from_stored_predictions(experiment):
    output = experiment[0]
    before = (output / "scores.csv").read_text()
    tables = {name: (output / name).read_text() for name in ("endpoints.csv", "differences.csv")}
    for path in output.glob("cells/iqt-srep_fold*/*.scores.json"):
        path.unlink()
    predictions = {p: p.stat().st_mtime_ns for p in output.glob("cells/*/*/*.nii.gz")}
    assert measure([str(output)]) == 0
    write_report(output, figures=False)
    assert (output / "scores.csv").read_text() == before
    assert tables == {name: (output / name).read_text() for name in tables}
    assert predictions == {p: p.stat().st_mtime_ns for p in output.glob("cells/*/*/*.nii.gz")}


@pytest.mark.processes
def test_a_new_measure_joins_the_stored_ones(experiment, monkeypatch):
    output = experiment[0]
    cell = list_cells(read_profile(str(QUICK)))[0]
    stored = read_scores(output, cell, "ulf_measured")["rows"]

    def fail(scored):
        raise ValueError("not defined here")

    peak = Measure(lambda scored: scored.estimate.max(), best=1)
    for name, added in (("peak", peak), ("broken", Measure(fail, best=1))):
        monkeypatch.setitem(MEASURES, name, added)
    monkeypatch.setitem(MEASURES, "NRMSE", Measure(fail, best=0))  # is not computed again
    measure_cell(output, cell)
    after = read_scores(output, cell, "ulf_measured")
    for old, new in zip(stored, after["rows"], strict=True):
        assert new.pop("peak") > 0
        assert new.pop("broken") is None
        assert new == old
    assert len(after["failed"]) == len(stored)
    assert "broken, ulf_measured" in after["failed"][0]
    assert "not defined here" in after["failed"][0]


@pytest.mark.processes
def test_the_report_is_written_again_without_training(experiment, capsys):
    output, _, _ = experiment
    report = write_report(output, figures=False)
    (output / "report.md").unlink()
    assert main(["--output", str(output), "--report", "--no-figures"]) == 0
    assert capsys.readouterr().out == report + "\n"
    assert (output / "report.md").read_text() == report


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
@pytest.mark.slow
def test_the_smoke_profile_runs(tmp_path, capsys):
    assert main(["--profile", "smoke", "--output", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "Missing or failed" not in printed
    for cell in list_cells(read_profile("smoke")):
        assert f"| {cell.name} |" in printed
    assert "Table 3" in printed


@pytest.mark.processes
def test_a_failed_cell_is_reported_and_the_others_run(tmp_path, capsys):
    profile = tmp_path / "broken.toml"
    profile.write_text(
        'folds = 2\ndraws = 1\ntest_sets = ["ind1"]\nin_distribution = ["ind1"]\n'
        'table_sets = ["ind1"]\npaper_set = "ulf_measured"\nsimple = ["interpolation"]\n'
        "[methods.broken]\n"
        'estimator = "CoupledDictionaryIQT"\nparams = { n_atoms = -1 }\n'
        '[methods.interpolation]\nestimator = "InterpolationIQT"\n'
        '[methods.later]\nestimator = "InterpolationIQT"\n'
    )
    output = ["--output", str(tmp_path / "run")]
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (40, 44, 48))
    output += ["--cohort", str(cohort.folder), "--profile", str(profile), "--no-figures"]
    assert main([*output, "--folds", "0", "--methods", "broken", "interpolation"]) == 1
    printed = capsys.readouterr()
    assert "failed: broken_fold0_fit0" in printed.err
    assert "broken_fold0_fit0 (1 of 1 sets)" in printed.out
    assert "interpolation_fold1_fit0 (1 of 1 sets)" in printed.out
    assert "**Not run:** later." in printed.out
    assert "| ind1 | interpolation | 2 |" in printed.out
    log = (tmp_path / "run" / "cells" / "broken_fold0_fit0.log").read_text()
    assert "n_atoms" in log


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
        if "grid" in cell.spec:
            assert set(estimator.param_grid) <= estimator.estimator.get_params().keys()
            estimator = estimator.estimator
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
            if cell.method == "IQT-SRep" and cell.column.startswith("P") and cell.fold == 0:
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
    (tmp_path / "others").symlink_to(cohort.folder)
    renamed = Cohort(tmp_path / "others", cohort.split)
    scan = ("sub-04", 1)
    every, one = [("sub-02", 1), ("sub-04", 0), scan], [scan]
    drawn, low = [], []
    for number, (brains, scans) in enumerate(((cohort, every), (cohort, one), (renamed, one))):
        output = tmp_path / str(number)
        for name in ("ind1", "thick_axis_i"):
            prepare_pairs(brains, output, name, scans, alignment="center", seed=0)
            shape = load_volume(high_file(output, name, "sub-04")).shape
            assert load_volume(labels_file(output, name, "sub-04")).shape == shape
        drawn.append(read_json(drawn_file(output, "ind1", scan))["snr_wm_gm"])
        low.append(load_volume(low_file(output, "ind1", scan)).get_fdata())
    assert drawn[0] == drawn[1] != drawn[2]
    np.testing.assert_array_equal(low[0], low[1])
    other = load_volume(low_file(tmp_path / "0", "ind1", ("sub-04", 0))).get_fdata()
    assert (other != low[0]).any()


def test_folds_hold_every_subject_once_and_depend_on_the_seed_alone():
    subjects = [f"sub-{n:02d}" for n in range(18)]
    folds = make_folds(subjects, 5, 0)
    assert sorted(subject for fold in folds for subject in fold) == subjects
    assert {len(fold) for fold in folds} == {3, 4}
    assert make_folds(subjects[::-1], 5, 0) == folds != make_folds(subjects, 5, 1)
    for wrong in (1, 19):
        with pytest.raises(ValueError, match="folds must be from 2"):
            make_folds(subjects, wrong, 0)


def test_predictions_are_stored_with_a_rounding_error_below_half_a_step(tmp_path):
    volume = np.random.default_rng(0).gamma(2, 50, size=(20, 20, 20)) - 20
    volume[0, 0, 0] = 1e5  # an outlier must not be clipped
    brain = np.arange(20) < 15
    path = tmp_path / "set" / "sub-01_draw0.nii.gz"
    for given, largest in ((volume, 1e5 / 32767), (volume[1:], 700 / 4096), (volume * 0, 0)):
        store_prediction(given, brain, path, np.diag([1, 1, 2, 1]))
        stored = nibabel.load(path)
        assert np.abs(stored.get_fdata() - given * brain).max() <= 0.51 * largest
        assert stored.header.get_zooms() == (1, 1, 2)
    assert path.stat().st_size < 2000
    with pytest.raises(ValueError, match="not finite"):
        store_prediction(volume * np.nan, brain, path, np.eye(4))


PROFILE = {
    "test_sets": ["ind1", "ind2", "noisy", "ind1_lesions"],
    "in_distribution": ["ind1", "ind2", "ind1_lesions"],
    "simple": ["interpolation", "curve"],
    "draws": 2,
}
METHODS = ["interpolation", "curve", "net"]
DETAIL = "coherence above Nyquist"


def scores_of(values):
    """Return rows with the given coherence by (method, subject), for all sets and draws."""
    return [
        {"method": method, "subject": subject, "test_set": name, "draw": draw}
        | dict.fromkeys(ENDPOINTS, np.nan)
        | {DETAIL: value + (0.01 if draw else -0.01)}
        for (method, subject), value in values.items()
        for name in PROFILE["test_sets"]
        for draw in range(2)
    ]


def test_endpoints_are_compared_with_interpolation_and_the_strongest_simple_method():
    values = {("interpolation", s): 0.1 + 0.01 * s for s in range(4)}
    values |= {("curve", s): 0.3 + 0.02 * s for s in range(4)}
    values |= {("net", s): 0.35 + 0.021 * s for s in range(4)}
    rows = scores_of(values)
    # Without one of its results, a subject does not count.
    rows = [r for r in rows if (r["method"], r["subject"], r["test_set"]) != ("net", 3, "ind2")]
    table = endpoint_rows(rows, METHODS, PROFILE)
    assert {row["endpoint"] for row in table} == {DETAIL}  # the others were not measured
    found = {(r["group"], r["method"], r["compared_with"]): r for r in table}
    inside = found["in distribution", "net", "strongest simple"]
    assert inside["reference"] == "curve"
    assert inside["subjects"] == 3
    assert inside["difference"] == pytest.approx(0.051)
    assert inside["low"] < 0.051 < inside["high"]
    assert inside["p_holm"] >= inside["p"]
    assert found["out of distribution", "net", "strongest simple"]["subjects"] == 4
    assert found["in distribution", "net", "interpolation"]["difference"] == pytest.approx(0.261)
    text = endpoint_section(table, {"GM Dice": "ants is not installed"})
    assert "Strongest simple method: in distribution: curve" in text
    assert "Not measured: ants is not installed" in text


def test_the_variance_between_draws_is_separated_from_that_between_subjects():
    rng = np.random.default_rng(0)
    rows = []
    for subject in range(1000):
        own = rng.normal(0, 0.5)
        for draw in range(2):
            values = {"interpolation": 7.0, "net": 7 + own + rng.normal(0, 1)}
            for method, value in values.items():
                row = {"method": method, "subject": subject, "test_set": "ind1", "draw": draw}
                rows.append(row | dict.fromkeys(ENDPOINTS, np.nan) | {DETAIL: value})
    (row,) = draw_table(rows, METHODS, 2)
    assert row["sd_subjects"] == pytest.approx(0.5, rel=0.15)
    assert row["sd_draws"] == pytest.approx(1, rel=0.1)
    assert row["share_of_draws"] == pytest.approx(0.5 / 0.75, rel=0.2)


@pytest.mark.processes
def test_draws_fits_and_measures_can_be_added_later(tmp_path, capsys):
    profile = tmp_path / "two.toml"
    profile.write_text(
        'folds = 2\ndraws = 2\ntest_sets = ["ind1", "thick_axis_i"]\nin_distribution = ["ind1"]\n'
        'table_sets = ["ind1"]\npaper_set = "ulf_measured"\nsimple = ["interpolation"]\n'
        '[methods.interpolation]\nestimator = "InterpolationIQT"\nrepeats = 2\n'
    )
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (24, 28, 32))
    output = tmp_path / "run"
    common = ["--output", str(output), "--profile", str(profile), "--no-figures"]
    common += ["--cohort", str(cohort.folder)]
    first_part = ["--draws", "1", "--fits", "1", "--measures", "NRMSE"]
    assert main([*common, *first_part]) == 0
    report = capsys.readouterr().out
    assert "4 subjects in 2 folds, 1 of 2 draws" in report
    assert "**SSIM** is missing for 8 of 8 results" in report
    first = output / "cells" / "interpolation_fold0_fit0" / "ind1_draw0.json"
    written = first.stat().st_mtime_ns
    assert not first.with_name("ind1_draw1.json").exists()
    assert not (output / "cells" / "interpolation_fold0_fit1").exists()
    assert main([*common, "--resume"]) == 0
    report = capsys.readouterr().out
    assert "2 of 2 draws" in report
    assert "**SSIM** is missing" not in report
    assert "| ind1 | interpolation | 16 |" in report
    assert first.stat().st_mtime_ns == written
    assert first.with_name("ind1_draw1.json").exists()
    # Results of more draws than were asked for are left out.
    assert main(["--output", str(output), "--report", "--no-figures", "--draws", "1"]) == 0
    assert "| ind1 | interpolation | 8 |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="choose from 1 to 2"):
        main([*common, "--resume", "--draws", "3"])


def test_a_cohort_without_participants_is_refused(tmp_path):
    save_volume(np.ones((4, 4, 4)), tmp_path / "sub-01_T1w.nii.gz", affine=np.eye(4))
    with pytest.raises(ValueError, match=r"participants\.tsv"):
        load_cohort(tmp_path)


def test_cells_that_share_a_folder_are_refused():
    profile = {"test_sets": [], "folds": 2, "methods": {"A (b)": {}, "A b": {}}}
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
