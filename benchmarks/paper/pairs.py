"""Simulated pairs on disk, which all methods share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel

from benchmarks.cohorts import Cohort
from benchmarks.paper.shifts import SETS, SimulatedSet, simulate_set
from sklearn_iqt.io import replaced_file, save_volume

__all__ = ["high_files", "low_files", "prepare_pairs", "write_json"]

TRAINING = SimulatedSet("train", snr="t1w_036t")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step, so that it is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def low_files(output: Path, part: str, subjects: list[str]) -> list[Path]:
    """Return the paths of the low volumes of ``"train"`` or of a test set."""
    return [output / "pairs" / part / f"{subject}_low.nii.gz" for subject in subjects]


def high_files(output: Path, part: str, subjects: list[str]) -> list[Path]:
    """Return the paths of the high volumes of ``"train"`` or of a test set.

    Sets with the same thick axis share them.
    """
    axis = SETS[part].axis if part in SETS else TRAINING.axis
    return [output / "pairs" / f"high_{axis}" / f"{subject}_high.nii.gz" for subject in subjects]


def prepare_pairs(
    cohort: Cohort, output: Path, test_sets: list[str], *, seed: int, **simulator: Any
) -> None:
    """Simulate the training subjects once, and the test subjects once for each test set.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    output : Path
        Folder of the experiment.
    test_sets : list of str
        Names of sets, see :mod:`benchmarks.paper.shifts`.
    seed : int
        Seed of the experiment. A pair depends only on the seed and on the names of the cohort, the
        subject and the set.
    **simulator : dict
        Other parameters of :class:`LowFieldSimulator`.

    Notes
    -----
    Sets that are complete on disk are not simulated again. ``snr.json`` in the folder of a set has
    the pairs of SNR, their Mahalanobis distances and whatever else was drawn.
    """
    parts = [("train", TRAINING, "train"), *((name, SETS[name], "test") for name in test_sets)]
    for name, simulated, split in parts:
        subjects = cohort.split[split]
        record = output / "pairs" / name / "snr.json"
        if record.exists():
            continue
        files = zip(
            low_files(output, name, subjects), high_files(output, name, subjects), strict=True
        )
        drawn = []
        for subject, (low_file, high_file) in zip(subjects, files, strict=True):
            for file in (low_file, high_file):
                file.parent.mkdir(parents=True, exist_ok=True)
            image, labels = cohort.load(subject)
            pair = simulate_set(
                simulated,
                image,
                labels,
                cohort=cohort.name,
                subject=subject,
                seed=seed,
                **simulator,
            )
            save_volume(pair.low, low_file)
            if not high_file.exists():
                save_volume(pair.high, high_file)
            drawn.append(pair.drawn)
        write_json(
            record,
            {
                "subjects": subjects,
                "snr_wm_gm": [numbers.pop("snr_wm_gm") for numbers in drawn],
                "mahalanobis": [numbers.pop("mahalanobis") for numbers in drawn],
                "drawn": drawn,
                "voxel_mm": [float(z) for z in nibabel.affines.voxel_sizes(pair.low.affine)],
            },
        )
