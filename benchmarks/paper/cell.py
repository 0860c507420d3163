"""Fit one method and store its predictions: ``python -m benchmarks.paper.cell OUTPUT CELL``.

Each cell runs in a separate process, so that its memory can be measured and its failure does not
stop the others. Measures are computed from the stored predictions, see
:mod:`benchmarks.paper.measures`.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import ArrayLike
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from benchmarks.code import describe_code
from benchmarks.cost import peak_memory, timed
from benchmarks.paper.config import Cell, build_estimator, list_cells
from benchmarks.paper.pairs import (
    TRAINING,
    Scan,
    high_file,
    low_file,
    training_files,
    write_json,
)
from benchmarks.paper.shifts import SETS
from sklearn_iqt import load_model, save_model
from sklearn_iqt.compose import AnyGridIQT
from sklearn_iqt.io import replaced_file
from sklearn_iqt.persistence import TrainingCard

__all__ = [
    "BUSY",
    "is_done",
    "list_scans",
    "prediction_file",
    "read_records",
    "run_cell",
    "store_prediction",
]

# Steps between 0 and the 99.9th percentile of a stored prediction. Rounding adds an error of
# 0.00007 of that percentile, a hundredth of the error of the best method.
STEPS = 4096
# Exit status of a cell that another process runs.
BUSY = 75


def is_done(output: Path, cell: Cell, draws: int) -> bool:
    """Return whether the predictions of a cell are stored for the draws of all its test sets."""
    return all(
        record_file(output, cell, name, draw).exists()
        for name in cell.test_sets
        for draw in range(draws)
    )


def record_file(output: Path, cell: Cell, name: str, draw: int) -> Path:
    """Return the path of the record of one draw of a test set, written after its predictions."""
    return output / "cells" / cell.folder / f"{name}_draw{draw}.json"


def read_records(output: Path, cell: Cell, name: str) -> list[dict[str, Any]]:
    """Return the records of a test set that are stored, in the order of their draws."""
    files = (output / "cells" / cell.folder).glob(f"{name}_draw*.json")
    records = [json.loads(file.read_text()) for file in files]
    return sorted(records, key=lambda record: record["draw"])


def prediction_file(output: Path, cell: Cell, name: str, scan: Scan) -> Path:
    """Return the path of a stored prediction."""
    return output / "cells" / cell.folder / name / f"{scan[0]}_draw{scan[1]}.nii.gz"


def list_scans(manifest: dict[str, Any], fold: int) -> list[Scan]:
    """Return the test subjects of a fold with the numbers of their draws."""
    draws = range(manifest["draws"])
    return [(subject, draw) for subject in manifest["folds"][fold] for draw in draws]


def store_prediction(volume: ArrayLike, brain: ArrayLike, path: Path, affine: ArrayLike) -> None:
    """Write a prediction inside the brain with 16 bits a voxel, completely or not at all.

    Parameters
    ----------
    volume : array-like of shape (i, j, k)
        Finite predictions.
    brain : array-like of bool, shape of the volume
        Voxels to store. The others are 0, because noise around the brain would more than double the
        size of the file.
    path : Path
        File to write, ending in ``.nii.gz``.
    affine : array-like of shape (4, 4)
        Its affine.

    Notes
    -----
    A step is the 99.9th percentile divided by 4096, or larger if the largest value needs it.
    """
    volume = np.where(brain, volume, 0).astype(np.float64)
    size = np.abs(volume)
    step = max(float(np.percentile(size, 99.9)) / STEPS, float(size.max()) / 32767)
    if not np.isfinite(step):
        raise ValueError(f"{path}: the prediction holds values that are not finite.")
    step = step or 1.0
    image = nibabel.Nifti1Image(np.rint(volume / step).astype(np.int16), affine)
    image.header.set_slope_inter(step, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(gzip.compress(image.to_bytes(), 6, mtime=0))


def run_cell(output: Path, cell: Cell) -> None:
    """Fit a method unless its model is stored, and predict test sets without a record."""
    manifest = json.loads((output / "manifest.json").read_text())
    if is_done(output, cell, manifest["draws"]):
        return
    model = _fitted_model(output, cell, manifest)
    subjects = manifest["folds"][cell.fold]
    for draw, name in product(range(manifest["draws"]), cell.test_sets):
        record = record_file(output, cell, name, draw)
        if record.exists():
            continue
        seconds = []
        for subject in subjects:
            truth = nibabel.load(high_file(output, name, subject))
            predict = model.predict
            if SETS[name].axis != TRAINING.axis:
                predict = AnyGridIQT(FrozenEstimator(model), grid=truth).predict
            low = low_file(output, name, (subject, draw))
            (image,), elapsed, _ = timed(partial(predict, [low]))
            store_prediction(
                image.get_fdata(dtype=np.float32),
                np.asanyarray(truth.dataobj) != 0,
                prediction_file(output, cell, name, (subject, draw)),
                truth.affine,
            )
            seconds.append(elapsed)
        write_json(
            record,
            {
                **describe_code(),
                "draw": draw,
                "subjects": subjects,
                "predict_s": seconds,
                "peak_memory_gb": peak_memory(),
            },
        )


def _fitted_model(output: Path, cell: Cell, manifest: dict[str, Any]) -> Any:
    folder = output / "cells" / cell.folder
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "model.iqt"
    if stored.exists():
        return load_model(stored)
    options = manifest["options"]
    model = build_estimator(
        cell.spec,
        alignment=options["alignment"],
        random_state=options["seed"] + cell.repeat,
        n_jobs=1,  # several processes share the cells instead
        verbose=1,
        # The candidates of a search would share one file.
        **({} if "grid" in cell.spec else {"checkpoint": str(folder / "checkpoint")}),
    )
    subjects = [s for n, fold in enumerate(manifest["folds"]) if n != cell.fold for s in fold]
    low, high = training_files(output, subjects)
    _, seconds, _ = timed(lambda: model.fit(low, high))
    record: dict[str, Any] = {"train": subjects}
    if isinstance(model, GridSearchCV):
        record["chosen"] = model.best_params_
        record["candidates"] = [
            {"params": params, "nrmse_after_gain": -float(score)}
            for params, score in zip(
                model.cv_results_["params"], model.cv_results_["mean_test_score"], strict=True
            )
        ]
        model = model.best_estimator_
    record |= {
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


def main() -> int:
    """Run one cell of an experiment that has its manifest and pairs on disk."""
    output, folder, wait = Path(sys.argv[1]), sys.argv[2], sys.argv[3:] == ["--wait"]
    profile = json.loads((output / "manifest.json").read_text())["profile"]
    cell = next(cell for cell in list_cells(profile) if cell.folder == folder)
    try:
        with FileLock(output / "cells" / f"{cell.folder}.lock", timeout=-1 if wait else 0):
            run_cell(output, cell)
    except Timeout:
        return BUSY
    return 0


if __name__ == "__main__":
    sys.exit(main())
