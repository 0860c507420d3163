"""Act on the check of a scan, and write it to a file."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn_iqt._file_names import stem
from sklearn_iqt._version import __version__
from sklearn_iqt.cli._common import RefusedScanError, one_line, write_text

# Help of --force in commands that enhance scans.
FORCE = "replace files that exist, and enhance scans that are refused"
_SOFTWARE = "sklearn_iqt"


@contextmanager
def judged_by(args: argparse.Namespace, check: Any, name: str) -> Iterator[None]:
    """Enhance a scan by its check, without further warnings about the scan.

    A scan that is refused raises RefusedScanError without --force. Doubts are printed to stderr, on
    one line.
    """
    from sklearn_iqt.exceptions import ScanWarning

    why = one_line("; ".join(check.reasons))
    if check.verdict == "refuse":
        if not args.force:
            possible = all(finding.topic not in ("grid", "intensity") for finding in check.findings)
            remedy = ". To enhance it, pass --force" if possible else ""
            raise RefusedScanError(f"{name} was refused: {why}{remedy}")
        why = f"it is enhanced although it was refused: {why}"
    if check.findings:
        print(f"sklearn-iqt {args.command}: warning: {name}: {why}", file=sys.stderr, flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        yield


def sidecar_of(output: Path) -> Path:
    """Return the JSON file of a result, which holds the check of its scan."""
    return output.with_name(f"{stem(output)}.json")


def write_check(output: Path, check: Any, *, enhanced: bool, force: bool) -> None:
    """Write the sidecar of a result. Other JSON files are only replaced with `force`."""
    path = sidecar_of(output)
    if path.exists() and not force and not _is_ours(path):
        raise FileExistsError(f"{path} exists already. Pass --force to replace existing files")
    content = {
        "Software": _SOFTWARE,
        "Version": __version__,
        "Enhanced": enhanced,
        "Check": check.to_record(),
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def _is_ours(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["Software"] == _SOFTWARE)
    except (OSError, ValueError, TypeError, KeyError):
        return False
