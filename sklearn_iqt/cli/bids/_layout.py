"""Find the scans of a BIDS dataset, and name the files of the derivative dataset."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn_iqt._version import __version__

BIDS_VERSION = "1.10.0"
_LABEL = "[A-Za-z0-9+]+"
_ENTITIES = re.compile(rf"sub-{_LABEL}(?:_[a-zA-Z]+-{_LABEL})*")
_README = """\
# Enhanced scans

These scans were enhanced by image quality transfer with `sklearn-iqt bids` (sklearn_iqt {version}).
Each `*_desc-iqt_{suffix}.nii.gz` is an estimate of the scan that a better scanner would have made.
It has a finer grid than the original scan, the same position in mm and the same units. The JSON
file next to it names the original scan, the model and the checksum of the model. `group_iqt.tsv`,
if it exists, has one row for each scan. `group_iqt.json` describes its columns.

Details in an enhanced scan are inferred from the brains that the model was trained on. These files
are for research. The software that made them is not a medical device.
"""


@dataclass(frozen=True)
class Scan:
    """A scan of a dataset, with folder like sub-01/ses-1/anat and entities like sub-01_run-1."""

    root: Path
    folder: str
    entities: str
    name: str
    suffix: str

    @property
    def path(self) -> Path:
        return self.root / self.folder / self.name

    @property
    def relative(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def subject(self) -> str:
        return self.folder.split("/")[0]

    @property
    def session(self) -> str | None:
        part = self.folder.split("/")[1]
        return part if part.startswith("ses-") else None

    def output(self, out_dir: Path) -> Path:
        """Return the path of the enhanced scan."""
        entities = [pair for pair in self.entities.split("_") if not pair.startswith("desc-")]
        return out_dir / self.folder / f"{'_'.join(entities)}_desc-iqt_{self.suffix}.nii.gz"

    def refusal(self, out_dir: Path) -> Path:
        """Return the path of the JSON file that says why the scan was refused."""
        name = self.output(out_dir).name.removesuffix(".nii.gz")
        return out_dir / "refused" / f"{name}.json"

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the scan. Nearer JSON files of the dataset take precedence."""
        content: dict[str, Any] = {}
        entities = set(self.entities.split("_"))
        folder = self.root
        for part in ("", *self.folder.split("/")):
            folder = folder / part
            files = [*folder.glob(f"*_{self.suffix}.json"), folder / f"{self.suffix}.json"]
            for file in sorted(files, key=lambda file: file.name.count("_")):
                if set(file.name.split("_")[:-1]) <= entities:
                    content |= read_json(file)
        return content


def find_scans(
    bids_dir: Path, suffix: str, participants: Sequence[str], sessions: Sequence[str]
) -> tuple[list[Scan], dict[str, str]]:
    """Return the selected scans, and the faults of scans that cannot be used, by name."""
    if not bids_dir.is_dir():
        raise FileNotFoundError(f"the dataset {bids_dir} is not a folder")
    if not re.fullmatch("[A-Za-z0-9]+", suffix):
        raise ValueError(f"--suffix must be letters and digits, such as T1w, got {suffix!r}")
    subjects = {f"sub-{label.removeprefix('sub-')}" for label in participants}
    visits = {f"ses-{label.removeprefix('ses-')}" for label in sessions}
    scans: list[Scan] = []
    faults: dict[str, str] = {}
    outputs: dict[Path, Scan] = {}
    for pattern in ("sub-*/anat", "sub-*/ses-*/anat"):
        for path in sorted(bids_dir.glob(f"{pattern}/*_{suffix}.nii*")):
            if not path.name.endswith((".nii", ".nii.gz")) or path.name.startswith("."):
                continue
            folder = path.parent.relative_to(bids_dir).as_posix()
            entities = path.name[: path.name.rindex("_")]
            scan = Scan(bids_dir, folder, entities, path.name, suffix)
            if subjects and scan.subject not in subjects:
                continue
            if visits and scan.session not in visits:
                continue
            expected = "_".join(folder.split("/")[:-1])
            other = outputs.setdefault(scan.output(Path()), scan)
            if not (_ENTITIES.fullmatch(entities) and f"{entities}_".startswith(f"{expected}_")):
                faults[scan.relative] = f"its name is not a BIDS name for a file of {expected}"
            elif other is not scan:
                faults[scan.relative] = (
                    f"its result would have the same name as the result of {other.name}"
                )
            else:
                scans.append(scan)
    found = {scan.subject for scan in scans} | {name.split("/")[0] for name in faults}
    for name in sorted(subjects - found):
        faults[name] = f"{bids_dir} has no *_{suffix}.nii or .nii.gz of this participant"
    if not scans and not faults:
        raise FileNotFoundError(f"{bids_dir} has no sub-*/[ses-*/]anat/*_{suffix}.nii or .nii.gz")
    return sorted(scans, key=lambda scan: scan.relative), faults


