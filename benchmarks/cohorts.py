"""Cohorts of brains on disk, split by subject."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.io import as_volumes, load_volume, save_volume
from sklearn_iqt.simulation import estimate_tissue_maps

__all__ = ["Cohort", "load_cohort", "write_embedded_cohort"]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cohort:
    """Subjects of one folder, with the part of the experiment each belongs to.

    Parameters
    ----------
    folder : Path
        Holds ``sub-*_T1w.nii.gz`` and, for some or all, ``sub-*_tissues.nii.gz`` (labels 1 CSF,
        2 GM, 3 WM).
    split : dict of str to list of str
        Subjects of ``"train"``, ``"validation"`` and ``"test"``; no subject is in two.
    slice_axis : {"i", "j", "k"}
        Axis that thick slices are made along. Volumes are turned so that it comes last.
    """

    folder: Path
    split: dict[str, list[str]]
    slice_axis: str = "k"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def subjects(self) -> list[str]:
        """Return every subject, training first."""
        return [subject for part in PARTS for subject in self.split[part]]

    def image(self, subject: str) -> Path:
        """Return the T1w file of a subject."""
        return self.folder / f"{subject}_T1w.nii.gz"

    def tissues(self, subject: str) -> Path:
        """Return where the tissue label map of a subject is, if there is one."""
        return self.folder / f"{subject}_tissues.nii.gz"

    def load(self, subject: str) -> tuple[nibabel.Nifti1Image, np.ndarray]:
        """Return the volume and the tissue maps of a subject, slice axis last.

        Maps are the labels on disk, or estimated from the volume when there are none.
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
        """Return volumes and label maps of one part, in memory."""
        pairs = [self.load(subject) for subject in self.split[part]]
        return list(as_volumes([image for image, _ in pairs])), [maps for _, maps in pairs]

    def checksum(self) -> str:
        """Return a digest of the split, the slice axis and every file."""
        digest = hashlib.sha256(f"{self.split} {self.slice_axis}".encode())
        for subject in self.subjects():
            for file in (self.image(subject), self.tissues(subject)):
                if file.exists():
                    digest.update(file.read_bytes())
        return digest.hexdigest()


def load_cohort(
    folder: str | Path, participants: str | Path | None = None, slice_axis: str = "k"
) -> Cohort:
    """Read the split of a cohort from a table with columns cohort, subject and split.

    Parameters
    ----------
    folder : path
        The cohort.
    participants : path, optional
        The table, tab-separated; by default ``participants.tsv`` in the folder or beside it.
    slice_axis : {"i", "j", "k"}
        Axis that thick slices are made along.

    Returns
    -------
    Cohort
        With a split in which no subject is twice.

    Raises
    ------
    ValueError
        If a subject is in two parts, a part is unknown, no subject is left to train or to test,
        or a volume is missing.
    """
    folder = Path(folder).resolve()
    tables = [Path(participants)] if participants else []
    tables += [folder / "participants.tsv", folder.parent / "participants.tsv"]
    table = next((path for path in tables if path.exists()), None)
    if table is None:
        raise ValueError(
            f"{folder}: no participants.tsv with columns cohort, subject and split in the folder "
            "or beside it; write one, or pass --participants."
        )
    split: dict[str, list[str]] = {part: [] for part in PARTS}
    with table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["cohort"] == folder.name:
                if row["split"] not in split:
                    raise ValueError(f"{table}: split {row['split']!r} is none of {PARTS}.")
                split[row["split"]].append(row["subject"])
    cohort = Cohort(folder, split, slice_axis)
    subjects = cohort.subjects()
    if len(subjects) != len(set(subjects)):
        raise ValueError(f"{table}: a subject of {folder.name} is in two parts.")
    if not split["train"] or not split["test"]:
        raise ValueError(f"{table}: no training or no test subjects of cohort {folder.name!r}.")
    missing = [subject for subject in subjects if not cohort.image(subject).exists()]
    if missing:
        raise ValueError(f"{folder}: no T1w volume of {missing}.")
    return cohort


def write_embedded_cohort(
    folder: str | Path, n_subjects: int = 6, shape: tuple[int, ...] = (96, 112, 64), seed: int = 0
) -> Cohort:
    """Write brains made from the embedded template as a cohort; they share one anatomy.

    Parameters
    ----------
    folder : path
        Where to; made if need be.
    n_subjects : int
        At least 4: half to train, one to validate, the rest to test.
    shape : tuple of 3 ints
        Voxels around the middle of the brain.
    seed : int
        Determines the brains.

    Returns
    -------
    Cohort
        Of the folder.
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
