"""Table of the results for the scans of a BIDS dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import one_line
from sklearn_iqt.cli.bids._layout import Scan
from sklearn_iqt.cli.bids._scan import is_current, read_description, read_sidecar, sidecar

COLUMNS: dict[str, dict[str, Any]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session, if there are sessions"},
    "scan": {"Description": "Path of the scan, relative to the source dataset"},
    "status": {
        "Description": "State of the result",
        "Levels": {
            "done": "The scan was enhanced, and no file has changed since",
            "missing": "The scan was not enhanced, or enhancing it failed",
            "refused": "The scan was not enhanced, because the model was not made for it",
            "stale": "The enhanced file or its JSON file is damaged or missing, or the scan, the "
            "mask or the model has changed since",
        },
    },
    "intensity_scale": {
        "Description": "Intensity by which the model divides the scan, in the units of the scan"
    },
    **{
        f"spacing_{axis}": {
            "Description": f"Size of the enhanced voxels along axis {axis}",
            "Units": "mm",
        }
        for axis in "ijk"
    },
    "voxels": {"Description": "Number of enhanced voxels"},
    "seconds": {
        "Description": "Time to read and enhance the scan. The first scan of a process also waits "
        "for code to be compiled",
        "Units": "s",
    },
    "consistency_nrmse": {
        "Description": "Root mean squared difference between the scan and the enhanced scan "
        "averaged over the voxels of the scan, divided by the largest intensity of the scan. It "
        "is above zero if the model changes contrast or removes noise. Look at scans whose value "
        "is much larger than for most scans. n/a for models with corner alignment"
    },
    "check": {
        "Description": "Verdict of the check of the scan",
        "Levels": {
            "ok": "The scan is like the training scans",
            "caution": "The result may be worse than for scans like those of the training",
            "refuse": "The scan is of another kind than the training scans",
        },
    },
    "check_reasons": {"Description": "Reasons of the verdict"},
    "model_sha256": {"Description": "Checksum of the model file"},
    "version": {"Description": "Version of sklearn_iqt that enhanced the scan"},
}


def describe(
    scan: Scan, out_dir: Path, mask: Path | None, model_sha256: str | None
) -> dict[str, Any]:
    """Return the row of one scan.

    If `mask` or `model_sha256` is None, changes of the mask or of the model are not detected.
    """
    output = scan.output(out_dir)
    result = read_sidecar(output)
    model = result["Model"] if isinstance(result.get("Model"), dict) else {}
    sums = result["SHA256"] if isinstance(result.get("SHA256"), dict) else {}
    files = {"Scan": scan.path, "Enhanced": output}
    if mask is None:
        sums = {name: checksum for name, checksum in sums.items() if name != "Mask"}
    else:
        files["Mask"] = mask
    if not output.exists() and not sidecar(output).exists():
        status = "missing"
    else:
        checksum = model_sha256 or model.get("SHA256")
        current = is_current({"Model": model, "SHA256": sums}, files, str(checksum))
        status = "done" if current else "stale"
    if status != "done" and _is_refused(scan, out_dir, files, model_sha256):
        status, result = "refused", read_description(scan.refusal(out_dir))
    check = result["Check"] if isinstance(result.get("Check"), dict) else {}
    reasons = check.get("Reasons")
    shape = _three_numbers(result.get("Shape"))
    row = [
        scan.subject,
        scan.session,
        scan.relative,
        status,
        result.get("IntensityScale"),
        *_three_numbers(result.get("Spacing")),
        None if None in shape else shape[0] * shape[1] * shape[2],
        result.get("Seconds"),
        result.get("ConsistencyNRMSE"),
        check.get("Verdict"),
        "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else None,
        model.get("SHA256"),
        result.get("Version"),
    ]
    return dict(zip(COLUMNS, row, strict=True))


def _is_refused(
    scan: Scan, out_dir: Path, files: dict[str, Path], model_sha256: str | None
) -> bool:
    """Return whether this model refused this scan, and neither has changed since."""
    content = read_description(scan.refusal(out_dir))
    model = content["Model"] if isinstance(content.get("Model"), dict) else {}
    checksum = model_sha256 or model.get("SHA256")
    inputs = {name: path for name, path in files.items() if name != "Enhanced"}
    return is_current(content, inputs, str(checksum))


def to_tsv(rows: list[dict[str, Any]]) -> str:
    """Return the table as TSV. Unknown values are n/a, as BIDS requires."""
    lines = [list(COLUMNS), *([_cell(value) for value in row.values()] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _three_numbers(values: Any) -> list[Any]:
    """Return a list of three numbers, or of None if `values` is something else."""
    is_numbers = isinstance(values, list) and all(isinstance(v, (int, float)) for v in values)
    return values if is_numbers and len(values) == 3 else [None] * 3


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.6g}" if isinstance(value, float) else one_line(value)
