"""Simulated pairs on disk, which all methods share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel

from benchmarks.cohorts import Cohort
from benchmarks.paper.shifts import SETS, SimulatedSet, simulate_set
from sklearn_iqt.io import replaced_file, save_volume

__all__ = [
    "Scan",
    "drawn_file",
    "high_file",
    "labels_file",
    "lesions_file",
    "low_file",
    "prepare_pairs",
    "training_files",
    "write_json",
]

TRAINING = SimulatedSet("train", snr="t1w_036t")
# A subject and the number of the draw.
Scan = tuple[str, int]


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step, so that it is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def low_file(output: Path, part: str, scan: Scan) -> Path:
    """Return the path of a low volume of ``"train"`` or of a test set."""
    return output / "pairs" / part / f"{scan[0]}_draw{scan[1]}_low.nii.gz"


def drawn_file(output: Path, part: str, scan: Scan) -> Path:
    """Return the path of the numbers that were drawn for a low volume."""
    return output / "pairs" / part / f"{scan[0]}_draw{scan[1]}.json"


def high_file(output: Path, part: str, subject: str) -> Path:
    """Return the path of the truth of a subject. Sets with the same truth share the file."""
    return _truth_file(output, part, subject, "high")


def labels_file(output: Path, part: str, subject: str) -> Path:
    """Return the path of the tissue labels on the grid of the truth."""
    return _truth_file(output, part, subject, "tissues")


def lesions_file(output: Path, part: str, subject: str) -> Path:
    """Return the path of the lesions on the grid of the truth, for sets that have lesions."""
    return _truth_file(output, part, subject, "lesions")


def training_files(output: Path, subjects: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Return the paths of the low and high volumes of training subjects."""
    low = [low_file(output, "train", (subject, 0)) for subject in subjects]
    return low, [high_file(output, "train", subject) for subject in subjects]


def prepare_pairs(
    cohort: Cohort, output: Path, part: str, scans: Sequence[Scan], *, seed: int, **simulator: Any
) -> None:
    """Simulate scans of one set, unless they are stored.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    output : Path
        Folder of the experiment.
    part : str
        ``"train"``, or the name of a set of :mod:`benchmarks.paper.shifts`.
    scans : sequence of (subject, draw)
        The scans.
    seed : int
        Seed of the experiment. A pair depends only on the seed, the names of the cohort, the
        subject and the set, and the number of the draw.
    **simulator : dict
        Other parameters of :class:`LowFieldSimulator`.
    """
    simulated = _set(part)
    for subject, draw in scans:
        record = drawn_file(output, part, (subject, draw))
        if record.exists():
            continue
        pair = simulate_set(
            simulated,
            *cohort.load(subject),
            cohort=cohort.name,
            subject=subject,
            draw=draw,
            seed=seed,
            **simulator,
        )
        known = [(high_file, pair.high, "float32"), (labels_file, pair.labels, "uint8")]
        if pair.lesions is not None:
            known.append((lesions_file, pair.lesions, "uint8"))
        for path_of, image, dtype in known:
            path = path_of(output, part, subject)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                save_volume(image, path, dtype=dtype)
        record.parent.mkdir(parents=True, exist_ok=True)
        save_volume(pair.low, low_file(output, part, (subject, draw)))
        voxel_mm = [float(z) for z in nibabel.affines.voxel_sizes(pair.low.affine)]
        write_json(record, {**pair.drawn, "voxel_mm": voxel_mm})


def _set(part: str) -> SimulatedSet:
    return TRAINING if part == TRAINING.name else SETS[part]


def _truth_file(output: Path, part: str, subject: str, kind: str) -> Path:
    return output / "pairs" / f"truth_{_set(part).truth}" / f"{subject}_{kind}.nii.gz"
