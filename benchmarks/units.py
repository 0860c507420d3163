"""Measure which intensity units and which targets bright voxels and foreign gains do not move.

    python -m benchmarks.units statistics --cohort ../shared/data/oasis
    python -m benchmarks.units targets --cohort ../shared/data/oasis
    python -m benchmarks.units tissues --cohort ../shared/data/oasis

Models learn from training subjects and are scored on validation subjects. Test subjects are not
used. Low volumes are simulated with the training distribution of the simulator.

``statistics`` compares statistics that could be the unit. Vessels, 3 to 8 times as bright as white
matter, are drawn into one half of the low volumes, or one voxel is set to 1e9. The tables have the
unit relative to the unit without bright voxels, the Dice coefficient of the foreground with and
without them, and the NRMSE in the brain of the other half. The last columns have the unit in a mask
of the brain, and in a crop without air, relative to the unit of the whole volume.

``targets`` compares the two values of ``target_unit``: with the unchanged high volumes, and with
high volumes that are multiplied by different gains, between 0.5 and 2. The NRMSE in the brain
is given without and with matching the gain of the prediction to the truth.

``tissues`` counts the warnings of ``TissueScaler`` on high volumes, on crops that leave out a part
of them at each end of each axis, and on low volumes of all distributions of the simulator.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import ExitStack
from unittest import mock

import numpy as np
from scipy import ndimage
from sklearn.base import clone
from sklearn.linear_model import Ridge

from benchmarks.cohorts import load_cohort
from benchmarks.tables import format_row, format_spread, format_table
from sklearn_iqt import (
    CoupledDictionaryIQT,
    InterpolationIQT,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
    TissueScaler,
)
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.simulation import SNR_PRESETS

SCALE = (1, 1, 4)
# Share of the brain that is bright, in percent, or one wild voxel.
BRIGHT = (0.0, 0.1, 0.5, 1.0, 2.0, "one voxel")


def above_mean(volume, *, threshold="mean", fill_holes=True):
    """Return the voxels at or above the plain mean, the rule that one voxel can move."""
    inside = volume >= min(volume.mean(dtype=np.float64), volume.max())
    return ndimage.binary_fill_holes(inside) if fill_holes else inside


def mode(foreground):
    """Return the most frequent intensity, from a smoothed histogram."""
    counts, edges = np.histogram(foreground, np.linspace(0, 2 * np.median(foreground), 129))
    peak = ndimage.gaussian_filter1d(counts.astype(float), 3).argmax()
    return (edges[peak] + edges[peak + 1]) / 2


def percentile(q):
    """Return a function that computes a percentile."""
    return lambda foreground: np.percentile(foreground, q)


# A rule for the foreground, and a statistic of it.
STATISTICS = {
    "percentile 99.5 above the plain mean": (above_mean, percentile(99.5)),
    "percentile 99.5": (foreground_mask, percentile(99.5)),
    "percentile 95": (foreground_mask, percentile(95)),
    "percentile 90": (foreground_mask, percentile(90)),
    "percentile 75": (foreground_mask, percentile(75)),
    "median": (foreground_mask, percentile(50)),
    "mode": (foreground_mask, mode),
}
ESTIMATORS = {
    "ridge": PatchwiseRegressor(Ridge(), random_state=0),
    "srep": CoupledDictionaryIQT(
        64, patcher=PatchTransformer(7, stride=4), max_patches=10_000, random_state=0
    ),
}


def simulate(cohort, part, n_subjects, seed):
    """Return low and high volumes and the brains of the first subjects of a part."""
    pairs = [cohort.load(subject) for subject in cohort.split[part][:n_subjects]]
    volumes = [np.asarray(image.dataobj, np.float32) for image, _ in pairs]
    simulated = LowFieldSimulator("t1w_036t", scale=SCALE, random_state=seed).simulate(
        volumes, [labels for _, labels in pairs]
    )
    labels = [
        labels[..., : high.shape[2]]
        for (_, labels), high in zip(pairs, simulated.high, strict=True)
    ]
    return simulated.low, simulated.high, labels


def draw_vessels(brain, fraction, rng):
    """Draw tubes of radius 2 voxels into the first half of a brain, up to a share of its voxels."""
    half = brain.shape[0] // 2 - 10
    start = np.argwhere(brain[:half])
    ball = np.argwhere(np.linalg.norm(np.indices((5, 5, 5)) - 2, axis=0) <= 2) - 2
    vessels = np.zeros(brain.shape, bool)
    while vessels.sum() < fraction * brain.sum():
        place, direction = start[rng.integers(len(start))].astype(float), rng.normal(size=3)
        for _ in range(60):
            voxels = np.clip(np.rint(place).astype(int) + ball, 0, np.subtract(brain.shape, 1))
            vessels[tuple(voxels[voxels[:, 0] < half].T)] = True
            direction += 0.3 * np.linalg.norm(direction) * rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            place += direction
            if vessels.sum() >= fraction * brain.sum():
                break
    return vessels & brain


def brighten(low, labels, bright, seed):
    """Return a low volume with vessels or with one wild voxel in its first half."""
    rng, volume = np.random.default_rng(seed), low.copy()
    if bright == "one voxel":
        volume[low.shape[0] // 4, low.shape[1] // 2, low.shape[2] // 2] = 1e9
    elif bright:
        blocks = (*low.shape, SCALE[2])
        vessels = draw_vessels(labels > 0, bright / 100, rng).reshape(blocks).mean(axis=-1)
        white = np.median(low[(labels == 3).reshape(blocks).all(axis=-1)])
        field = ndimage.gaussian_filter(rng.normal(size=low.shape), 5)
        factor = 3 + 5 * (field - field.min()) / np.ptp(field)
        volume += (vessels * (factor * white - low)).astype(low.dtype)
    return volume


def dice(first, second):
    """Return the Dice coefficient of two masks."""
    return 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())


def statistics_of_units(cohort, n_train, n_validation, seed, estimators):
    """Print the tables of ``statistics``."""
    low, high, _ = simulate(cohort, "train", n_train, seed)
    scans, truths, labels = simulate(cohort, "validation", n_validation, seed + 100)
    bright_scans = {
        bright: [brighten(*pair, bright, seed) for pair in zip(scans, labels, strict=True)]
        for bright in BRIGHT
    }
    columns = [f"{bright} %" if isinstance(bright, float) else bright for bright in BRIGHT]
    rows = {kind: [] for kind in ("unit", "dice", *estimators)}
    for name, (rule, statistic) in STATISTICS.items():
        inside = [rule(scan, fill_holes=False) for scan in scans]
        units = [statistic(scan[mask]) for scan, mask in zip(scans, inside, strict=True)]
        changes, overlaps = [], []
        for bright in BRIGHT:
            masks = [rule(scan, fill_holes=False) for scan in bright_scans[bright]]
            changes.append(
                np.mean(
                    [
                        statistic(scan[mask]) / unit
                        for scan, mask, unit in zip(bright_scans[bright], masks, units, strict=True)
                    ]
                )
            )
            overlaps.append(np.mean([dice(*pair) for pair in zip(masks, inside, strict=True)]))
        brains = [
            label.reshape(*scan.shape, SCALE[2]).any(axis=-1)
            for label, scan in zip(labels, scans, strict=True)
        ]
        in_brain = [statistic(scan[brain]) for scan, brain in zip(scans, brains, strict=True)]
        crops = [scan[tuple(slice(n // 4, -n // 4) for n in scan.shape)] for scan in scans]
        in_crop = [statistic(crop[rule(crop, fill_holes=False)]) for crop in crops]
        spread = [
            statistic(h[rule(h, fill_holes=False)]) / statistic(v[rule(v, fill_holes=False)])
            for v, h in zip(low, high, strict=True)
        ]
        other = [np.mean(np.divide(values, units)) for values in (in_brain, in_crop)]
        spread = np.std(spread) / np.mean(spread)
        rows["unit"].append([name, *map(float, [*changes, *other, spread])])
        rows["dice"].append([name, *map(float, overlaps)])
        # The same scale for all statistics, so that the parameters of the estimators fit all.
        factor = np.mean(
            [
                np.percentile(v[above_mean(v)], 99.5) / statistic(v[rule(v, fill_holes=False)])
                for v in low
            ]
        )
        for estimator in estimators:
            model = ESTIMATORS[estimator]
            with ExitStack() as replaced:
                use(replaced, rule, statistic, factor)
                model.fit(low, high)
                errors = [
                    nrmse(truths, model.predict(bright_scans[bright]), mask=far_halves(labels))
                    for bright in BRIGHT
                ]
            rows[estimator].append([name, *errors])
            print(format_row([estimator, *rows[estimator][-1]]), flush=True)
    print("\nUnit relative to the unit without bright voxels\n")
    header = ["unit", *columns, "in a mask", "in a crop", "spread of high / low"]
    print(format_table(header, rows["unit"]))
    print("\nDice coefficient of the foreground\n")
    print(format_table(["unit", *columns], rows["dice"]))
    for estimator in estimators:
        print(f"\nNRMSE of {estimator} in the other half\n")
        print(format_table(["unit", *columns], rows[estimator]))


def units_of_targets(cohort, n_train, n_validation, seed, estimators):
    """Print the table of ``targets``."""
    low, high, _ = simulate(cohort, "train", n_train, seed)
    scans, truths, labels = simulate(cohort, "validation", n_validation, seed + 100)
    brains = [label > 0 for label in labels]
    rng = np.random.default_rng(seed)
    gains = 2 ** rng.uniform(-1, 1, size=n_train + n_validation)
    models = {"interpolation": InterpolationIQT()} | {
        f"{name}, {unit}": clone(ESTIMATORS[name]).set_params(target_unit=unit)
        for name in estimators
        for unit in ("own", "low")
    }
    print("gains", gains.round(2))
    print(format_table(["model", "same gain", "matched", "own gains", "own gains, matched"]))
    for name, model in models.items():
        errors = []
        for factors in (np.ones_like(gains), gains):
            targets, true = (
                [np.float32(gain) * volume for gain, volume in zip(part, volumes, strict=True)]
                for part, volumes in ((factors[:n_train], high), (factors[n_train:], truths))
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # units differ on purpose
                predicted = model.fit(low, targets).predict(scans)
            errors += [nrmse(true, predicted, mask=brains, match=m) for m in ("none", "gain")]
        print(format_row([name, *map(float, errors)]), flush=True)


def warnings_of_tissues(cohort, n_train, n_validation, seed, estimators):
    """Print the table of ``tissues``."""
    subjects = cohort.split["train"][:n_train] + cohort.split["validation"][:n_validation]
    found = {}
    for subject in subjects:
        image, labels = cohort.load(subject)
        high = np.asarray(image.dataobj, np.float32)
        scans = {"high": high}
        for part in (16, 10, 7, 5, 4):
            box = tuple(slice(n // part, -(n // part)) for n in high.shape)
            scans[f"high, without 1/{part}"] = high[box]
        for name in SNR_PRESETS:
            simulator = LowFieldSimulator(name, scale=SCALE, random_state=seed)
            scans[name] = simulator.simulate([high], [labels]).low[0]
        for name, scan in scans.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                _, grey, white = TissueScaler().tissue_means(scan)
            found.setdefault(name, []).append((white / grey, bool(caught)))
    print(format_table(["scan", "scans", "WM/GM", "warnings"]))
    for name, results in found.items():
        ratios, warned = zip(*results, strict=True)
        print(format_row([name, len(ratios), format_spread(ratios, ".2f"), sum(warned)]))


def use(stack, rule, statistic, factor):
    """Replace the rule and the statistic of the package until the stack is closed."""

    def unit(volume, mask=None):
        inside = rule(volume, fill_holes=False) if mask is None else mask
        return factor * float(statistic(volume[inside]))

    for module in ("_source", "_prediction", "_sampling"):
        stack.enter_context(mock.patch(f"sklearn_iqt.patches.{module}.foreground_mask", rule))
    stack.enter_context(mock.patch("sklearn_iqt.patches._source.intensity_scale", unit))


def far_halves(labels):
    """Return the brain in the half without bright voxels."""
    halves = [label > 0 for label in labels]
    for half in halves:
        half[: half.shape[0] // 2 + 2] = False
    return halves


def main(argv=None):
    """Run a study from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=["statistics", "targets", "tissues"])
    parser.add_argument("--cohort", required=True, help="folder of a cohort with label maps")
    parser.add_argument("--train", type=int, default=4, help="training subjects (default: 4)")
    parser.add_argument(
        "--validation", type=int, default=2, help="validation subjects (default: 2)"
    )
    parser.add_argument("--estimator", nargs="+", choices=ESTIMATORS, default=["ridge"])
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    args = parser.parse_args(argv)
    studies = {
        "statistics": statistics_of_units,
        "targets": units_of_targets,
        "tissues": warnings_of_tissues,
    }
    studies[args.study](
        load_cohort(args.cohort), args.train, args.validation, args.seed, args.estimator
    )


if __name__ == "__main__":
    main()
