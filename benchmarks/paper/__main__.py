"""Run the paper's experiment on a cohort, and write its tables and figures.

    python -m benchmarks.paper --profile cpu --cohort ../shared/data/ds002748 --output results/cc0
    python -m benchmarks.paper --profile cpu --cohort ... --output results/cc0 --resume
    python -m benchmarks.paper --output results/cc0 --report

A cohort is a folder with skull-stripped volumes sub-*_T1w.nii.gz and, optionally, tissue labels
sub-*_tissues.nii.gz. participants.tsv, in the folder or its parent folder, has the columns cohort,
subject and split. All subjects of the cohort are used, regardless of their split. Without --cohort,
brains are made from the embedded template.

Subjects are dealt to folds. Each method is fitted to the subjects of the other folds, each degraded
once, and predicts the subjects of its fold, which are degraded several times for each test set. A
cell is one method on one fold, and runs in a separate process with one thread. Predictions are
stored, and measures are computed from them (see python -m benchmarks.paper.measures --help).

The run can be killed at any time and resumed: finished cells are kept, and nets continue from their
checkpoint. A cell that fails is reported and left out. Several runs may share one folder: start the
same command with --resume once for each core. Methods that are added to the profile later run alone
with --methods, and join the same tables. A run with --draws 1 compares all methods on the first
draw, and a later run without it adds the others.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.code import describe_code
from benchmarks.cohorts import Cohort, load_cohort, write_embedded_cohort
from benchmarks.paper.cell import BUSY, is_done, list_scans
from benchmarks.paper.config import Cell, list_cells, make_folds, read_profile
from benchmarks.paper.measures import ENDPOINTS, MEASURES, measure_cell
from benchmarks.paper.pairs import prepare_pairs, write_json
from benchmarks.paper.report import write_report

ROOT = Path(__file__).parents[2]
# Entries of the manifest that must not change when a run is resumed.
FIXED = ("options", "endpoints", "folds", "cohort_checksum")


def main(argv: list[str] | None = None) -> int:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cohort",
        type=Path,
        help="folder of the cohort; brains from the embedded template by default",
    )
    parser.add_argument("--participants", type=Path, help="table of subjects, a .tsv file")
    parser.add_argument(
        "--slice-axis", choices=list("ijk"), default="k", help="axis of the thick slices"
    )
    parser.add_argument("--profile", default="smoke", help="smoke, cpu, gpu or a .toml file")
    parser.add_argument("--methods", nargs="+", help="run only these methods and their variants")
    parser.add_argument("--folds", nargs="+", type=int, help="run only these folds, from 0")
    parser.add_argument(
        "--draws", type=int, help="use only the first draws; by default those of the profile"
    )
    parser.add_argument(
        "--measures",
        nargs="+",
        choices=list(MEASURES),
        metavar="MEASURE",
        help="compute only these measures; benchmarks.paper.measures adds the others later",
    )
    parser.add_argument("--fits", type=int, help="run only the first fits of methods with repeats")
    parser.add_argument(
        "--alignment",
        choices=("center", "corner"),
        default="center",
        help="alignment of the low and the high grid",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the simulation and of the methods")
    parser.add_argument("--output", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--resume", action="store_true", help="continue the experiment in --output")
    parser.add_argument("--report", action="store_true", help="only write tables and figures again")
    parser.add_argument(
        "--figures", action=argparse.BooleanOptionalAction, default=True, help="draw the figures"
    )
    arguments = parser.parse_args(argv)
    output = arguments.output.resolve()
    if not arguments.report:
        command = shlex.join(["python", "-m", "benchmarks.paper", *(argv or sys.argv[1:])])
        failed = run(arguments, output, command)
    else:
        failed = []
    print(write_report(output, draws=arguments.draws, figures=arguments.figures))
    for name in failed:
        print(f"failed: {name}. See its log in {output / 'cells'}.", file=sys.stderr)
    return 1 if failed else 0


def run(arguments: argparse.Namespace, output: Path, command: str) -> list[str]:
    """Run and measure the cells that are not finished, and return those that failed."""
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".lock"):
        cohort, manifest = _prepare(arguments, output, command)
    cells = [
        cell
        for cell in list_cells(manifest["profile"])
        if (not arguments.methods or cell.method in arguments.methods)
        and (not arguments.folds or cell.fold in arguments.folds)
        and (arguments.fits is None or cell.repeat < arguments.fits)
    ]
    failed, busy = [], []
    for number, cell in enumerate(cells, 1):
        print(f"[{number}/{len(cells)}] {cell.folder}", file=sys.stderr, flush=True)
        code = _run_cell(output, cell, cohort, manifest, measures=arguments.measures)
        if code == BUSY:
            busy.append(cell)
        elif code:
            failed.append(cell.folder)
    # Other processes of this experiment, or of a run that was killed, may still be running.
    for cell in busy:
        print(f"waiting for {cell.folder}", file=sys.stderr, flush=True)
        if _run_cell(output, cell, cohort, manifest, "--wait", measures=arguments.measures):
            failed.append(cell.folder)
    return failed


def _run_cell(
    output: Path,
    cell: Cell,
    cohort: Cohort,
    manifest: dict[str, Any],
    *options: str,
    measures: Sequence[str] | None,
) -> int:
    """Simulate, fit, predict and measure what is not stored yet, and return the exit status."""
    start = time.perf_counter()
    code = 0
    if not is_done(output, cell, manifest["draws"]):
        with FileLock(output / ".pairs.lock"):
            _prepare_cell(output, cell, cohort, manifest)
        log = output / "cells" / f"{cell.folder}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as stream:
            child = [sys.executable, "-m", "benchmarks.paper.cell", str(output), cell.folder]
            code = subprocess.run(
                [*child, *options], cwd=ROOT, stdout=stream, stderr=stream
            ).returncode
    if code != BUSY:
        measure_cell(output, cell, measures)
    print(f"    {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return code


def _prepare_cell(output: Path, cell: Cell, cohort: Cohort, manifest: dict[str, Any]) -> None:
    """Simulate the scans of a cell that are not stored."""
    options = {
        "alignment": manifest["options"]["alignment"],
        "seed": manifest["options"]["seed"],
        **manifest["profile"].get("simulation", {}),
    }
    training = [(s, 0) for n, fold in enumerate(manifest["folds"]) if n != cell.fold for s in fold]
    prepare_pairs(cohort, output, "train", training, **options)
    for name in cell.test_sets:
        prepare_pairs(cohort, output, name, list_scans(manifest, cell.fold), **options)


def _prepare(
    arguments: argparse.Namespace, output: Path, command: str
) -> tuple[Cohort, dict[str, Any]]:
    """Write the manifest, and return it with the cohort."""
    manifest_file = output / "manifest.json"
    if manifest_file.exists() and not arguments.resume:
        raise SystemExit(
            f"{output}: there is already an experiment. Continue it with --resume, or choose "
            "another --output."
        )
    if arguments.cohort is None:
        embedded = output / "embedded"
        exists = (embedded / "participants.tsv").exists()
        cohort = load_cohort(embedded) if exists else write_embedded_cohort(embedded)
    else:
        cohort = load_cohort(arguments.cohort, arguments.participants, arguments.slice_axis)
    manifest = make_manifest(arguments, cohort)
    manifest["runs"] = [{"command": command, **describe_code()}]
    if manifest_file.exists():
        before = json.loads(manifest_file.read_text())
        changed = [key for key in FIXED if before.get(key) != manifest[key]]
        changed += changed_cells(output, before["profile"], manifest["profile"])
        if changed:
            raise SystemExit(
                f"{output}: the experiment was started with other {', '.join(changed)}. Choose "
                "another --output."
            )
        manifest["runs"] = [*before["runs"], *manifest["runs"]]
    profile = manifest["profile"]
    unknown = set(arguments.methods or ()) - set(profile["methods"])
    if unknown:
        raise SystemExit(
            f"--methods: {', '.join(sorted(unknown))} are not in the profile. Choose from "
            f"{', '.join(profile['methods'])}."
        )
    if not 1 <= manifest["draws"] <= profile["draws"]:
        raise SystemExit(f"--draws: choose from 1 to {profile['draws']}.")
    if not set(arguments.folds or ()) <= set(range(profile["folds"])):
        raise SystemExit(f"--folds: choose from 0 to {profile['folds'] - 1}.")
    write_json(manifest_file, manifest)
    return cohort, manifest


def changed_cells(output: Path, before: dict[str, Any], profile: dict[str, Any]) -> list[str]:
    """Return the started cells that the profile now defines differently; it may have new ones."""
    cells = {cell.folder: cell for cell in list_cells(profile)}
    started = [c for c in list_cells(before) if (output / "cells" / c.folder).is_dir()]
    whole = ("test_sets", "in_distribution", "folds", "simulation")
    changed = [key for key in whole if before.get(key) != profile.get(key)]
    return changed + [
        c.folder for c in started if c.folder not in cells or cells[c.folder].spec != c.spec
    ]


def make_manifest(arguments: argparse.Namespace, cohort: Cohort) -> dict[str, Any]:
    """Return the profile, the options, the endpoints and the folds of an experiment."""
    profile = read_profile(arguments.profile)
    return {
        "profile": profile,
        "draws": profile["draws"] if arguments.draws is None else arguments.draws,
        "options": {
            "profile": arguments.profile,
            "cohort": cohort.name,
            "seed": arguments.seed,
            "alignment": arguments.alignment,
            "slice_axis": arguments.slice_axis,
        },
        "endpoints": list(ENDPOINTS),
        "folds": make_folds(cohort.subjects(), profile["folds"], arguments.seed),
        "cohort_checksum": cohort.checksum(),
    }


if __name__ == "__main__":
    sys.exit(main())
