"""Compute measures from stored predictions.

    python -m benchmarks.paper.measures results/cc0
    python -m benchmarks.paper.measures results/cc0 --measures "GM Dice"

Measures that are stored already are not computed again, so that a new measure, or one whose
requirement was installed later, needs no new prediction. Endpoints were chosen before the
experiment was run. Its manifest names them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from benchmarks.code import describe_code
from benchmarks.paper.cell import prediction_file, read_records
from benchmarks.paper.config import Cell, list_cells
from benchmarks.paper.pairs import Scan, high_file, labels_file, lesions_file, write_json
from benchmarks.paper.shifts import SCALE, SETS
from sklearn_iqt.io import save_volume
from sklearn_iqt.metrics import (
    coherence,
    contrast_error,
    lesion_contrast,
    nrmse,
    psnr,
    regression_slope,
    segment_tissues,
    ssim,
    tissue_dice,
)

__all__ = [
    "ENDPOINTS",
    "MEASURES",
    "Measure",
    "measure_cell",
    "measures_of",
    "read_scores",
    "why_not",
]


@dataclass(frozen=True)
class Scored:
    """A stored prediction of a scan, with everything that is known about its truth.

    Parameters
    ----------
    output : Path
        Folder of the experiment.
    cell : Cell
        The cell.
    name : str
        Name of the test set.
    scan : (subject, draw)
        The scan.
    """

    output: Path
    cell: Cell
    name: str
    scan: Scan

    @cached_property
    def estimate(self) -> NDArray[np.float32]:
        """The stored prediction."""
        return _read(prediction_file(self.output, self.cell, self.name, self.scan))

    @cached_property
    def truth(self) -> NDArray[np.float32]:
        """The truth."""
        return _read(high_file(self.output, self.name, self.scan[0]))

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """The brain, which is where the truth is not zero."""
        return self.truth != 0

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """Tissue labels on the grid of the truth, without voxels outside the brain."""
        return _read(labels_file(self.output, self.name, self.scan[0])) * self.brain

    @cached_property
    def lesions(self) -> NDArray[np.float32]:
        """Lesions on the grid of the truth."""
        return _read(lesions_file(self.output, self.name, self.scan[0]))

    @cached_property
    def voxel_mm(self) -> NDArray[np.float64]:
        """Voxel size of the truth in mm."""
        affine = nibabel.load(high_file(self.output, self.name, self.scan[0])).affine
        return nibabel.affines.voxel_sizes(affine)

    def segmented_truth(self) -> NDArray:
        """Return the tissues that the segmenter finds in the truth, which is done once."""
        path = high_file(self.output, self.name, self.scan[0])
        stored = path.with_name(f"{self.scan[0]}_segmented.nii.gz")
        with FileLock(f"{stored}.lock"):
            if not stored.exists():
                found = segment_tissues(self.truth, mask=self.brain, voxel_size_mm=self.voxel_mm)
                save_volume(found, stored, affine=nibabel.load(path).affine, dtype="uint8")
        return _read(stored)


@dataclass(frozen=True)
class Measure:
    """One column of the tables.

    Parameters
    ----------
    compute : callable
        Takes a :class:`Scored` and returns a number.
    best : float
        Value of a perfect estimate; a method is better the closer its mean is to it.
    lesions : bool
        Whether it is measured on the sets with lesions, and not on the other sets.
    requires : str
        Module that must be installed, if any.
    """

    compute: Callable[[Scored], float]
    best: float
    lesions: bool = False
    requires: str = ""


def _gm_dice(s: Scored) -> float:
    found = segment_tissues(s.estimate, mask=s.brain, voxel_size_mm=s.voxel_mm)
    return tissue_dice(s.segmented_truth(), found, tissue="gm", mask=s.brain)


#: Measures that answer the questions of the experiment, named before it was run.
ENDPOINTS = {
    "NRMSE after gain": Measure(
        lambda s: nrmse(s.truth, s.estimate, mask=s.brain, match="gain"), best=0
    ),
    "GM Dice": Measure(_gm_dice, best=1, requires="ants"),
    "coherence above Nyquist": Measure(
        lambda s: coherence(s.truth, s.estimate, scale=SCALE[2], axis=2, mask=s.brain), best=1
    ),
    "lesion contrast": Measure(
        lambda s: lesion_contrast(
            s.truth,
            s.estimate,
            lesions=s.lesions,
            voxel_size_mm=s.voxel_mm,
            mask=s.brain,
            match="gain",
        ),
        best=1,
        lesions=True,
    ),
}

#: All measures: the endpoints, and those that describe the estimates further. All are of the brain.
MEASURES = {
    **ENDPOINTS,
    "NRMSE": Measure(lambda s: nrmse(s.truth, s.estimate, mask=s.brain), best=0),
    "NRMSE (mean)": Measure(
        lambda s: nrmse(s.truth, s.estimate, mask=s.brain, normalization="mean"), best=0
    ),
    "PSNR": Measure(lambda s: psnr(s.truth, s.estimate, mask=s.brain), best=np.inf),
    "SSIM": Measure(lambda s: ssim(s.truth, s.estimate, mask=s.brain), best=1),
    "WM/GM error": Measure(
        lambda s: contrast_error(s.truth, s.estimate, labels=s.labels, mask=s.brain, match="gain"),
        best=0,
    ),
    "GM slope": Measure(
        lambda s: regression_slope(
            s.truth, s.estimate, labels=s.labels, mask=s.brain, match="gain"
        ),
        best=1,
    ),
}


def why_not(name: str) -> str:
    """Return why a measure cannot be computed here; the text is empty if it can."""
    module = MEASURES[name].requires
    if module and importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    return ""


def measures_of(name: str) -> list[str]:
    """Return the names of the measures of a test set."""
    return [m for m, measure in MEASURES.items() if measure.lesions == SETS[name].lesions]


def scores_file(output: Path, cell: Cell, name: str) -> Path:
    """Return the path of the measures of a test set."""
    return output / "cells" / cell.folder / f"{name}.scores.json"


def read_scores(output: Path, cell: Cell, name: str) -> dict[str, Any]:
    """Return the stored measures of a test set: ``rows`` for each scan, and ``failed``."""
    path = scores_file(output, cell, name)
    empty: dict[str, Any] = {"rows": [], "failed": []}
    return json.loads(path.read_text()) if path.exists() else empty


def measure_cell(output: Path, cell: Cell, measures: Sequence[str] | None = None) -> None:
    """Compute the measures of a cell that are not stored, for the sets that are predicted.

    Parameters
    ----------
    output : Path
        Folder of the experiment.
    cell : Cell
        The cell.
    measures : sequence of str or None
        Names of measures; by default all that can be computed here.

    Notes
    -----
    A measure that is not defined for an estimate is stored as None, with the reason.
    """
    wanted = [name for name in measures or MEASURES if not why_not(name)]
    with FileLock(output / "cells" / f"{cell.folder}.measures.lock"):
        for name in cell.test_sets:
            here = [measure for measure in measures_of(name) if measure in wanted]
            _measure_set(output, cell, name, here)


def _measure_set(output: Path, cell: Cell, name: str, wanted: Sequence[str]) -> None:
    stored = read_scores(output, cell, name)
    known = {(row["subject"], row["draw"]): row for row in stored["rows"]}
    failed = list(stored["failed"])
    rows = []
    changed = False
    for subject, draw in _list_predicted(output, cell, name):
        row = dict(known.get((subject, draw), {"subject": subject, "draw": draw}))
        scored = Scored(output, cell, name, (subject, draw))
        for measure in [measure for measure in wanted if measure not in row]:
            try:
                row[measure] = float(MEASURES[measure].compute(scored))
            except ValueError as error:
                row[measure] = None
                failed.append(f"{measure}, {name}, {subject}, draw {draw}: {error}")
            changed = True
        rows.append(row)
    if changed:
        write_json(
            scores_file(output, cell, name), {**describe_code(), "rows": rows, "failed": failed}
        )


def _list_predicted(output: Path, cell: Cell, name: str) -> list[Scan]:
    records = read_records(output, cell, name)
    return [(subject, record["draw"]) for record in records for subject in record["subjects"]]


def _read(path: Path) -> NDArray[np.float32]:
    return nibabel.load(path).get_fdata(dtype=np.float32)


def main(argv: list[str] | None = None) -> int:
    """Compute measures of an experiment from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper.measures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, help="folder of the experiment")
    parser.add_argument("--methods", nargs="+", help="only these methods and their variants")
    parser.add_argument(
        "--measures", nargs="+", choices=list(MEASURES), metavar="MEASURE", help="only these"
    )
    arguments = parser.parse_args(argv)
    profile = json.loads((arguments.output / "manifest.json").read_text())["profile"]
    for name in arguments.measures or MEASURES:
        if why_not(name):
            print(f"{name}: left out, because {why_not(name)}.", file=sys.stderr)
    for cell in list_cells(profile):
        if not arguments.methods or cell.method in arguments.methods:
            measure_cell(arguments.output, cell, arguments.measures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
