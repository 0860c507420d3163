"""Simulated pairs on disk, made once for all methods."""

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
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def named_seed(seed: int, name: str) -> int:
    """Return a seed of its own for everything that is named, so that no two share their noise."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def low_files(output: Path, part: str, subjects: list[str]) -> list[Path]:
    """Return the simulated volumes of a part: ``"train"``, or the name of a test set."""
    return [output / "pairs" / part / f"{subject}_low.nii.gz" for subject in subjects]


def high_files(output: Path, subjects: list[str]) -> list[Path]:
    """Return the true volumes of subjects."""
    return [output / "pairs" / "high" / f"{subject}_high.nii.gz" for subject in subjects]


def prepare_pairs(
    cohort: Cohort, output: Path, test_sets: list[str], *, alignment: str, seed: int
) -> None:
    """Simulate the training subjects once, and the test subjects once for every test set.

    Sets that are complete on disk are left as they are. What a set holds depends on the seed and
    on its name alone; ``snr.json`` beside it has the SNR pairs and their distances.
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
