"""Enhance one scan of a BIDS dataset."""

from __future__ import annotations

import functools
import hashlib
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_iqt._version import __version__
from sklearn_iqt.cli._any_grid import as_scan, on_any_grid, plan_of
from sklearn_iqt.cli._common import one_line, set_session, write_text
from sklearn_iqt.cli._grids import check_grids
from sklearn_iqt.cli._imports import import_modules
from sklearn_iqt.cli.bids._layout import Scan, read_json, to_json
from sklearn_iqt.cli.bids._orphans import end_with_parent

if TYPE_CHECKING:
    from sklearn_iqt.persistence import ModelCard


@dataclass(frozen=True)
class Job:
    """Paths and settings that a process needs to enhance one scan."""

    scan: Scan
    output: Path
    refusal: Path
    mask: Path | None
    model: Path
    model_sha256: str
    imports: tuple[str, ...]
    skull_stripped: bool | None
    n_threads: int
    force: bool
    debug: bool
    process: int  # number of the process of the command

    @property
    def files(self) -> dict[str, Path]:
        """Files whose checksums decide whether the result is current."""
        files = {"Scan": self.scan.path, "Enhanced": self.output}
        return files if self.mask is None else {**files, "Mask": self.mask}


def enhance(job: Job) -> dict[str, Any]:
    """Enhance one scan, and return its status with the error and the warnings."""
    end_with_parent(job.process)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            result = _enhance(job)
        except Exception as error:
            if job.debug:
                raise
            result = {"status": "failed", "error": one_line(error)}
    messages = dict.fromkeys(one_line(warning.message) for warning in caught)
    return {**result, "warnings": list(messages)}


def is_done(job: Job) -> bool:
    """Return whether there is a complete result of this model, scan and mask."""
    return is_current(read_sidecar(job.output), job.files, job.model_sha256)


def is_current(content: dict[str, Any], files: dict[str, Path], model_sha256: str) -> bool:
    """Return whether a sidecar has the checksums of these files and of this model."""
    try:
        return content["Model"]["SHA256"] == model_sha256 and content["SHA256"] == _checksums(files)
    except (KeyError, TypeError, OSError):
        return False


def read_sidecar(output: Path) -> dict[str, Any]:
    """Return the description of an earlier result, or an empty dict if it cannot be read."""
    return read_description(sidecar(output))


def read_description(path: Path) -> dict[str, Any]:
    """Return the description in a JSON file, or an empty dict if it cannot be read."""
    content = read_json(path).get("IQT")
    return content if isinstance(content, dict) else {}


def sidecar(output: Path) -> Path:
    """Return the path of the JSON file that belongs to an enhanced scan."""
    return output.with_name(f"{output.name.removesuffix('.nii.gz')}.json")


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    from sklearn_iqt.io._open import open_regular

    checksum = hashlib.sha256()
    stream, _ = open_regular(path)
    with stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


@functools.lru_cache(maxsize=1)
def open_model(path: Path, checksum: str, imports: tuple[str, ...]) -> tuple[Any, ModelCard]:
    """Load a model and its card, once for each process and checksum."""
    from sklearn_iqt.persistence import load_model, read_model_card

    import_modules(imports)
    return load_model(path), read_model_card(path)


