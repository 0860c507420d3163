"""Train on the training subjects of a cohort, and compare methods on its test subjects.

    python -m benchmarks.compare --cohort ../shared/data/ds002748 --methods interpolation srep ridge

Every training subject is degraded once with an SNR pair of the full distribution; every test
subject once for each test set. Prints and writes a Markdown table of means and of values for each
subject, with the command and seed.
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


METHODS = {
    "interpolation": InterpolationIQT,
    "srep": lambda: CoupledDictionaryIQT(n_jobs=-1, random_state=0),
    "ridge": lambda: PatchwiseRegressor(random_state=0),
    "forest": random_forest,
}
METRICS = {
    "NRMSE (max)": lambda truth, estimate: nrmse(truth, estimate),
    "NRMSE (mean)": lambda truth, estimate: nrmse(truth, estimate, normalization="mean"),
    "PSNR": psnr,
    "SSIM": ssim,
}


def compare(cohort, methods, *, seed=0, alignment="center", log=print):
    """Return the scores as ``{test set: {method: {metric: [one value per subject]}}}``."""
    simulator = LowFieldSimulator(alignment=alignment, random_state=seed)
    training = simulator.simulate(*cohort.arrays("train"))
    tests = {}
    for number, preset in enumerate(TEST_SETS):
        simulator = LowFieldSimulator(preset, alignment=alignment, random_state=seed + 1 + number)
        tests[preset] = simulator.simulate(*cohort.arrays("test"))
        distances = np.array2string(tests[preset].mahalanobis, precision=1)
        log(f"{preset}: Mahalanobis distances {distances}")
    scores = {preset: {} for preset in tests}
    for name in methods:
        start = time.perf_counter()
        model = METHODS[name]().set_params(alignment=alignment).fit(training.low, training.high)
        fitted = time.perf_counter()
        for preset, pairs in tests.items():
            estimates = model.predict(pairs.low)
            scores[preset][name] = {
                metric: [float(score(t, e)) for t, e in zip(pairs.high, estimates, strict=True)]
                for metric, score in METRICS.items()
            }
        log(f"{name}: fit {fitted - start:.0f} s, predict {time.perf_counter() - fitted:.0f} s")
    return scores


def to_markdown(scores, subjects):
    """Return a table of means, and one of the values for each subject."""
    metrics = list(METRICS)
    lines = [f"| test set | method | {' | '.join(metrics)} |", "|---" * (2 + len(metrics)) + "|"]
    for preset, methods in scores.items():
        for method, values in methods.items():
            means = " | ".join(f"{np.mean(values[metric]):.4f}" for metric in metrics)
            lines.append(f"| {preset} | {method} | {means} |")
    lines += ["", f"| test set | method | metric | {' | '.join(subjects)} |"]
    lines.append("|---" * (3 + len(subjects)) + "|")
    for preset, methods in scores.items():
        for method, values in methods.items():
            for metric in ("NRMSE (max)", "SSIM"):
                each = " | ".join(f"{value:.4f}" for value in values[metric])
                lines.append(f"| {preset} | {method} | {metric} | {each} |")
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
    parser.add_argument("--output", type=Path, help="folder for the table and the scores")
    arguments = parser.parse_args(argv)
    cohort = load_cohort(arguments.cohort)
    scores = compare(cohort, arguments.methods, seed=arguments.seed, alignment=arguments.alignment)
    command = shlex.join(["python", "-m", "benchmarks.compare", *(argv or sys.argv[1:])])
    report = (
        f"Cohort {cohort.folder.name}, {len(cohort.split['train'])} training and "
        f"{len(cohort.split['test'])} test subjects, seed {arguments.seed}, "
        f"{datetime.date.today()}.\n\n    {command}\n\n"
        f"{to_markdown(scores, cohort.split['test'])}\n"
    )
    print(report)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / f"{cohort.folder.name}.md").write_text(report)
        (arguments.output / f"{cohort.folder.name}.json").write_text(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
