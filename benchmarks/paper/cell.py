"""Fit and score one method: ``python -m benchmarks.paper.cell OUTPUT CELL``.

Each method runs in a separate process, so that its memory can be measured and its failure does not
stop the others.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

from filelock import FileLock
from joblib import Parallel, delayed
from sklearn.pipeline import Pipeline

from benchmarks.code import describe_code
from benchmarks.cost import peak_memory, timed
from benchmarks.paper.config import Cell, build_estimator, list_cells
from benchmarks.paper.pairs import high_files, low_files, write_json
from sklearn_iqt import load_model, save_model
from sklearn_iqt.io import as_volumes, save_volume
from sklearn_iqt.metrics import nrmse, psnr, score_table, ssim
from sklearn_iqt.persistence import TrainingCard

__all__ = ["METRICS", "is_done", "run_cell"]

# The brain is where the truth is not zero.
METRICS = {
    "NRMSE": lambda truth, estimate, brain: nrmse(truth, estimate),
    "NRMSE (mean, brain)": lambda truth, estimate, brain: nrmse(
        truth, estimate, mask=brain, normalization="mean"
    ),
    "PSNR": lambda truth, estimate, brain: psnr(truth, estimate),
    "SSIM (brain)": lambda truth, estimate, brain: ssim(truth, estimate, mask=brain),
    "SSIM": lambda truth, estimate, brain: ssim(truth, estimate),
}


def is_done(output: Path, cell: Cell) -> bool:
    """Return whether a cell is scored on all its test sets."""
    folder = output / "cells" / cell.folder
    return all((folder / f"{name}.json").exists() for name in cell.test_sets)


def run_cell(output: Path, cell: Cell) -> None:
    """Fit a method unless its model is stored, and score it on test sets without scores."""
    if is_done(output, cell):
        return
    manifest = json.loads((output / "manifest.json").read_text())
    folder = output / "cells" / cell.folder
    folder.mkdir(parents=True, exist_ok=True)
    split, options = manifest["split"], manifest["options"]
    model = _fitted_model(output, folder, cell, split["train"], options)
    subjects = split["test"]
    for name in cell.test_sets:
        record = folder / f"{name}.json"
        if record.exists():
            continue
        images, seconds = [], []
        for low in low_files(output, name, subjects):
            (image,), elapsed, _ = timed(partial(model.predict, [low]))
            images.append(image)
            seconds.append(elapsed)
        memory = peak_memory()
        scores = Parallel(2, prefer="threads")(
            delayed(_scores)(truth, image)
            for truth, image in zip(high_files(output, name, subjects), images, strict=True)
        )
        if cell.keep_predictions:
            (folder / name).mkdir(exist_ok=True)
            for subject, image in zip(subjects, images, strict=True):
                save_volume(image, folder / name / f"{subject}.nii.gz")
        write_json(
            record,
            {
                **describe_code(),
                "subjects": subjects,
                "scores": {metric: [s[metric] for s in scores] for metric in METRICS},
                "predict_s": seconds,
                "peak_memory_gb": memory,
            },
        )


def _fitted_model(output: Path, folder: Path, cell: Cell, subjects: list[str], options: dict):
    stored = folder / "model.iqt"
    if stored.exists():
        return load_model(stored)
    model = build_estimator(
        cell.spec,
        alignment=options["alignment"],
        random_state=options["seed"],
        n_jobs=-1,
        verbose=1,
        checkpoint=str(folder / "checkpoint"),
    )
    low, high = low_files(output, "train", subjects), high_files(output, "train", subjects)
    _, seconds, _ = timed(lambda: model.fit(low, high))
    record = {
        **describe_code(),
        "seconds": seconds,
        "peak_memory_gb": peak_memory(),
        "model": re.sub(r"\s+", " ", repr(model.get_params())),
    }
    net = getattr(model[-1] if isinstance(model, Pipeline) else model, "net_", None)
    if net is not None:
        keys = ("epoch", "train_loss", "dur")
        record["history"] = [{key: epoch[key] for key in keys} for epoch in net.history]
    card = TrainingCard(cohort=options["cohort"], seed=options["seed"])
    save_model(model, stored, training=card, overwrite=True)  # an interrupted run is resumed
    write_json(folder / "fit.json", record)
    checkpoint = folder / "checkpoint"
    if checkpoint.is_dir():
        shutil.rmtree(checkpoint)
    else:
        checkpoint.unlink(missing_ok=True)
    return model


def _scores(truth: Path, image) -> dict[str, float]:
    brain = as_volumes([truth])[0] != 0
    (row,) = score_table([truth], {"estimate": [image]}, mask=[brain], measures=METRICS)
    return {name: row[name] for name in METRICS}


def main() -> None:
    """Run one cell of an experiment that has its manifest and pairs on disk."""
    output, name = Path(sys.argv[1]), sys.argv[2]
    profile = json.loads((output / "manifest.json").read_text())["profile"]
    cell = next(cell for cell in list_cells(profile) if cell.name == name)
    # A run that was killed may have left a cell that is still running. Wait for its results.
    with FileLock(output / "cells" / f"{cell.folder}.lock"):
        run_cell(output, cell)


if __name__ == "__main__":
    main()