def _enhance(job: Job) -> dict[str, Any]:
    if not job.force and is_done(job):
        return {"status": "kept"}
    if job.mask is not None:
        check_grids([(job.scan.path, job.mask)])
    from threadpoolctl import threadpool_limits

    from sklearn_iqt.checks import check_scan
    from sklearn_iqt.exceptions import ScanWarning
    from sklearn_iqt.io import load_volume, save_volume

    model, card = open_model(job.model, job.model_sha256, job.imports)
    set_session(model, n_jobs=job.n_threads, verbose=0)
    started = time.perf_counter()
    image = load_volume(job.scan.path)
    mask = None if job.mask is None else load_volume(job.mask)
    model, scan = on_any_grid(model), as_scan(job.scan.path, name=job.scan.relative)
    with threadpool_limits(job.n_threads):
        check = check_scan(scan, model, mask=mask)
    why = "; ".join(check.reasons)
    if check.verdict == "refuse" and not job.force:
        job.refusal.parent.mkdir(parents=True, exist_ok=True)
        write_text(job.refusal, to_json(_describe_refusal(job, check)))
        return {"status": "refused", "error": why}
    if why:
        forced = "it is enhanced although it was refused: " if check.verdict == "refuse" else ""
        warnings.warn(f"{job.scan.relative}: {forced}{why}", ScanWarning, stacklevel=2)
    plan = plan_of(model, scan)
    with threadpool_limits(job.n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # the check has found the same
        enhanced = model.predict(scan, mask=None if mask is None else [mask])[0]
    seconds = time.perf_counter() - started
    job.output.parent.mkdir(parents=True, exist_ok=True)
    save_volume(enhanced, job.output)
    # The sidecar is written last, so that an incomplete result has no sidecar.
    content = _describe(job, model, card, image, mask, enhanced, plan, seconds)
    content["IQT"]["Check"] = check.to_record()
    write_text(sidecar(job.output), to_json(content))
    job.refusal.unlink(missing_ok=True)
    return {"status": "done", "seconds": seconds}


def _describe_refusal(job: Job, check: Any) -> dict[str, Any]:
    """Return the content of the file on a scan that was refused."""
    files = {name: path for name, path in job.files.items() if name != "Enhanced"}
    return {
        "Description": "Scan that was not enhanced, because the model was not made for it",
        "Sources": _sources(job),
        "IQT": {
            "Software": "sklearn_iqt",
            "Version": __version__,
            "Model": {"File": job.model.name, "SHA256": job.model_sha256},
            "SHA256": _checksums(files),
            "Check": check.to_record(),
        },
    }


def _describe(
    job: Job,
    model: Any,
    card: ModelCard,
    image: Any,
    mask: Any,
    enhanced: Any,
    plan: Any,
    seconds: float,
) -> dict[str, Any]:
    """Return the content of the sidecar."""
    import numpy as np

    from sklearn_iqt.base import steps_of
    from sklearn_iqt.preprocessing import intensity_scale

    *_, estimator = steps_of(model)
    name = " after ".join(type(step).__name__ for step in reversed(steps_of(model)))
    low = np.asarray(image.dataobj)
    foreground = None if mask is None else np.asarray(mask.dataobj) > 0
    stripped = job.skull_stripped
    if stripped is None:
        stripped = job.scan.metadata().get("SkullStripped")
    return {
        "Description": f"{job.scan.suffix} enhanced by image quality transfer ({name})",
        "Sources": _sources(job),
        **({"SkullStripped": stripped} if isinstance(stripped, bool) else {}),
        "IQT": {
            "Software": "sklearn_iqt",
            "Version": __version__,
            "Model": {
                "File": job.model.name,
                "SHA256": job.model_sha256,
                "Class": name,
                "Version": card.version,
                "Scale": list(estimator.scale_),
                "Alignment": estimator.alignment,
                "Training": None if card.training is None else card.training.as_dict(),
            },
            "SHA256": _checksums(job.files),
            "IntensityScale": float(intensity_scale(low, foreground)),
            "Grid": None if plan is None else plan.to_record(),
            "SpacingOfScan": _spacing(image),
            "Spacing": _spacing(enhanced),
            "Shape": list(enhanced.shape),
            "Seconds": round(seconds, 3),
            "ConsistencyNRMSE": _consistency(image, enhanced, plan, model),
        },
    }


def _sources(job: Job) -> list[str]:
    """Return the BIDS URIs of the scan and the mask, if they are in the dataset."""
    root = os.path.normpath(job.scan.root)
    paths = [Path(os.path.normpath(path)) for path in (job.scan.path, job.mask) if path]
    inside = [path for path in paths if path.is_relative_to(root)]
    return [f"bids:source:{path.relative_to(root).as_posix()}" for path in inside]


def _consistency(image: Any, enhanced: Any, plan: Any, model: Any) -> float | None:
    """Return the NRMSE between a scan and the averages of its enhanced voxels.

    Both are compared on the grid of the training scans, on which the model enhances.
    """
    import numpy as np

    from sklearn_iqt.base import steps_of
    from sklearn_iqt.io._orientation import reorient
    from sklearn_iqt.metrics import nrmse

    *_, estimator = steps_of(model)
    if plan is not None:
        if model.grid != "model":
            return None  # the result does not lie on the blocks of high voxels
        image, enhanced = plan.apply(image, model.order), reorient(enhanced, plan.orientation)
    low, fine = (np.asarray(volume.dataobj) for volume in (image, enhanced))
    if estimator.alignment != "center" and max(estimator.scale_) > 1:
        return None  # the blocks of high voxels are not aligned with the low voxels
    blocks = [part for pair in zip(low.shape, estimator.scale_, strict=True) for part in pair]
    averages = fine.reshape(blocks).mean(axis=(1, 3, 5), dtype="float64")
    return float(nrmse(low, averages))


def _spacing(image: Any) -> list[float]:
    from nibabel.affines import voxel_sizes

    return [round(float(size), 4) for size in voxel_sizes(image.affine)]


def _checksums(files: dict[str, Path]) -> dict[str, str]:
    return {name: sha256(path) for name, path in files.items()}
