"""Compare the intervals of ConformalIQT with the truth, on test subjects and under shifts.

    python -m benchmarks.intervals --cohort ../shared/data/ds002748 --output results/intervals

Models learn from the first training subjects, degraded by the training distribution. They are
calibrated on the other training subjects and the validation subjects, which are degraded in the
same way. No setting is chosen on the test subjects, or on the families of shifts. Each scan has one
file of numbers, so that a run that was interrupted can be continued by the same command.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks import cohorts
from benchmarks.code import describe_code
from benchmarks.paper.pairs import TRAINING
from benchmarks.paper.shifts import SimulatedPair, simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import (
    ConformalIQT,
    CoupledDictionaryIQT,
    InterpolationIQT,
    PatchwiseRegressor,
    load_model,
    save_model,
)
from sklearn_iqt.base._training_scans import compare_scan, describe_scans
from sklearn_iqt.compose._conformal import TOLERATED, raise_small
from sklearn_iqt.io import Cohort, replaced_file
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._scan_features import FEATURES

# The first set has the distribution of the calibration. The families were named before any result.
SETS = (
    "train",
    "ind1",
    "ulf_measured",
    "gamma_mild",
    "gamma_strong",
    "rician_mild",
    "rician_strong",
)
REGIONS = ("foreground", "fluid", "grey matter", "white matter", "edges")
NOMINAL = (0.8, 0.9, 0.95)
SUBJECT_LEVEL = 0.8
# Parts of the foreground that are removed for the sparsification curve.
REMOVED = np.linspace(0, 0.95, 20)


def make_methods(seed: int) -> dict[str, Any]:
    """Return the methods by name."""
    forest = ExtraTreesRegressor(8, min_samples_leaf=10, random_state=seed)
    return {
        "interpolation": InterpolationIQT(),
        "ridge": PatchwiseRegressor(random_state=seed),
        "IQT-SRep": CoupledDictionaryIQT(random_state=seed),
        "forest": PatchwiseRegressor(forest, max_patches=30_000, random_state=seed),
    }


class Measurement:
    """The scans of a run, and the file of each scan.

    Parameters
    ----------
    cohort : Cohort
        The subjects.
    n_train : int
        Training subjects that models learn from.
    output : Path
        Folder of the results.
    seed : int
        Seed of the simulation and of the methods.
    """

    def __init__(self, cohort: cohorts.Cohort, n_train: int, output: Path, seed: int) -> None:
        self.cohort = cohort
        self.output = output
        self.seed = seed
        self.training = cohort.split["train"][:n_train]
        self.calibration = cohort.split["train"][n_train:] + cohort.split["validation"]
        self.test = cohort.split["test"]

    def simulate(self, name: str, subject: str) -> SimulatedPair:
        """Return one pair of a set."""
        simulated = TRAINING if name == "train" else name
        image, labels = self.cohort.load(subject)
        return simulate_set(
            simulated, image, labels, cohort=self.cohort.name, subject=subject, seed=self.seed
        )

    def fit(self, method: str) -> Any:
        """Return the fitted model of a method, which is kept in a file."""
        path = self.output / "models" / f"{method}.iqt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            pairs = [self.simulate("train", who) for who in self.training]
            model = make_methods(self.seed)[method]
            save_model(model.fit([p.low for p in pairs], [p.high for p in pairs]), path)
        return load_model(path)

    def distance(self, name: str, subject: str) -> float:
        """Return how far a scan is from the calibration scans, which is kept in a file."""
        path = self.output / "distances" / f"{name}_{subject}.txt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            cohort = Cohort([self.simulate(name, subject).low], caller="intervals")
            found = compare_scan(cohort.read(0), self._calibration_scans)
            serious = [one.distance for one in found if FEATURES[one.name].refuses]
            path.write_text(f"{max(serious):.3f}\n")
        return float(path.read_text())

    @cached_property
    def _calibration_scans(self) -> dict[str, Any]:
        low = [self.simulate("train", subject).low for subject in self.calibration]
        return describe_scans(Cohort(low, caller="intervals"))

    def file(self, method: str, name: str, subject: str) -> Path:
        """Return the file with the numbers of a scan."""
        return self.output / "scans" / method / f"{name}_{subject}.npz"

    def measure(self, method: str, model: Any, name: str, subject: str) -> None:
        """Write the numbers of a scan, if they are not there yet."""
        path = self.file(method, name, subject)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = compare_with_truth(model, self.simulate(name, subject))
        with replaced_file(path) as stream:
            np.savez_compressed(stream, **numbers)

    def read(self, method: str, name: str, subjects: list[str]) -> list[Any]:
        """Return the numbers of some subjects."""
        return [np.load(self.file(method, name, subject)) for subject in subjects]


def compare_with_truth(model: Any, pair: SimulatedPair) -> dict[str, Any]:
    """Return the numbers of one scan from which coverages and widths follow for any factor."""
    mean, raw = (np.asarray(out[0].dataobj) for out in model.predict([pair.low], return_std=True))
    low, high, labels = (np.asarray(v.dataobj) for v in (pair.low, pair.high, pair.labels))
    inside = np.kron(foreground_mask(low), np.ones(model.scale_, dtype=bool))
    std = raise_small(raw, inside)
    error = np.abs(high - mean)
    needed = error / np.maximum(std, np.finfo(std.dtype).tiny)
    regions = [inside, *(inside & (labels == n) for n in (1, 2, 3)), inside & _edges(labels)]
    fractions = np.arange(1, 1000) / 1000
    raw = raw[inside]
    return {
        "needed": [np.quantile(needed[r], fractions, method="inverted_cdf") for r in regions],
        "width": 2 * std[inside].mean() / np.percentile(high[inside], 99),
        "two_std": np.mean(error[inside] <= 2 * raw),
        "correlation": np.corrcoef(error[inside], raw)[0, 1],
        "sparsification": _sparsification(error[inside], raw),
        "oracle": _sparsification(error[inside], error[inside]),
    }


def _edges(labels: np.ndarray) -> np.ndarray:
    """Return the voxels that touch a voxel of another tissue."""
    return ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)


def _sparsification(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the root mean square error without the parts with the largest deviation."""
    squares = np.cumsum(np.square(error[np.argsort(std, kind="stable")], dtype=np.float64))
    kept = np.round((1 - REMOVED) * len(squares)).astype(int)
    return np.sqrt(squares[kept - 1] / kept)


