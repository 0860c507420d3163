"""Figures 4 to 6, drawn from stored predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel

from benchmarks.paper.config import Cell
from benchmarks.paper.pairs import high_files, low_files
from sklearn_iqt.plotting import plot_estimates, plot_learning_curve
from sklearn_iqt.plotting._slices import thick_view

__all__ = ["draw_figures"]

DPI = 150
BASELINE = "interpolation"


def draw_figures(output: Path, manifest: dict[str, Any], cells: list[Cell]) -> str:
    """Draw the figures that have stored predictions, and return Markdown that shows them.

    Figures show the first test subject, in a view that contains the thick axis. Figure 4 has the
    estimates. Figure 5 has their errors and the places where other methods are closer to the truth
    than IQT-DL. Figure 6 compares numbers of atoms on the out-of-distribution set. The last figure
    has the losses of the nets.
    """
    profile = manifest["profile"]
    subject = manifest["split"]["test"][0]
    folder = output / "figures"
    folder.mkdir(exist_ok=True)

    def truths(names: list[str]) -> dict[str, Path]:
        return {name: high_files(output, name, [subject])[0] for name in names}

    def predictions(name: str, wanted: dict[str, Cell]) -> dict[str, Path]:
        files = {
            title: output / "cells" / cell.folder / name / f"{subject}.nii.gz"
            for title, cell in wanted.items()
        }
        return {title: file for title, file in files.items() if file.exists()}

    methods = {cell.name: cell for cell in cells if not cell.column}
    outside = profile["out_of_distribution"]
    chosen = profile.get("shown", list(methods))
    shown = {name.replace(" (", "\n("): methods[name] for name in chosen}
    rows = {name: predictions(name, shown) for name in ("ind1", "ind2", outside)}
    rows = {name: row for name, row in rows.items() if row}
    low = low_files(output, profile["test_sets"][0], [subject])[0]
    view, thick = thick_view(nibabel.load(low).affine)
    drawn = []
    if rows:
        figure = plot_estimates(
            {n: {"low field": low_files(output, n, [subject])[0], **r} for n, r in rows.items()},
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
