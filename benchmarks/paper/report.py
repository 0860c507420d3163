"""Tables and figures of an experiment, from its stored scores and predictions."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.cell import read_records
from benchmarks.paper.config import Cell, list_cells
from benchmarks.paper.endpoints import REFERENCE, draw_table, endpoint_rows, endpoint_section
from benchmarks.paper.figures import draw_endpoints, draw_figures
from benchmarks.paper.measures import ENDPOINTS, MEASURES, measures_of, read_scores, why_not
from benchmarks.tables import format_table
from sklearn_iqt.metrics import mean_scores, paired_differences
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
KEYS = ("method", "test_set")
Means = dict[tuple[str, str], dict[str, Any]]
Rows = list[dict[str, Any]]


def write_report(output: Path, *, draws: int | None = None, figures: bool = True) -> str:
    """Write the tables, figures and report of an experiment, and return the report.

    Parameters
    ----------
    output : Path
        Folder of the experiment.
    draws : int or None
        Number of draws to use; by default those of the last run.
    figures : bool
        Whether to draw figures. They show brains, so check the licence of the cohort.

    Returns
    -------
    str
        Report in Markdown, which is also in ``report.md``. ``scores.csv`` has the measures of each
        scan, ``endpoints.csv`` the endpoints, ``differences.csv`` the paired differences on each
        test set, and ``draws.csv`` the variance between draws.
    """
    manifest = json.loads((output / "manifest.json").read_text())
    # Other draws are left out, so that all methods are compared on the same scans.
    n_draws = manifest["draws"] if draws is None else draws
    profile = {**manifest["profile"], "draws": n_draws}
    cells = list_cells(profile)
    results = {cell: _load(output, cell, n_draws) for cell in cells}
    scores = _score_rows(output, results)
    means = {(row["method"], row["test_set"]): row for row in mean_scores(scores, KEYS)}
    methods = [name for name in profile["methods"] if any(row["method"] == name for row in scores)]
    endpoints = endpoint_rows(scores, methods, profile)
    differences = _difference_rows(scores, methods, profile)
    variances = draw_table(scores, methods, n_draws)
    for name, table in (
        ("scores", scores),
        ("endpoints", endpoints),
        ("differences", differences),
        ("draws", variances),
    ):
        (output / f"{name}.csv").write_text(format_csv(table))
    reasons = {name: why_not(name) for name in ENDPOINTS}
    sections = [
        _heading(output, manifest, n_draws),
        _missing(output, results, scores, reasons),
        endpoint_section(endpoints, reasons),
        _summary(methods, profile["test_sets"], means),
        _distances(output, profile["test_sets"]),
        _table_1(methods, profile, means),
        _differences_table(differences, profile["test_sets"]),
        _draws_section(variances, n_draws),
        *_variant_tables(profile, means),
        _chosen(output, cells),
        _times(output, results),
    ]
    if figures:
        drawn = draw_endpoints(output, profile, scores, methods)
        sections += [drawn, draw_figures(output, manifest, cells)]
    report = "\n\n".join(section for section in sections if section) + "\n"
    (output / "report.md").write_text(report)
    return report


def _load(output: Path, cell: Cell, draws: int) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each test set, if all draws are there."""
    found = {name: read_records(output, cell, name)[:draws] for name in cell.test_sets}
    return {name: records for name, records in found.items() if len(records) == draws}


def _score_rows(output: Path, results: dict[Cell, dict]) -> Rows:
    """Return a row for each scan of each cell. Measures that are not stored are NaN."""
    rows = []
    for cell, by_set in results.items():
        for name, records in by_set.items():
            seconds = {
                (subject, record["draw"]): elapsed
                for record in records
                for subject, elapsed in zip(record["subjects"], record["predict_s"], strict=True)
            }
            for row in read_scores(output, cell, name)["rows"]:
                if (row["subject"], row["draw"]) not in seconds:
                    continue
                values = [row.get(measure) for measure in MEASURES]
                rows.append(
                    {
                        "method": cell.name,
                        "test_set": name,
                        "subject": row["subject"],
                        "draw": row["draw"],
                        "fold": cell.fold,
                        "fit": cell.repeat,
                        **{
                            measure: np.nan if value is None else float(value)
                            for measure, value in zip(MEASURES, values, strict=True)
                        },
                        "predict_s": seconds[row["subject"], row["draw"]],
                    }
                )
    return rows


