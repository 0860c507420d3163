"""Cohorts of real brains on disk, split by subject."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sklearn_iqt.io import as_volumes

__all__ = ["Cohort", "load_cohort"]


@dataclass(frozen=True)
class Cohort:
    """Subjects of one folder, with the part of the experiment each belongs to.

    Parameters
    ----------
    folder : Path
        Holds ``sub-*_T1w.nii.gz`` and ``sub-*_tissues.nii.gz`` (labels 1 CSF, 2 GM, 3 WM).
    split : dict of str to list of str
        Subjects of ``"train"``, ``"validation"`` and ``"test"``; no subject is in two.
    """

    folder: Path
    split: dict[str, list[str]]

    def images(self, part: str) -> list[Path]:
        """Return the T1w files of one part of the split."""
        return [self.folder / f"{subject}_T1w.nii.gz" for subject in self.split[part]]

    def tissues(self, part: str) -> list[Path]:
        """Return the tissue label maps of one part of the split."""
        return [self.folder / f"{subject}_tissues.nii.gz" for subject in self.split[part]]

    def arrays(self, part: str):
        """Return volumes and label maps of one part, in memory."""
        return list(as_volumes(self.images(part))), list(as_volumes(self.tissues(part)))


def load_cohort(folder: str | Path, participants: str | Path | None = None) -> Cohort:
    """Read the split of a cohort from a table with columns cohort, subject and split."""
    folder = Path(folder)
    table = Path(participants) if participants else folder.parent / "participants.tsv"
    split: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    with table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["cohort"] == folder.name:
                split[row["split"]].append(row["subject"])
    subjects = [subject for part in split.values() for subject in part]
    if len(subjects) != len(set(subjects)):
        raise ValueError(f"{table}: a subject of {folder.name} is in two parts.")
    if not split["train"] or not split["test"]:
        raise ValueError(f"{table}: no training or no test subjects of cohort {folder.name!r}.")
    return Cohort(folder, split)
