"""Simulated pairs on disk, which all methods share."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from benchmarks.cohorts import Cohort
from sklearn_iqt.io import replaced_file, save_volume
from sklearn_iqt.simulation import LowFieldSimulator, get_snr

__all__ = ["high_files", "low_files", "named_seed", "prepare_pairs", "write_json"]

TRAINING = "t1w_036t"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step, so that it is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def named_seed(seed: int, name: str) -> int:
    """Return a different seed for each name, so that no two sets have the same noise."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def low_files(output: Path, part: str, subjects: list[str]) -> list[Path]:
    """Return the paths of the low volumes of ``"train"`` or of a test set."""
    return [output / "pairs" / part / f"{subject}_low.nii.gz" for subject in subjects]


def high_files(output: Path, subjects: list[str]) -> list[Path]:
    """Return the paths of the high volumes of subjects."""
    return [output / "pairs" / "high" / f"{subject}_high.nii.gz" for subject in subjects]


def prepare_pairs(
    cohort: Cohort, output: Path, test_sets: list[str], *, alignment: str, seed: int
) -> None:
    """Simulate the training subjects once, and the test subjects once for each test set.

    Sets that are complete on disk are not simulated again. The content of a set depends only on the
    seed and the name of the set. ``snr.json`` in its folder has the pairs of SNR and their
    Mahalanobis distances.
    """
    parts = [("train", TRAINING, "train"), *((name, name, "test") for name in test_sets)]
    for name, snr, split in parts:
        subjects = cohort.split[split]
        record = output / "pairs" / name / "snr.json"
        if record.exists():
            continue
        record.parent.mkdir(parents=True, exist_ok=True)
        (output / "pairs" / "high").mkdir(exist_ok=True)
        simulator = LowFieldSimulator(
            get_snr(snr), alignment=alignment, random_state=named_seed(seed, name)
        )
        loaded = [cohort.load(subject) for subject in subjects]
        pairs = simulator.simulate([image for image, _ in loaded], [maps for _, maps in loaded])
        for low, high, low_file, high_file in zip(
            pairs.low,
            pairs.high,
            low_files(output, name, subjects),
            high_files(output, subjects),
            strict=True,
        ):
            save_volume(low, low_file)
            if not high_file.exists():
                save_volume(high, high_file)
        write_json(
            record,
            {
                "distribution": snr,
                "subjects": subjects,
                "snr_wm_gm": pairs.snr.round(3).tolist(),
                "mahalanobis": pairs.mahalanobis.round(3).tolist(),
                "voxel_mm": [float(z) for z in nibabel.affines.voxel_sizes(pairs.low[0].affine)],
            },
        )