def check_dataset(bids_dir: Path) -> None:
    """Raise ValueError if a folder has no description of a BIDS dataset."""
    content = read_json(bids_dir / "dataset_description.json")
    missing = [key for key in ("Name", "BIDSVersion") if not isinstance(content.get(key), str)]
    if missing:
        raise ValueError(
            f"{bids_dir} has no dataset_description.json with {' and '.join(missing)}, so it is "
            "not a BIDS dataset. Pass --skip-bids-validation to skip this check"
        )


def check_outside(path: Path, bids_dir: Path) -> None:
    """Raise ValueError if a path is in the dataset, but not in a folder of its derivatives."""
    real, dataset = Path(os.path.realpath(path)), Path(os.path.realpath(bids_dir))
    if dataset in (real, *real.parents) and dataset / "derivatives" not in real.parents:
        raise ValueError(
            f"{path} is in the dataset {bids_dir}, which is never written to. Choose a folder "
            f"outside, or {bids_dir / 'derivatives' / 'iqt'}"
        )


def derivative_texts(bids_dir: Path, out_dir: Path, suffix: str) -> dict[Path, str]:
    """Return the texts of the files that describe the derivative dataset, by path."""
    description = out_dir / "dataset_description.json"
    if description.exists():
        makers = read_json(description).get("GeneratedBy")
        makers = makers if isinstance(makers, list) else []
        names = [maker.get("Name") for maker in makers if isinstance(maker, dict)]
        if "sklearn_iqt" not in names:
            raise ValueError(
                f"{description} does not say that sklearn_iqt made this dataset. Choose another "
                "folder"
            )
    source = read_json(bids_dir / "dataset_description.json")
    name = source.get("Name")
    described = {
        "Name": f"Enhanced scans of {name}" if isinstance(name, str) else "Enhanced scans",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "sklearn_iqt",
                "Version": __version__,
                "Description": "Image quality transfer: sklearn-iqt bids",
            }
        ],
        "SourceDatasets": [_describe_source(source, bids_dir, out_dir)],
        "DatasetLinks": {"source": _link(bids_dir, out_dir)},
    }
    if isinstance(source.get("License"), str):
        described["License"] = source["License"]
    texts = {description: to_json(described)}
    if not (out_dir / "README.md").exists():
        texts[out_dir / "README.md"] = _README.format(version=__version__, suffix=suffix)
    if not (out_dir / ".bidsignore").exists():
        texts[out_dir / ".bidsignore"] = "group_iqt.*\nrefused/\n"
    return texts


def _describe_source(source: dict[str, Any], bids_dir: Path, out_dir: Path) -> dict[str, str]:
    doi = source.get("DatasetDOI")
    return {"DOI": doi} if isinstance(doi, str) else {"URL": _link(bids_dir, out_dir)}


def _link(bids_dir: Path, out_dir: Path) -> str:
    """Return the relative path from the results to the dataset, so that both can be moved."""
    return Path(os.path.relpath(os.path.realpath(bids_dir), os.path.realpath(out_dir))).as_posix()


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty dict if it cannot be read."""
    from sklearn_iqt.io._open import read_json_file

    try:
        return read_json_file(path)
    except (OSError, ValueError):
        return {}


def to_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
