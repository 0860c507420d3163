"""Tables and figures of an experiment, from its stored scores and predictions."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.paper.cell import METRICS
from benchmarks.paper.config import Cell, list_cells
from benchmarks.paper.figures import draw_figures
from benchmarks.tables import format_table
from sklearn_iqt.metrics import mean_scores
from sklearn_iqt.metrics._table import format_csv

__all__ = ["write_report"]

# (NRMSE, SSIM) of Table 1 of the paper. Its out-of-distribution set changes contrast and noise
# together, ours change them separately.
PAPER_1 = {
    "ind1": {
        "interpolation": (0.257, 0.698),
        "IQT-SRep": (0.240, 0.711),
        "IQT-DDL": (0.126, 0.792),
        "IQT-DL": (0.096, 0.869),
    },
    "ind2": {
        "interpolation": (0.328, 0.612),
        "IQT-SRep": (0.319, 0.641),
        "IQT-DDL": (0.238, 0.732),
        "IQT-DL": (0.258, 0.724),
    },
    "ood": {
        "interpolation": (0.469, 0.585),
        "IQT-SRep": (0.450, 0.632),
        "IQT-DDL": (0.435, 0.642),
        "IQT-DL": (0.455, 0.630),
    },
}
PAPER_TIMES = (
    "In the paper, with MATLAB on a laptop, learning a dictionary takes 25 min (150 atoms) to "
    "80 min (1024 atoms), and reconstruction 7 to 50 min a volume. IQT-DDL takes 4 to 7 min a "
    "volume (64 and 128 atoms)."
)
CONFIDENCE = 0.95
KEYS = ("method", "test_set")
Means = dict[tuple[str, str], dict[str, Any]]
REFERENCE = "interpolation"


def write_report(output: Path, *, figures: bool = True) -> str:
    """Write the tables, figures and report of an experiment, and return the report.

    Parameters
    ----------
    output : Path
        Folder of the experiment.
    figures : bool
        Whether to draw figures. They show brains, so check the licence of the cohort.

    Returns
    -------
    str
        Report in Markdown, which is also in ``report.md``. The scores of each subject are in
        ``scores.csv``, the paired differences in ``differences.csv``.
    """
    manifest = json.loads((output / "manifest.json").read_text())
    cells = list_cells(manifest["profile"])
    results = {cell: _load(output, cell) for cell in cells}
    scores = _score_rows(results)
    (output / "scores.csv").write_text(format_csv(scores))
    means = {(row["method"], row["test_set"]): row for row in mean_scores(scores, KEYS)}
    # Differences are "second minus first", so the reference comes first.
    named = sorted((c for c in cells if not c.column), key=lambda cell: cell.name != REFERENCE)
    methods = {cell.name: results[cell] for cell in named}
    differences = _difference_rows(methods)
    (output / "differences.csv").write_text(format_csv(differences))
    sections = [
        _heading(output, manifest),
        _missing(output, results),
        _summary(list(methods), manifest["profile"]["test_sets"], means),
        _distances(output, manifest["profile"]["test_sets"]),
        _table_1(list(methods), manifest["profile"], means),
        _differences_table(differences, manifest["profile"]["test_sets"]),
        *_variant_tables(manifest["profile"], means),
        _times(output, results),
    ]
    if figures:
        sections.append(draw_figures(output, manifest, cells))
    report = "\n\n".join(section for section in sections if section) + "\n"
    (output / "report.md").write_text(report)
    return report


def _load(output: Path, cell: Cell) -> dict[str, Any]:
    folder = output / "cells" / cell.folder
    files = {name: folder / f"{name}.json" for name in cell.test_sets}
    return {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}


def _score_rows(results: dict[Cell, dict]) -> list[dict[str, Any]]:
    return [
        {"method": cell.name, "test_set": name, "subject": subject}
        | {metric: result["scores"][metric][n] for metric in METRICS}
        | {"predict_s": result["predict_s"][n]}
        for cell, by_set in results.items()
        for name, result in by_set.items()
        for n, subject in enumerate(result["subjects"])
    ]


def _difference_rows(methods: dict[str, dict]) -> list[dict[str, Any]]:
    """Compare each pair of methods on the same subjects."""
    rows = []
    for first, second in combinations(methods, 2):
        for name in [name for name in methods[first] if name in methods[second]]:
            for metric in METRICS:
                a, b = (np.array(methods[m][name]["scores"][metric]) for m in (first, second))
                interval = (np.nan, np.nan)
                if len(a) > 1 and np.ptp(b - a) > 0:
                    interval = stats.ttest_rel(b, a).confidence_interval(CONFIDENCE)
                rows.append(
                    {
                        "test_set": name,
                        "metric": metric,
                        "method": second,
                        "reference": first,
                        "mean": float(np.mean(b - a)),
                        "low": float(interval[0]),
                        "high": float(interval[1]),
                        "higher_for": int(np.sum(b > a)),
                        "subjects": len(a),
                    }
                )
    return rows


def _heading(output: Path, manifest: dict[str, Any]) -> str:
    options, split = manifest["options"], manifest["split"]
    numbers = ", ".join(f"{len(subjects)} {part}" for part, subjects in split.items())
    runs = manifest["runs"]
    versions = ", ".join(f"{name} {v}" for name, v in runs[-1]["versions"].items())
    commands = "\n".join(f"    {run['command']}" for run in runs)
    records = [json.loads(f.read_text()) for f in (output / "cells").glob("*/*.json")]
    if len({record["source"] for record in records if "source" in record}) > 1:
        versions += "; **cells were fitted or scored by different versions of the source**"
    return (
        f"# The paper's experiment on {options['cohort']}\n\n{numbers} subjects, seed "
        f"{options['seed']}, alignment {options['alignment']}, slice axis "
        f"{options['slice_axis']}, profile {options['profile']}, {runs[0]['date']}; {versions}; "
        f"cohort checksum {manifest['cohort_checksum'][:12]}.\n\n{commands}"
    )


def _missing(output: Path, results: dict[Cell, dict]) -> str:
    missing = [
        f"{cell.name} ({', '.join(sorted(set(cell.test_sets) - set(by_set)))})"
        for cell, by_set in results.items()
        if set(cell.test_sets) - set(by_set)
    ]
    return f"**Missing or failed:** {'; '.join(missing)}." if missing else ""


def _summary(methods: list[str], test_sets: list[str], means: Means) -> str:
    lowest = {
        name: min((means[m, name]["NRMSE"] for m in methods if (m, name) in means), default=np.nan)
        for name in test_sets
    }
    rows = []
    for method in methods:
        row = [method]
        for name in test_sets:
            mean = means.get((method, name))
            shown = "" if mean is None else f"{mean['NRMSE']:.4f}"
            row.append(f"**{shown}**" if shown == f"{lowest[name]:.4f}" else shown)
        rows.append(row)
    header = ["method", *(f"`{name}`" for name in test_sets)]
    return f"## NRMSE\n\nMeans over subjects, the lowest in bold.\n\n{format_table(header, rows)}"


def _distances(output: Path, test_sets: list[str]) -> str:
    rows = []
    for name in test_sets:
        record = json.loads((output / "pairs" / name / "snr.json").read_text())
        white, grey = np.transpose(record["snr_wm_gm"])
        distances = record["mahalanobis"]
        rows.append(
            [
                name,
                len(distances),
                f"{np.min(distances):.1f} to {np.max(distances):.1f}",
                f"{np.min(white / grey):.2f} to {np.max(white / grey):.2f}",
                f"{grey.min():.0f} to {grey.max():.0f}",
            ]
        )
    header = ["test set", "volumes", "Mahalanobis distance", "WM/GM", "SNR of GM"]
    return f"## Test sets\n\n{format_table(header, rows)}"


def _table_1(methods: list[str], profile: dict[str, Any], means: Means) -> str:
    header = ["test set", "method", *METRICS, "paper NRMSE", "paper SSIM"]
    rows = []
    for name in profile["test_sets"]:
        published = PAPER_1.get("ood" if name == profile["out_of_distribution"] else name, {})
        for method in methods:
            if (method, name) in means:
                scores = [means[method, name][metric] for metric in METRICS]
                rows.append([name, method, *scores, *published.get(method, ("", ""))])
    note = (
        "The paper uses another cohort, another normaliser of NRMSE and, for the nets, another "
        "size and length of training. Its out-of-distribution set changes contrast and noise "
        f"together, and is shown in the rows of `{profile['out_of_distribution']}`. Compare the "
        "order of the methods, not the values."
    )
    return f"## Table 1: methods\n\n{format_table(header, rows)}\n\n{note}"


def _differences_table(rows: list[dict[str, Any]], test_sets: list[str]) -> str:
    shown = [
        [
            row["test_set"],
            row["method"],
            row["metric"],
            row["mean"],
            f"{row['low']:.4f} to {row['high']:.4f}",
            f"{row['higher_for']} of {row['subjects']}",
        ]
        for name in test_sets
        for row in rows
        if row["test_set"] == name
        and row["reference"] == REFERENCE
        and row["metric"] in ("NRMSE", "SSIM (brain)")
    ]
    header = ["test set", "method", "metric", "mean", "95 % interval", "higher for"]
    return (
        f"## Paired differences to {REFERENCE}\n\nMeans over subjects, with one training "
        "and one noise pattern for each subject. Intervals are of the t distribution, without a "
        "correction for several comparisons. `differences.csv` has all pairs of methods."
        f"\n\n{format_table(header, shown)}"
    )


def _variant_tables(profile: dict[str, Any], means: Means) -> list[str]:
    sections = []
    tables = profile.get("tables", [])
    for number in sorted({table["number"] for table in tables}):
        columns: dict[str, str] = {}
        for table in tables:
            if table["number"] == number:
                title = table["title"]
                for column, params in table["columns"].items():
                    cell = f"{table['method']} {column}" if params else table["method"]
                    columns[f"{table['method']} {column}"] = cell
        rows = [
            [name, metric]
            + [
                means[cell, name][metric] if (cell, name) in means else ""
                for cell in columns.values()
            ]
            for name in profile["table_sets"]
            for metric in ("NRMSE", "SSIM (brain)", "SSIM")
        ]
        header = ["test set", "metric", *columns]
        sections.append(f"## Table {number}: {title.lower()}\n\n{format_table(header, rows)}")
    return sections


def _times(output: Path, results: dict[Cell, dict]) -> str:
    rows = []
    for cell, by_set in results.items():
        record = output / "cells" / cell.folder / "fit.json"
        if not by_set or not record.exists():
            continue
        fit = json.loads(record.read_text())
        seconds = np.concatenate([result["predict_s"] for result in by_set.values()])
        memory = max(result["peak_memory_gb"] for result in by_set.values())
        rows.append(
            [
                cell.name,
                f"{fit['seconds']:.0f}",
                f"{np.median(seconds):.1f}",
                f"{max(memory, fit['peak_memory_gb']):.2f}",
            ]
        )
    header = ["method", "fit, s", "predict, s a volume (median)", "peak memory, GB"]
    note = "Times are elapsed times, which are too long if other programs ran on the machine."
    return f"## Times and memory\n\n{format_table(header, rows)}\n\n{note} {PAPER_TIMES}"
