"""Measure how often check_scan is right, and what back-projection does to enhancements.

    python -m benchmarks.checks --data ../shared/data --cohort ds002748 oasis --output OUT

A ridge regression learns from simulated scans of training subjects of a cohort, and thereby what
these scans are like. Then scans are checked by it:

- in distribution: ``ind1`` of test subjects,
- the other distributions of SNR, and the families of shifts of ``benchmarks.paper.shifts``, of test
  subjects,
- T1w, T2w and FLAIR scans of people with multiple sclerosis, whole heads, and real scans at
  0.055 T. Except for the latter, slices are made by ``degrade`` along the same anatomical direction
  as in training, and each scan is drawn several times with Gaussian noise of 1 to 4 % of its unit
  of intensity.

The table has the part of the scans that is refused and doubted by the fixed limits, and the part
that is further away than 95 % of the scans in distribution: the sensitivity at a false alarm of
5 %. The area under the ROC curve compares the distances with those in distribution. A second table
has the agreement with the scan before and after back-projection, with NRMSE after the best gain and
the coherence above the Nyquist frequency of the scan. Results are written after each step, so that
a run can be stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from benchmarks.cohorts import load_cohort
from benchmarks.paper.shifts import FAMILIES, SETS, SimulatedSet, seed_of, simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import AnyGridIQT, IntensityCurveIQT, InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.checks import check_scan
from sklearn_iqt.io import load_volume, replaced_file
from sklearn_iqt.io._orientation import axis_codes, same_axes
from sklearn_iqt.metrics import coherence, data_consistency, nrmse
from sklearn_iqt.preprocessing import intensity_scale
from sklearn_iqt.simulation import back_project, degrade

TRAINING = SimulatedSet("train", snr="t1w_036t")
PRESETS = ("ind2", "ulf_measured", "low_contrast", "inverted", "noisy")
SCALE = (1, 1, 4)
# A distance that stands for an infinite one in rankings.
_FAR = 1e6


def real_scans(data, direction, draws, seed):
    """Yield the group, the name and the scan of real scans with slices along a direction."""
    groups = [(f"{kind} (lesions)", f"lesions/*_{kind}.nii.gz") for kind in ("T1w", "T2w", "FLAIR")]
    for group, pattern in [*groups, ("whole head T1w", "heads/*_T1w.nii.gz")]:
        for path in sorted(data.glob(pattern)):
            image = load_volume(path)
            axis = same_axes(axis_codes(image.affine)).index(direction)
            scale = [4 if n == axis else 1 for n in range(3)]
            low = degrade(image, scale=scale, thickness=3)
            voxels = np.asarray(low.dataobj, np.float32)
            for draw in range(draws):
                rng = np.random.default_rng(seed_of(seed, path.name, draw))
                size = intensity_scale(voxels) * rng.uniform(0.01, 0.04)
                noisy = voxels + (voxels != 0) * rng.normal(0, size, voxels.shape)
                scan = nibabel.Nifti1Image(noisy.astype(np.float32), low.affine)
                yield group, f"{path.name} draw {draw}", scan
    for path in sorted(data.glob("heads/*inplaneT2.nii.gz")):
        yield "whole head T2w", path.name, load_volume(path)
    for path in sorted(data.glob("lowfield/*0p055T*.nii.gz")):
        yield "real 0.055 T, 4 slices", path.name, load_volume(path)


def simulated_scans(cohort, subjects, few, draws, seed):
    """Yield the group, the name and the scan of test subjects."""
    families = {name: (name,) for name in PRESETS} | FAMILIES
    plans = [("in distribution", "ind1", s, d) for s in subjects for d in range(draws)]
    plans += [
        (family, name, s, 0) for family, names in families.items() for name in names for s in few
    ]
    loaded = {}
    for group, name, subject, draw in plans:
        if subject not in loaded:
            loaded = {subject: cohort.load(subject)}
        pair = simulate_set(
            SETS[name], *loaded[subject], cohort=cohort.name, subject=subject, draw=draw, seed=seed
        )
        label = f"{family_of(group, name)}"
        yield label, f"{subject} {name} draw {draw}", pair.low


def family_of(group, name):
    """Return the name of a group of scans."""
    return {"thick_axis": "another slice direction"}.get(
        group, name if group in FAMILIES else group
    )


def summarize(rows):
    """Return the table of verdicts, for the rows of one cohort."""
    by_group = {}
    for row in rows:
        by_group.setdefault(row["group"], []).append(row)
    inside = [min(row["distance"], _FAR) for row in by_group.get("in distribution", [])]
    limit = float(np.percentile(inside, 95)) if inside else np.inf
    table = []
    for group, found in by_group.items():
        distances = [min(row["distance"], _FAR) for row in found]
        verdicts = [row["verdict"] for row in found]
        is_shift = group != "in distribution" and inside
        labels = [0] * len(inside) + [1] * len(distances)
        table.append(
            [
                group,
                len(found),
                f"{100 * verdicts.count('refuse') / len(found):.0f} %",
                f"{100 * verdicts.count('caution') / len(found):.0f} %",
                f"{100 * np.mean([d > limit for d in distances]):.0f} %",
                f"{roc_auc_score(labels, inside + distances):.2f}" if is_shift else "",
                ", ".join(dict.fromkeys(topic for row in found for topic in row["topics"])),
            ]
        )
    header = ["scans", "n", "refused", "doubted", "found at 5 % false alarm", "ROC area", "reasons"]
    return format_table(header, table)


def check_cohort(data, name, args, results, write):
    """Check scans by a model that learned from a cohort, and correct its enhancements."""
    cohort = load_cohort(data / name)
    training = [
        simulate_set(TRAINING, *cohort.load(s), cohort=name, subject=s, seed=args.seed)
        for s in cohort.split["train"][: args.train]
    ]
    low, high = [pair.low for pair in training], [pair.high for pair in training]
    models = {
        "interpolation": InterpolationIQT(),
        "intensity curve": IntensityCurveIQT(),
        "ridge": PatchwiseRegressor(max_patches=20_000, random_state=args.seed),
    }
    for model in models.values():
        model.fit(low, high)
    checker = AnyGridIQT(FrozenEstimator(models["ridge"]))
    direction = same_axes(axis_codes(low[0].affine))[2]
    del training, low, high
    print(f"{name}: learned from {args.train} subjects", flush=True)
    test = cohort.split["test"]
    scans = [
        real_scans(data, direction, args.draws, args.seed),
        simulated_scans(cohort, test, test[: args.few], args.draws, args.seed),
    ]
    for source in scans:
        for group, scan_name, scan in source:
            check = check_scan(scan, checker)
            results["checks"].append(
                {
                    "cohort": name,
                    "group": group,
                    "scan": scan_name,
                    "verdict": check.verdict,
                    "distance": check.distance if np.isfinite(check.distance) else _FAR,
                    "topics": [finding.topic for finding in check.findings],
                }
            )
            write()
    for subject in test[: args.few]:
        for set_name in ("ind1", "ulf_measured"):
            pair = simulate_set(
                SETS[set_name], *cohort.load(subject), cohort=name, subject=subject, seed=args.seed
            )
            truth = pair.high.get_fdata(dtype=np.float32)
            scan = pair.low.get_fdata(dtype=np.float32)
            for method, model in models.items():
                (plain,) = model.predict([scan])
                for kind, volume in (("before", plain), ("after", back_project(scan, plain))):
                    results["consistency"].append(
                        {
                            "cohort": name,
                            "subject": subject,
                            "set": set_name,
                            "method": method,
                            "kind": kind,
                            "ratio": data_consistency(scan, volume).ratio,
                            "nrmse": float(nrmse(truth, volume, mask=truth > 0, match="gain")),
                            "coherence": float(coherence(truth, volume, mask=truth > 0)),
                        }
                    )
            write()


def tables(results):
    """Return both tables of all cohorts as text."""
    parts = []
    for name in dict.fromkeys(row["cohort"] for row in results["checks"]):
        rows = [row for row in results["checks"] if row["cohort"] == name]
        parts.append(f"## {name}: check_scan\n\n{summarize(rows)}")
    groups = {}
    for row in results["consistency"]:
        key = (row["cohort"], row["set"], row["method"])
        groups.setdefault(key, {}).setdefault(row["kind"], []).append(row)
    lines = [
        [
            *key,
            *(
                f"{np.mean([r[m] for r in kinds['before']]):{style}} → "
                f"{np.mean([r[m] for r in kinds['after']]):{style}}"
                for m, style in (("ratio", ".2f"), ("nrmse", ".4f"), ("coherence", ".3f"))
            ),
        ]
        for key, kinds in groups.items()
    ]
    header = ["cohort", "set", "method", "difference / noise", "NRMSE after gain", "coherence"]
    parts.append(f"## Back-projection, before → after\n\n{format_table(header, lines)}")
    return "\n\n".join(parts)


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the cohorts")
    parser.add_argument("--cohort", nargs="+", default=["ds002748"], help="folders of cohorts")
    parser.add_argument("--train", type=int, default=8, help="training subjects (default: 8)")
    parser.add_argument(
        "--few", type=int, default=2, help="test subjects of each shift (default: 2)"
    )
    parser.add_argument("--draws", type=int, default=2, help="draws of a scan (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    args = parser.parse_args(argv)
    started = time.perf_counter()
    results = {"date": date.today().isoformat(), "seed": args.seed, "checks": [], "consistency": []}

    def write():
        args.output.mkdir(parents=True, exist_ok=True)
        with replaced_file(args.output / "checks.json") as stream:
            stream.write(json.dumps(results, indent=1).encode())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in args.cohort:
            check_cohort(args.data, name, args, results, write)
    text = tables(results)
    with replaced_file(args.output / "checks.md") as stream:
        stream.write(f"{text}\n".encode())
    print(text)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