def report(run: Measurement, methods: list[str], command: str) -> str:
    """Return the page with all tables."""
    code = describe_code()
    parts = [f"    {command}\n\n{code['date']}, source {code['source']}, seed {run.seed}."]
    for method in methods:
        calibration = np.array([r["needed"][0] for r in run.read(method, "train", run.calibration)])
        conformal = ConformalIQT(make_methods(0)[method], subject_level=SUBJECT_LEVEL)
        conformal.estimator_, conformal.factors_ = run.fit(method), calibration
        factors = {n: conformal.set_params(confidence_level=n).factor() for n in NOMINAL}
        coverages, regions, shifts = [], [], []
        for name in SETS:
            scans = run.read(method, name, run.test)
            row, widths = [name], []
            for nominal, factor in factors.items():
                covered = _coverage(scans, factor, 0)
                row.append(
                    f"{np.median(covered):.2f} ({min(covered):.2f}-{max(covered):.2f}), "
                    f"{np.sum(covered >= nominal - 1e-3)}"
                )
                widths.append(f"{100 * factor * np.mean([s['width'] for s in scans]):.0f}")
            distances = np.array([run.distance(name, subject) for subject in run.test])
            longer = np.maximum(1, distances / TOLERATED)
            pairs = zip(scans, factors[0.9] * longer, strict=True)
            inflated = np.array([_coverage([scan], factor, 0)[0] for scan, factor in pairs])
            raw = f"{np.median([s['two_std'] for s in scans]):.2f}"
            coverages.append([*row, " / ".join(widths), raw])
            shifts.append(
                [
                    name,
                    f"{np.median(distances):.1f} ({min(distances):.1f}-{max(distances):.1f})",
                    np.sum(distances > conformal.max_distance),
                    f"{np.median(_coverage(scans, factors[0.9], 0)):.2f}",
                    f"{np.median(inflated):.2f} ({min(inflated):.2f}-{max(inflated):.2f}), "
                    f"{np.sum(inflated >= 0.9 - 1e-3)}",
                    f"{100 * factors[0.9] * np.mean([s['width'] for s in scans] * longer):.0f}",
                ]
            )
            areas = [_area(scan) for scan in scans]
            where = [_coverage(scans, factors[0.9], n) for n in range(1, len(REGIONS))]
            regions.append(
                [
                    name,
                    *(f"{np.median(covered):.2f}" for covered in where),
                    f"{np.median([s['correlation'] for s in scans]):.2f}",
                    f"{np.median(areas):.2f}",
                ]
            )
        levels = [f"{100 * n:.0f} %" for n in NOMINAL]
        header = ["set", *levels, f"width, % ({' / '.join(levels)})", "two deviations"]
        more = ["set", *REGIONS[1:], "correlation", "area"]
        last = ["set", "distance", "refused", "90 %", "90 %, by distance", "width, %"]
        found = ", ".join(f"{factor:.1f}" for factor in factors.values())
        parts.append(
            f"## {method}\n\nFactors for {', '.join(levels)}: {found}.\n\n"
            f"{format_table(header, coverages)}\n\n{format_table(more, regions)}\n\n"
            f"{format_table(last, shifts)}"
        )
    return "\n\n".join(parts) + "\n"