def _difference_rows(rows: Rows, methods: list[str], profile: dict[str, Any]) -> Rows:
    """Compare methods with each simple method on the same subjects, on each test set."""
    found = []
    for name in profile["test_sets"]:
        here = [row for row in rows if row["test_set"] == name and row["method"] in methods]
        present = {row["method"] for row in here}
        for reference in [name for name in profile["simple"] if name in present]:
            if len(present) > 1:
                compared = paired_differences(here, reference, measures=measures_of(name))
                found += [{"test_set": name, **row} for row in compared if row["n_subjects"]]
    return found


def _heading(output: Path, manifest: dict[str, Any], draws: int) -> str:
    options, folds = manifest["options"], manifest["folds"]
    numbers = (
        f"{sum(map(len, folds))} subjects in {len(folds)} folds, "
        f"{draws} of {manifest['profile']['draws']} draws"
    )
    runs = manifest["runs"]
    versions = ", ".join(f"{name} {v}" for name, v in runs[-1]["versions"].items())
    commands = "\n".join(f"    {run['command']}" for run in runs)
    records = [json.loads(f.read_text()) for f in (output / "cells").glob("*/*.json")]
    if len({record["source"] for record in records if "source" in record}) > 1:
        versions += "; **cells were fitted or measured by different versions of the source**"
    return (
        f"# The paper's experiment on {options['cohort']}\n\n{numbers}, seed "
        f"{options['seed']}, alignment {options['alignment']}, slice axis "
        f"{options['slice_axis']}, profile {options['profile']}, {runs[0]['date']}; {versions}; "
        f"cohort checksum {manifest['cohort_checksum'][:12]}.\n\n{commands}"
    )


def _missing(output: Path, results: dict[Cell, dict], scores: Rows, reasons: dict[str, str]) -> str:
    lines = []
    started = {cell.name for cell in results if (output / "cells" / cell.folder).is_dir()}
    never = dict.fromkeys(cell.name for cell in results if cell.name not in started)
    if never:
        lines.append(f"**Not run:** {', '.join(never)}.")
    cells = [
        f"{cell.folder} ({len(set(cell.test_sets) - set(by_set))} of {len(cell.test_sets)} sets)"
        for cell, by_set in results.items()
        if cell.name in started and set(cell.test_sets) - set(by_set)
    ]
    if cells:
        lines.append(f"**Missing or failed:** {'; '.join(cells)}.")
    for name in MEASURES:
        rows = [row for row in scores if name in measures_of(row["test_set"])]
        count = sum(not np.isfinite(row[name]) for row in rows)
        if count:
            reason = f" ({reasons[name]})" if reasons.get(name) else ""
            lines.append(f"**{name}** is missing for {count} of {len(rows)} results{reason}.")
    failed = [
        f"{cell.folder}: {text}"
        for cell, by_set in results.items()
        for name in by_set
        for text in read_scores(output, cell, name)["failed"]
    ]
    if failed:
        listed = "\n".join(f"- {text}" for text in failed)
        lines.append(f"Measures that are not defined for a result:\n\n{listed}")
    return "\n\n".join(lines)


def _summary(methods: list[str], test_sets: list[str], means: Means) -> str:
    test_sets = [name for name in test_sets if "NRMSE" in measures_of(name)]
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
        records = [
            json.loads(file.read_text())
            for file in sorted((output / "pairs" / name).glob("*_draw*.json"))
        ]
        if not records:
            continue
        white, grey = np.transpose([record["snr_wm_gm"] for record in records])
        distances = [record["mahalanobis"] for record in records]
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
    header = ["test set", "method", "rows", *MEASURES, "paper NRMSE", "paper SSIM"]
    rows = []
    for name in profile["test_sets"]:
        published = PAPER_1.get("ood" if name == profile["paper_set"] else name, {})
        for method in methods:
            if (method, name) in means:
                row = means[method, name]
                scores = [_shown(row[measure]) for measure in MEASURES]
                rows.append(
                    [name, method, row["n_rows"], *scores, *published.get(method, ("", ""))]
                )
    note = (
        "The paper uses another cohort, another normaliser of NRMSE and, for the nets, another "
        "size and length of training. Its out-of-distribution set changes contrast and noise "
        f"together, and is shown in the rows of `{profile['paper_set']}`. Compare the "
        "order of the methods, not the values."
    )
    return f"## Table 1: methods\n\n{format_table(header, rows)}\n\n{note}"


