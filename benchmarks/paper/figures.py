"""Figures 4 to 6, drawn from stored predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel

from benchmarks.paper.cell import prediction_file
from benchmarks.paper.config import Cell
from benchmarks.paper.endpoints import GROUPS, endpoint_scores, sets_of
from benchmarks.paper.measures import ENDPOINTS
from benchmarks.paper.pairs import high_file, low_file
from sklearn_iqt.plotting import plot_estimates, plot_learning_curve, plot_scores
from sklearn_iqt.plotting._slices import thick_view

__all__ = ["draw_endpoints", "draw_figures"]

DPI = 150
BASELINE = "interpolation"


def draw_endpoints(
    output: Path, profile: dict[str, Any], scores: list[dict[str, Any]], methods: list[str]
) -> str:
    """Draw the differences of the endpoints from interpolation, with a dot for each subject."""
    panels = []
    for endpoint in ENDPOINTS:
        for group in GROUPS:
            sets = sets_of(profile, group, endpoint)
            rows = endpoint_scores(scores, methods, sets, endpoint, profile["draws"])
            subjects = sorted({row["subject"] for row in rows})
            known = {(row["method"], row["subject"]): row[endpoint] for row in rows}
            columns = {
                method: [known.get((method, subject), math.nan) for subject in subjects]
                for method in methods
                if any((method, subject) in known for subject in subjects)
            }
            if BASELINE in columns and len(columns) > 1:
                panels.append((endpoint, group, columns))
    if not panels:
        return ""
    lines = [endpoint for endpoint in ENDPOINTS if any(endpoint == panel[0] for panel in panels)]
    width = 2.5 + 0.6 * max(len(columns) for _, _, columns in panels)
    figure, axes = plt.subplots(
        len(lines),
        len(GROUPS),
        squeeze=False,
        figsize=(2 * width, 4 * len(lines)),
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_visible(False)
    for endpoint, group, columns in panels:
        ax = axes[lines.index(endpoint), GROUPS.index(group)]
        ax.set_visible(True)
        plot_scores(columns, baseline=BASELINE, label=endpoint, ax=ax).set_title(group)
    (output / "figures").mkdir(exist_ok=True)
    figure.savefig(output / "figures" / "endpoints.png", dpi=DPI)
    plt.close(figure)
    return (
        "## Endpoints of each subject\n\nDots are subjects, diamonds are means with 95 % "
        "intervals.\n\n![Endpoints](figures/endpoints.png)"
    )


def draw_figures(output: Path, manifest: dict[str, Any], cells: list[Cell]) -> str:
    """Draw the figures that have stored predictions, and return Markdown that shows them.

    Figures show the first subject of the first fold, in a view that contains the thick axis. Figure
    4 has the estimates. Figure 5 has their errors and the places where other methods are closer to
    the truth than IQT-DL. Figure 6 compares numbers of atoms on the out-of-distribution set. The
    last figure has the losses of the nets.
    """
    profile = manifest["profile"]
    subject = manifest["folds"][0][0]
    cells = [cell for cell in cells if cell.fold == 0 and cell.repeat == 0]
    scan = (subject, 0)
    folder = output / "figures"
    folder.mkdir(exist_ok=True)

    def truths(names: list[str]) -> dict[str, Path]:
        return {name: high_file(output, name, subject) for name in names}

    def predictions(name: str, wanted: dict[str, Cell]) -> dict[str, Path]:
        files = {title: prediction_file(output, cell, name, scan) for title, cell in wanted.items()}
        return {title: file for title, file in files.items() if file.exists()}

    methods = {cell.name: cell for cell in cells if not cell.column}
    outside = profile["paper_set"]
    chosen = profile.get("shown", list(methods))
    shown = {name.replace(" (", "\n("): methods[name] for name in chosen}
    rows = {name: predictions(name, shown) for name in ("ind1", "ind2", outside)}
    rows = {name: row for name, row in rows.items() if row}
    if not rows:
        return ""
    view, thick = thick_view(nibabel.load(low_file(output, next(iter(rows)), scan)).affine)
    drawn = []
    if rows:
        figure = plot_estimates(
            {n: {"low field": low_file(output, n, scan), **r} for n, r in rows.items()},
            truth=truths(list(rows)),
            view=view,
        )
        drawn.append(("figure4", "Figure 4: estimates", figure))
        others = [name for name in shown if name not in ("IQT-DL", BASELINE)]
        against = "IQT-DL" if all("IQT-DL" in row for row in rows.values()) else BASELINE
        if all(against in row for row in rows.values()):
            figure = plot_estimates(
                rows,
                truth=truths(list(rows)),
                view=view,
                show=("error", "improvement"),
                side_by_side=True,
                baseline=against,
                improved=[name for name in others if all(name in r for r in rows.values())],
            )
            title = f"Figure 5: absolute errors, and where methods are closer than {against}"
            drawn.append(("figure5", title, figure))
    columns = {
        f"{table['method']} {column}": next(
            cell
            for cell in cells
            if cell.method == table["method"] and cell.column == (column if params else "")
        )
        for table in profile.get("tables", [])
        if table.get("figure")
        for column, params in table["columns"].items()
    }
    atoms = predictions(outside, columns)
    baseline = predictions(outside, {BASELINE: methods[BASELINE]}) if BASELINE in methods else {}
    if atoms and baseline:
        figure = plot_estimates(
            {outside: atoms},
            truth=truths([outside]),
            view=view,
            show=("estimate", "error", "improvement"),
            baseline=baseline[BASELINE],
        )
        title = f"Figure 6: numbers of atoms, and where they are closer than {BASELINE}"
        drawn.append(("figure6", title, figure))
    histories = {name: _history(output / "cells" / cell.folder) for name, cell in methods.items()}
    histories = {name: history for name, history in histories.items() if history}
    if histories:
        figure, axes = plt.subplots(
            1,
            len(histories),
            squeeze=False,
            figsize=(4 * len(histories), 2.8),
            layout="constrained",
        )
        for ax, (name, history) in zip(axes.flat, histories.items(), strict=True):
            plot_learning_curve(history, ax=ax).set_title(name)
        drawn.append(("learning_curves", "Learning curves of the nets", figure))
    lines = []
    for name, title, figure in drawn:
        figure.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight")
        plt.close(figure)
        shown_in = "" if name == "learning_curves" else f" ({subject}, {view})"
        lines.append(f"{title}{shown_in}:\n\n![{title}](figures/{name}.png)")
    note = f"Brains are shown in the {view} view. The thick axis runs from {thick}."
    return "## Figures\n\n" + "\n\n".join([note, *lines]) if lines else ""


def _history(folder: Path) -> list[dict[str, float]]:
    record = folder / "fit.json"
    return json.loads(record.read_text()).get("history", []) if record.exists() else []