def draw_sparsification(run: Measurement, methods: list[str], name: str) -> Figure:
    """Return the curves of all methods on one set: by the standard deviation and by the error."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for n, method in enumerate(methods):
        scans = run.read(method, name, run.test)
        for order, style in (("sparsification", "-"), ("oracle", ":")):
            curve = np.mean([scan[order] / scan["oracle"][0] for scan in scans], axis=0)
            label = method if order == "sparsification" else None
            axes.plot(100 * REMOVED, curve, style, color=f"C{n}", label=label)
    axes.plot([], [], "k:", label="by the true error")
    axes.axhline(1, color="0.7", linewidth=1, label="by chance")
    axes.set(xlabel="voxels removed, %", ylabel="RMSE of the rest, relative to all", ylim=(0, 1.4))
    axes.legend(fontsize=8)
    return figure


def _coverage(scans: list[Any], factor: float, region: int) -> np.ndarray:
    """Return the fraction of a region of each scan that the intervals contain."""
    return np.array(
        [np.searchsorted(s["needed"][region], factor, side="right") / 1000 for s in scans]
    )


def _area(scan: Any) -> float:
    """Return the area under the sparsification curve: 0 as by the true errors, 1 as by chance."""
    curve, best = (np.mean(scan[name]) for name in ("sparsification", "oracle"))
    return float((curve - best) / (scan["oracle"][0] - best))


def main(argv: list[str] | None = None) -> int:
    """Measure all scans and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True, help="folder of the cohort")
    parser.add_argument("--train", type=int, default=6, help="training subjects to learn from")
    parser.add_argument("--methods", nargs="+", default=list(make_methods(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    command = shlex.join(["python", "-m", "benchmarks.intervals", *(argv or sys.argv[1:])])
    run = Measurement(cohorts.load_cohort(args.cohort), args.train, args.output, args.seed)
    for method in args.methods:
        model = run.fit(method)
        for subject in run.calibration:
            run.measure(method, model, "train", subject)
        for name in SETS:
            for subject in run.test:
                run.measure(method, model, name, subject)
            print(method, name, flush=True)
        text = report(run, args.methods[: args.methods.index(method) + 1], command)
        (args.output / "intervals.md").write_text(text)
    draw_sparsification(run, args.methods, "ind1").savefig(
        args.output / "sparsification.png", dpi=110
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