def _differences_table(rows: Rows, test_sets: list[str]) -> str:
    shown = [
        [
            row["test_set"],
            row["method"],
            row["measure"],
            row["difference"],
            f"{row['low']:.4f} to {row['high']:.4f}",
            row["p_holm"],
            row["n_subjects"],
        ]
        for name in test_sets
        for row in rows
        if row["test_set"] == name and row["reference"] == REFERENCE and row["measure"] in ENDPOINTS
    ]
    header = ["test set", "method", "endpoint", "mean", "95 % interval", "p (Holm)", "subjects"]
    return (
        f"## Paired differences to {REFERENCE}\n\nMeans over subjects, after the mean over draws. "
        "Intervals are of the t distribution. Holm's correction is over the methods of a test set "
        "and endpoint. `differences.csv` has the differences to every simple method."
        f"\n\n{format_table(header, shown)}"
    )


def _draws_section(table: Rows, draws: int) -> str:
    rows = []
    for endpoint in ENDPOINTS:
        here = [row for row in table if row["endpoint"] == endpoint]
        if here:
            deviations = [
                float(np.sqrt(np.mean([row[key] ** 2 for row in here])))
                for key in ("sd_subjects", "sd_draws")
            ]
            share = [row["share_of_draws"] for row in here]
            rows.append([endpoint, *deviations, float(np.mean(share)), float(np.max(share))])
    if not rows:
        return ""
    header = [
        "endpoint",
        "SD between subjects",
        "SD between draws",
        "share, mean",
        "share, highest",
    ]
    return (
        f"## Variance between draws\n\nOf the differences from {REFERENCE}, over test sets and "
        f"methods. The share is the part of the variance of a subject's mean that {draws} draws "
        f"leave. `draws.csv` has every set and method.\n\n{format_table(header, rows)}"
    )


def _chosen(output: Path, cells: list[Cell]) -> str:
    rows = []
    for cell in cells:
        record = output / "cells" / cell.folder / "fit.json"
        if record.exists():
            chosen = json.loads(record.read_text()).get("chosen")
            if chosen:
                listed = ", ".join(f"{name} {value}" for name, value in chosen.items())
                rows.append([cell.name, cell.fold, listed])
    if not rows:
        return ""
    header = ["method", "fold", "settings"]
    return f"## Settings chosen on the training subjects\n\n{format_table(header, rows)}"


def _shown(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


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
            for metric in ("NRMSE", "SSIM")
        ]
        header = ["test set", "metric", *columns]
        sections.append(f"## Table {number}: {title.lower()}\n\n{format_table(header, rows)}")
    return sections


def _times(output: Path, results: dict[Cell, dict]) -> str:
    found: dict[str, dict[str, list[float]]] = {}
    for cell, by_set in results.items():
        file = output / "cells" / cell.folder / "fit.json"
        if by_set and file.exists():
            fit = json.loads(file.read_text())
            lists = found.setdefault(cell.name, {"fit": [], "predict": [], "memory": []})
            lists["fit"].append(fit["seconds"])
            lists["memory"].append(fit["peak_memory_gb"])
            for record in chain.from_iterable(by_set.values()):
                lists["predict"] += record["predict_s"]
                lists["memory"].append(record["peak_memory_gb"])
    rows = [
        [
            name,
            f"{np.median(lists['fit']):.0f}",
            f"{np.median(lists['predict']):.1f}",
            f"{max(lists['memory']):.2f}",
            f"{(sum(lists['fit']) + sum(lists['predict'])) / 3600:.2f}",
        ]
        for name, lists in found.items()
    ]
    header = ["method", "fit, s", "predict, s a volume", "peak memory, GB", "all cells, h"]
    note = (
        "Medians for one thread. Times are elapsed times, which are too long if other programs ran "
        "on the machine."
    )
    return f"## Times and memory\n\n{format_table(header, rows)}\n\n{note} {PAPER_TIMES}"
