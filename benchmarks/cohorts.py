"""Cohorts of brains on disk, split by subject."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.io import as_volumes, load_volume, save_volume
from sklearn_iqt.simulation import estimate_tissue_maps

__all__ = ["Cohort", "crop_middle", "load_cohort", "write_embedded_cohort"]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cohort:
    """Subjects of one folder, split into training, validation and test subjects.

    Parameters
    ----------
    folder : Path
        Folder with ``sub-*_T1w.nii.gz`` and, for some or all subjects, ``sub-*_tissues.nii.gz``
        (labels 1 CSF, 2 GM, 3 WM).
    split : dict of str to list of str
        Subjects of ``"train"``, ``"validation"`` and ``"test"``. Each subject is in one of them.
    slice_axis : {"i", "j", "k"}
        Axis along which thick slices are simulated. Volumes are transposed so that it comes last.
    """

    folder: Path
    split: dict[str, list[str]]
    slice_axis: str = "k"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def subjects(self) -> list[str]:
        """Return all subjects: training, then validation, then test."""
        return [subject for part in PARTS for subject in self.split[part]]

    def image(self, subject: str) -> Path:
        """Return the path of the T1w volume of a subject."""
        return self.folder / f"{subject}_T1w.nii.gz"

    def tissues(self, subject: str) -> Path:
        """Return the path of the tissue label map of a subject, which may not exist."""
        return self.folder / f"{subject}_tissues.nii.gz"

    def load(self, subject: str) -> tuple[nibabel.Nifti1Image, np.ndarray]:
        """Return the volume and the tissue label map of a subject, slice axis last.

        The label map is read from disk. If the file does not exist, it is estimated from the
        volume.
        """
        image = load_volume(self.image(subject))
        if self.tissues(subject).exists():
            maps = np.asanyarray(load_volume(self.tissues(subject)).dataobj)
        else:
            soft = estimate_tissue_maps(image, random_state=0)
            maps = np.where(soft.sum(axis=0) > 0, soft.argmax(axis=0) + 1, 0)
        axis = "ijk".index(self.slice_axis)
        order = [n for n in range(3) if n != axis] + [axis]
        turned = np.transpose(np.asanyarray(image.dataobj), order)
        affine = image.affine[:, [*order, 3]]
        return nibabel.Nifti1Image(turned, affine), np.transpose(maps, order)

    def arrays(self, part: str):
        """Read the volumes and label maps of one part into memory."""
        pairs = [self.load(subject) for subject in self.split[part]]
        return list(as_volumes([image for image, _ in pairs])), [maps for _, maps in pairs]

    def checksum(self) -> str:
        """Return the SHA-256 checksum of the split, the slice axis and all files."""
        digest = hashlib.sha256(f"{self.split} {self.slice_axis}".encode())
        for subject in self.subjects():
            for file in (self.image(subject), self.tissues(subject)):
                if file.exists():
                    digest.update(file.read_bytes())
        return digest.hexdigest()


def crop_middle(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the middle of a volume, in at most ``shape`` voxels along each axis."""
    starts = [max(have - want, 0) // 2 for have, want in zip(volume.shape, shape, strict=True)]
    box = tuple(slice(s, s + want) for s, want in zip(starts, shape, strict=True))
    return volume[box]


def load_cohort(
    folder: str | Path, participants: str | Path | None = None, slice_axis: str = "k"
) -> Cohort:
    """Read the split of a cohort from a table with columns cohort, subject and split.

    Parameters
    ----------
    folder : path
        Folder of the cohort.
    participants : path, optional
        Tab-separated table. By default ``participants.tsv`` in the folder or its parent folder.
    slice_axis : {"i", "j", "k"}
        Axis along which thick slices are simulated.

    Returns
    -------
    Cohort
        The cohort, in which each subject has one part.

    Raises
    ------
    ValueError
        If there is no table, if a subject is in two parts, if a part is unknown, if there are no
        training or no test subjects, or if a volume is missing.
    """
    folder = Path(folder).resolve()
    tables = [Path(participants)] if participants else []
    tables += [folder / "participants.tsv", folder.parent / "participants.tsv"]
    table = next((path for path in tables if path.exists()), None)
    if table is None:
        raise ValueError(
            f"{folder}: there is no participants.tsv in this folder or its parent. Write one with "
            "the columns cohort, subject and split, or pass its path as --participants."
        )
    split: dict[str, list[str]] = {part: [] for part in PARTS}
    with table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["cohort"] == folder.name:
                if row["split"] not in split:
                    raise ValueError(
                        f"{table}: split must be one of {', '.join(PARTS)}, got {row['split']!r} "
                        f"for subject {row['subject']}."
                    )
                split[row["split"]].append(row["subject"])
    cohort = Cohort(folder, split, slice_axis)
    subjects = cohort.subjects()
    repeated = sorted({subject for subject in subjects if subjects.count(subject) > 1})
    if repeated:
        raise ValueError(
            f"{table}: each subject of {folder.name} must be in one part, but {repeated} are in "
            "two parts. Remove the other rows."
        )
    if not split["train"] or not split["test"]:
        raise ValueError(
            f"{table}: cohort {folder.name!r} needs subjects with the splits train and test, got "
            f"{len(split['train'])} and {len(split['test'])} of them."
        )
    missing = [subject for subject in subjects if not cohort.image(subject).exists()]
    if missing:
        raise ValueError(
            f"{folder}: the T1w volumes of {missing} are missing. Add them, or remove these "
            f"subjects from {table}."
        )
    return cohort


def write_embedded_cohort(
    folder: str | Path, n_subjects: int = 6, shape: tuple[int, ...] = (96, 112, 64), seed: int = 0
) -> Cohort:
    """Write a cohort of brains that are made from the embedded template.

    All brains have the same anatomy.

    Parameters
    ----------
    folder : path
        Folder to write to. It is created if it does not exist.
    n_subjects : int
        Number of subjects, at least 4. The first half are training subjects, the next is the
        validation subject, and the others are test subjects.
    shape : tuple of 3 ints
        Shape of the volumes, in voxels around the middle of the brain.
    seed : int
        Seed of the differences between the brains.

    Returns
    -------
    Cohort
        The cohort in the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    brains = make_subjects(n_subjects, shape=shape, random_state=seed)
    n_train = n_subjects // 2
    parts = ["train"] * n_train + ["validation"] + ["test"] * (n_subjects - n_train - 1)
    lines = ["cohort\tsubject\tsplit"]
    for number, part in enumerate(parts):
        subject, maps = f"sub-{number + 1:02d}", brains.tissues[number]
        labels = np.where(maps.sum(axis=0) > 0.5, maps.argmax(axis=0) + 1, 0)
        save_volume(brains.images[number], folder / f"{subject}_T1w.nii.gz")
        tissues = folder / f"{subject}_tissues.nii.gz"
        save_volume(labels, tissues, affine=brains.affine, dtype="uint8")
        lines.append(f"{folder.name}\t{subject}\t{part}")
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    return load_cohort(folder)
