"""Choose settings by grid searches on training and validation subjects.

    python -m benchmarks.studies --cohort ../shared/data/ds002748 --output results/studies/cc0
    python -m benchmarks.studies --cohort ... --studies features alpha --output ...

Each study is a ``GridSearchCV`` over parameters of the estimators. Test subjects are not used.
Models are fitted to the training subjects, degraded by the training distribution, and scored on the
validation subjects, degraded by each test distribution. With ``--folds``, training and validation
subjects together are split into folds. Finished studies are kept with a record of their code,
cohort and options, and are not run again. ``report.md`` shows all of them. Scores are NRMSE (eq. 7)
and SSIM inside the brain and over the volume.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from benchmarks.code import describe_code
from benchmarks.cohorts import load_cohort
from benchmarks.paper.pairs import write_json
from benchmarks.paper.shifts import SETS, SimulatedSet, simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import (
    AnisoUNetRegressor,
    CoupledDictionaryIQT,
    InterpolationIQT,
    PatchwiseRegressor,
)
from sklearn_iqt.io import replaced_file
from sklearn_iqt.metrics import nrmse, ssim
from sklearn_iqt.patches import PatchTransformer
from sklearn_iqt.preprocessing import NyulScaler, TissueScaler
from sklearn_iqt.simulation import RatioSNR

# Endings of the columns of scores.
METRICS = (" NRMSE", " SSIM (brain)", " SSIM")
TEST_SETS = ("ind1", "ind2", "low_contrast", "noisy", "ulf_measured")
# A distribution that covers the contrast and the noise of every test set.
WIDE = RatioSNR(ratio=(0.95, 1.75), snr_wm=(15.0, 85.0))
SREP = CoupledDictionaryIQT(
    256,
    features="gradient",
    n_components=0.9,
    max_patches=40_000,
    n_jobs=-1,
    random_state=0,
)
INTENSITY = {"enhance__features": ["intensity"], "enhance__n_components": [0.99]}
FOREST = PatchwiseRegressor(
    ExtraTreesRegressor(30, min_samples_leaf=10, n_jobs=-1, random_state=0),
    max_patches=30_000,
    random_state=0,
)
UNET = AnisoUNetRegressor(
    8, 4, max_steps=200, batch_size=16, lr_milestones=(0.5, 0.75, 0.9), random_state=0
)
SCALERS = ["passthrough", NyulScaler(keep_units=True), TissueScaler()]


def pipeline(estimator=SREP):
    """Return a pipeline of a scaler and an estimator, whose parameters are searched."""
    return Pipeline([("standardize", "passthrough"), ("enhance", estimator)])


# Each study has an estimator, a grid, and options of the simulation of training and test pairs.
STUDIES = {
    "features": (
        pipeline(),
        [
            {"enhance__features": ["gradient"], "enhance__n_components": [0.9, 0.99]},
            {"enhance__features": ["intensity"], "enhance__n_components": [0.9, 0.99, 0.999]},
            {"enhance__features": ["both"], "enhance__n_components": [0.9, 0.99, 0.999]},
        ],
        {},
    ),
    "alpha": (pipeline(), [{**INTENSITY, "enhance__alpha": [0.003, 0.01, 0.03, 0.1]}], {}),
    "standardize": (pipeline(), [{**INTENSITY, "standardize": SCALERS}], {}),
    "alpha-gradient": (pipeline(), [{"enhance__alpha": [0.01, 0.03]}], {}),
    "standardize-gradient": (pipeline(), [{"standardize": SCALERS}], {}),
    "standardize-forest": (pipeline(FOREST), [{"standardize": SCALERS[::2]}], {}),
    "target": (
        pipeline(),
        [{**INTENSITY, "enhance__target": ["residual", "mean_removed"]}],
        {},
    ),
    "wide": (
        pipeline(),
        [{**INTENSITY, "standardize": SCALERS[::2]}],
        {"snr": WIDE},
    ),
    # Three combinations of the alignments of simulation and interpolation.
    "corner": (
        pipeline(),
        [
            {
                "enhance": [InterpolationIQT(), SREP],
                "enhance__alignment": ["corner", "center"],
            }
        ],
        {"alignment": "corner"},
    ),
    "center": (
        pipeline(),
        [{"enhance": [InterpolationIQT(), SREP], "enhance__alignment": ["center"]}],
        {},
    ),
    "global-skip": (pipeline(UNET), [{"enhance__global_skip": [False, True]}], {}),
    "patch": (
        pipeline(),
        [
            {
                **INTENSITY,
                "enhance__patcher": [
                    PatchTransformer(5, 2),
                    PatchTransformer(7, 3),
                    PatchTransformer((5, 5, 9), (2, 2, 4)),
                    PatchTransformer((5, 5, 13), (2, 2, 4)),
                    PatchTransformer(9, 4),
                ],
            },
        ],
        {},
    ),
}


def make_scorer(n_subjects):
    """Return a scorer for volumes of all test sets, ``n_subjects`` for each set in turn."""

    def score(estimator, low, high):
        estimates = estimator.predict(low)
        scores = {}
        for number, name in enumerate(TEST_SETS):
            part = slice(number * n_subjects, (number + 1) * n_subjects)
            pairs = list(zip(high[part], estimates[part], strict=True))
            scores[f"{name} NRMSE"] = np.mean([nrmse(t, e) for t, e in pairs])
            inside = [ssim(t, e, mask=np.asarray(t != 0)) for t, e in pairs]
            scores[f"{name} SSIM (brain)"] = np.mean(inside)
            scores[f"{name} SSIM"] = np.mean([ssim(t, e) for t, e in pairs])
        return scores

    return score


def run_study(cohort, estimator, grid, simulation, *, folds, seed):
    """Return a table with the parameters and mean scores of each candidate."""
    parts = [(subject, part) for part in ("train", "validation") for subject in cohort.split[part]]
    loaded = [(subject, *cohort.load(subject)) for subject, _ in parts]
    options = {k: v for k, v in simulation.items() if k != "snr"}
    training = SimulatedSet("train", snr=simulation.get("snr", "t1w_036t"))
    pairs = [
        simulate_set(
            simulated, image, labels, cohort=cohort.name, subject=subject, seed=seed, **options
        )
        for simulated in (training, *(SETS[name] for name in TEST_SETS))
        for subject, image, labels in loaded
    ]
    # Volume n of set s is at position s * len(parts) + n. The first set is for training.
    low = [np.asanyarray(pair.low.dataobj) for pair in pairs]
    high = [np.asanyarray(pair.high.dataobj) for pair in pairs]
    subjects = np.arange(len(parts))
    if folds == 1:
        held_out = np.array([part == "validation" for _, part in parts])
        splits = [(subjects[~held_out], subjects[held_out])]
    else:
        splits = list(GroupKFold(folds).split(subjects, groups=subjects))
    test_sets = len(parts) * (1 + np.arange(len(TEST_SETS)))
    cv = [(train, np.add.outer(test_sets, test).ravel()) for train, test in splits]
    rows = []
    for (_, test), one_split in zip(splits, cv, strict=True):
        search = GridSearchCV(
            estimator,
            grid,
            scoring=make_scorer(len(test)),
            cv=[one_split],
            refit=False,
            verbose=3,
            error_score="raise",
        ).fit(low, high)
        rows.append(pd.DataFrame(search.cv_results_))
    scores = [name for name in rows[0] if name.startswith("mean_")]
    table = rows[0][[name for name in rows[0] if name.startswith("param_")]].astype(str)
    means = sum(frame[scores] for frame in rows) / len(rows)
    return table.join(means.rename(columns=lambda name: name.removeprefix("mean_test_")))


def write_report(output, options):
    """Write a report with the tables of all finished studies, their commands and code."""
    sections = []
    for name in STUDIES:
        file, record = output / f"{name}.csv", output / f"{name}.json"
        if file.exists():
            made = check_options(file, record, options)
            table = pd.read_csv(file)
            settings = table[[c for c in table if c.startswith("param_")]].fillna("").astype(str)
            # A row of a table is one line, but estimators print over several lines.
            settings = settings.replace(r"\s+", " ", regex=True)
            settings = settings.rename(columns=lambda c: c.removeprefix("param_").split("__")[-1])
            scores = [c for metric in METRICS for c in table if c.endswith(metric)]
            table = settings.join(table[scores]).astype(object)
            sections.append(
                f"## {name}\n\n`{made['command']}`, {made['date']}, source {made['source']}.\n\n"
                f"{format_table(list(table), table.values.tolist())}"
            )
    checksum = options["cohort_checksum"][:12]
    title = f"# Studies on {options['cohort']}\n\nCohort checksum {checksum}."
    (output / "report.md").write_text("\n\n".join([title, *sections]) + "\n")


def check_options(file, record, options):
    """Return the record of a finished study; refuse one with another cohort, seed or split."""
    if not record.exists():
        raise SystemExit(f"{file} has no record {record.name}. Choose another --output.")
    made = json.loads(record.read_text())
    changed = [key for key in options if made.get(key) != options[key]]
    if changed:
        raise SystemExit(
            f"{file} was made with other values of {', '.join(changed)}. Choose another --output."
        )
    return made


def main(argv=None):
    """Run the studies from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True, help="folder of the cohort")
    parser.add_argument(
        "--studies", nargs="+", choices=STUDIES, default=list(STUDIES), help="all by default"
    )
    parser.add_argument(
        "--folds", type=int, default=1, help="number of folds; 1 uses the split of the cohort"
    )
    parser.add_argument("--seed", type=int, default=100, help="of the simulation")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    arguments = parser.parse_args(argv)
    cohort = load_cohort(arguments.cohort)
    arguments.output.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "benchmarks.studies", *(argv or sys.argv[1:])])
    options = {
        "cohort": cohort.name,
        "cohort_checksum": cohort.checksum(),
        "folds": arguments.folds,
        "seed": arguments.seed,
    }
    for name in arguments.studies:
        file, record = arguments.output / f"{name}.csv", arguments.output / f"{name}.json"
        if file.exists():
            check_options(file, record, options)
            continue
        made = {**options, "command": command, **describe_code()}
        table = run_study(cohort, *STUDIES[name], folds=arguments.folds, seed=arguments.seed)
        write_json(record, made)
        with replaced_file(file) as stream:
            stream.write(table.to_csv(index=False).encode())
        print(f"{name} ({made['date']}, {command})\n{table.to_string()}", flush=True)
        write_report(arguments.output, options)


if __name__ == "__main__":
    main()
