"""Train on the training subjects of a cohort, and compare methods on its test subjects.

    python -m benchmarks.compare --cohort ../shared/data/ds002748 --output benchmarks/results/cc0

Every training subject is degraded once with an SNR pair of the full distribution; every test
subject once for each test set. Prints and writes a Markdown table of means and of values for each
subject, with the command and seed. Scores are written after each method, and methods that are
found in the output folder are not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.cohorts import load_cohort
from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.metrics import nrmse, psnr, ssim
from sklearn_iqt.simulation import LowFieldSimulator

TEST_SETS = ("ind1", "ind2", "low_contrast", "ulf_measured")


def random_forest():
    """IQT-RF: a forest of regression trees on patches (Alexander et al., 2014)."""
    from sklearn.ensemble import ExtraTreesRegressor

    return PatchwiseRegressor(
        ExtraTreesRegressor(30, min_samples_leaf=10, n_jobs=-1, random_state=0),
        max_patches=30_000,
        random_state=0,
    )


def unet():
    """IQT-DL, small enough to train on two cores."""
    from sklearn_iqt import AnisoUNetRegressor

    return AnisoUNetRegressor(
        8,
        4,
        global_skip=True,
        max_steps=500,
        epoch_size=800,
        batch_size=16,
        lr_milestones=(0.5, 0.75, 0.9),
        random_state=0,
    )


def ddl():
    """IQT-DDL, small enough to train on two cores."""
    from sklearn_iqt import DDLRegressor

    return DDLRegressor(8, lr=1e-3, max_steps=500, epoch_size=800, batch_size=16, random_state=0)


METHODS = {
    "interpolation": InterpolationIQT,
    "srep": lambda: CoupledDictionaryIQT(n_jobs=-1, random_state=0),
    "srep-intensity": lambda: CoupledDictionaryIQT(
        features="intensity", n_components=0.999, n_jobs=-1, random_state=0
    ),
    "ridge": lambda: PatchwiseRegressor(random_state=0),
    "forest": random_forest,
    "unet": unet,
    "ddl": ddl,
}
# Voxels of the brain are those where the truth is not zero.
METRICS = {
    "NRMSE (max)": lambda truth, estimate, brain: nrmse(truth, estimate),
    "NRMSE (mean), brain": lambda truth, estimate, brain: nrmse(
        truth, estimate, mask=brain, normalization="mean"
    ),
    "PSNR": lambda truth, estimate, brain: psnr(truth, estimate),
    "SSIM, brain": lambda truth, estimate, brain: ssim(truth, estimate, mask=brain),
    "SSIM, whole": lambda truth, estimate, brain: ssim(truth, estimate),
}


def simulate(cohort, seed, alignment):
    """Return training pairs and the pairs of each test set."""
    simulator = LowFieldSimulator(alignment=alignment, random_state=seed)
    training = simulator.simulate(*cohort.arrays("train"))
    tests = {}
    for number, preset in enumerate(TEST_SETS):
        simulator = LowFieldSimulator(preset, alignment=alignment, random_state=seed + 1 + number)
        tests[preset] = simulator.simulate(*cohort.arrays("test"))
    return training, tests


def run_method(name, training, tests, alignment):
    """Return the scores ``{test set: {metric: [one value per subject]}}``, and the times."""
    start = time.perf_counter()
    model = METHODS[name]().set_params(alignment=alignment, verbose=1)
    model.fit(training.low, training.high)
    fitted = time.perf_counter()
    scores, seconds = {}, 0.0
    for preset, pairs in tests.items():
        begin = time.perf_counter()
        estimates = model.predict(pairs.low)
        seconds += time.perf_counter() - begin
        scores[preset] = {
            metric: [float(score(t, e, t != 0)) for t, e in zip(pairs.high, estimates, strict=True)]
            for metric, score in METRICS.items()
        }
    n_volumes = sum(len(pairs.low) for pairs in tests.values())
    times = {"fit_s": fitted - start, "predict_s_per_volume": seconds / n_volumes}
    return {"scores": scores, "times": times}


def to_markdown(results, subjects):
    """Return a table of means, one of the values for each subject, and one of times."""
    metrics = list(METRICS)
    lines = [f"| test set | method | {' | '.join(metrics)} |", "|---" * (2 + len(metrics)) + "|"]
    for preset in TEST_SETS:
        for method, result in results.items():
            values = result["scores"][preset]
            means = " | ".join(f"{np.mean(values[metric]):.4f}" for metric in metrics)
            lines.append(f"| {preset} | {method} | {means} |")
    lines += ["", f"| test set | method | metric | {' | '.join(subjects)} |"]
    lines.append("|---" * (3 + len(subjects)) + "|")
    for preset in TEST_SETS:
        for method, result in results.items():
            for metric in ("NRMSE (max)", "SSIM, brain"):
                values = result["scores"][preset][metric]
                each = " | ".join(f"{value:.4f}" for value in values)
                lines.append(f"| {preset} | {method} | {metric} | {each} |")
    lines += ["", "| method | fit, s | predict, s per volume |", "|---|---|---|"]
    for method, result in results.items():
        times = result["times"]
        lines.append(f"| {method} | {times['fit_s']:.0f} | {times['predict_s_per_volume']:.1f} |")
    return "\n".join(lines)


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--alignment", choices=("center", "corner"), default="center")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for table and scores")
    arguments = parser.parse_args(argv)
    cohort = load_cohort(arguments.cohort)
    arguments.output.mkdir(parents=True, exist_ok=True)
    pairs = None
    results = {}
    for name in arguments.methods:
        file = arguments.output / f"{name}.json"
        if not file.exists():
            pairs = pairs or simulate(cohort, arguments.seed, arguments.alignment)
            result = run_method(name, *pairs, arguments.alignment)
            file.write_text(json.dumps(result, indent=1))
        results[name] = json.loads(file.read_text())
    command = shlex.join(["python", "-m", "benchmarks.compare", *(argv or sys.argv[1:])])
    report = (
        f"Cohort {cohort.folder.name}, {len(cohort.split['train'])} training and "
        f"{len(cohort.split['test'])} test subjects, seed {arguments.seed}, "
        f"{datetime.date.today()}.\n\n    {command}\n\n"
        f"{to_markdown(results, cohort.split['test'])}\n"
    )
    print(report)
    (arguments.output / "table.md").write_text(report)


if __name__ == "__main__":
    main()
