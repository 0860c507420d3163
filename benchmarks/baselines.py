"""Compare baselines with the main methods on validation subjects.

    python -m benchmarks.baselines --cohort ../shared/data/ds002748 --sharp-axes i --output results

Methods that learn from pairs are fitted to the first training subjects, degraded by the training
distribution. All are scored on the validation subjects, degraded as ``ind1`` and ``ind2``. Test
subjects and the shifts that no setting was chosen on are not used.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.code import describe_code
from benchmarks.cohorts import load_cohort
from benchmarks.paper.nonlocal_means import DenoisedInterpolation, NonLocalUpsampling
from benchmarks.paper.pairs import TRAINING
from benchmarks.paper.shifts import simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import (
    ContrastMatchingIQT,
    CoupledDictionaryIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    NyulScaler,
    PatchwiseRegressor,
    SelfSupervisedIQT,
)
from sklearn_iqt.metrics import coherence, mean_scores, nrmse, score_table

SETS = ("ind1", "ind2")
MEASURES = {
    "NRMSE": lambda truth, estimate, mask: nrmse(truth, estimate, mask=mask),
    "NRMSE after gain": lambda truth, estimate, mask: nrmse(
        truth, estimate, mask=mask, match="gain"
    ),
    "coherence above Nyquist": lambda truth, estimate, mask: coherence(truth, estimate, mask=mask),
}


def make_methods(sharp_axes: str, seed: int) -> dict:
    """Return the methods by name."""
    forest = ExtraTreesRegressor(30, min_samples_leaf=10, random_state=seed)
    few = {"max_patches": 30_000, "random_state": seed}
    own = {"thickness": 3, "sharp_axes": sharp_axes}
    return {
        "interpolation": InterpolationIQT(),
        "intensity curve": IntensityCurveIQT(random_state=seed),
        "tissue matching": ContrastMatchingIQT(),
        "histogram matching": ContrastMatchingIQT(NyulScaler(keep_units=True)),
        "self-supervised ridge": SelfSupervisedIQT(**own, random_state=seed),
        "self-supervised forest": SelfSupervisedIQT(forest, **own, **few),
        "NLM, interpolation": DenoisedInterpolation(),
        "ridge": PatchwiseRegressor(random_state=seed),
        "forest": PatchwiseRegressor(forest, **few),
        "IQT-SRep": CoupledDictionaryIQT(max_patches=40_000, random_state=seed),
        "NLM upsampling": NonLocalUpsampling(),
    }


def main(argv: list[str] | None = None) -> int:
    """Fit, score and write the table, after each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True, help="folder of the cohort")
    parser.add_argument("--train", type=int, default=4, help="first training subjects")
    parser.add_argument("--sharp-axes", default="ij", help="in-plane axes with true detail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    cohort = load_cohort(args.cohort)
    command = shlex.join(["python", "-m", "benchmarks.baselines", *(argv or sys.argv[1:])])
    args.output.mkdir(parents=True, exist_ok=True)
    loaded = {
        part: [(subject, *cohort.load(subject)) for subject in subjects]
        for part, subjects in (
            ("train", cohort.split["train"][: args.train]),
            ("validation", cohort.split["validation"]),
        )
    }

    def simulate(name, part):
        pairs = [
            simulate_set(name, image, labels, cohort=cohort.name, subject=subject, seed=args.seed)
            for subject, image, labels in loaded[part]
        ]
        return [pair.low for pair in pairs], [pair.high for pair in pairs]

    training = simulate(TRAINING, "train")
    scans = {name: simulate(name, "validation") for name in SETS}
    lines = []
    for method, estimator in make_methods(args.sharp_axes, args.seed).items():
        estimator.fit(*training)
        cells, seconds = [], []
        for low, high in scans.values():
            start = time.perf_counter()
            estimates = estimator.predict(low)
            seconds.append((time.perf_counter() - start) / len(low))
            inside = [np.asarray(image.dataobj) > 0 for image in high]
            rows = score_table(high, {method: estimates}, mask=inside, measures=MEASURES)
            (means,) = mean_scores(rows)
            cells += [f"{means[name]:.4f}" for name in MEASURES]
        lines.append([method, *cells, f"{np.mean(seconds):.1f}"])
        header = [f"{name}, {measure}" for name in SETS for measure in MEASURES]
        table = format_table(["method", *header, "seconds a scan"], lines)
        code = describe_code()
        text = f"    {command}\n\n{code['date']}, source {code['source']}\n\n{table}\n"
        (args.output / f"baselines_{cohort.name}.md").write_text(text)
        print(lines[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
