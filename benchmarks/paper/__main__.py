"""Run the paper's experiment on a cohort, and draw its tables and figures.

    python -m benchmarks.paper --profile cpu --cohort ../shared/data/ds002748 --output results/cc0
    python -m benchmarks.paper --profile cpu --cohort ... --output results/cc0 --resume
    python -m benchmarks.paper --output results/cc0 --report

A cohort is a folder with sub-*_T1w.nii.gz, skull-stripped, and sub-*_tissues.nii.gz where there
are tissue labels; participants.tsv, in the folder or beside it, says which subject trains,
validates and tests. Without --cohort brains are made from the embedded template. Each training
subject is degraded once, each test subject once for every test set; each method is fitted and
scored in a process of its own. The run can be killed at any point and resumed: finished cells are
kept, nets go on from their checkpoint. A cell that fails is reported and left out. Several runs
may work on one folder, for instance each on its own --methods.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.code import describe_code
from benchmarks.cohorts import Cohort, load_cohort, write_embedded_cohort
from benchmarks.paper.cell import is_done
from benchmarks.paper.config import list_cells, read_profile
from benchmarks.paper.pairs import prepare_pairs, write_json
from benchmarks.paper.report import write_report

ROOT = Path(__file__).parents[2]
# What must be the same when a run is resumed.
FIXED = ("split", "options", "cohort_checksum")


def main(argv: list[str] | None = None) -> int:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cohort", type=Path, help="folder; the embedded brains by default")
    parser.add_argument("--participants", type=Path, help="table of the split")
    parser.add_argument("--slice-axis", choices=list("ijk"), default="k")
    parser.add_argument("--profile", default="smoke", help="smoke, cpu, gpu or a .toml file")
    parser.add_argument("--methods", nargs="+", help="only these, and their variants")
    parser.add_argument("--alignment", choices=("center", "corner"), default="center")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --output")
    parser.add_argument("--report", action="store_true", help="only draw tables and figures again")
    parser.add_argument("--figures", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args(argv)
    output = arguments.output.resolve()
    if not arguments.report:
        command = shlex.join(["python", "-m", "benchmarks.paper", *(argv or sys.argv[1:])])
        failed = run(arguments, output, command)
    else:
        failed = []
    print(write_report(output, figures=arguments.figures))
    for name in failed:
        print(f"failed: {name}, see {output / 'cells'}", file=sys.stderr)
    return 1 if failed else 0


def run(arguments: argparse.Namespace, output: Path, command: str) -> list[str]:
    """Run every cell that is not done, and return the names of those that failed."""
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".lock"):
        profile = _begin(arguments, output, command)
    cells = list_cells(profile)
    if arguments.methods:
        cells = [cell for cell in cells if cell.method in arguments.methods]
    failed = []
    for number, cell in enumerate(cells, 1):
        if is_done(output, cell):
            continue
        print(f"[{number}/{len(cells)}] {cell.name}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        log = output / "cells" / f"{cell.folder}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as stream:
            child = [sys.executable, "-m", "benchmarks.paper.cell", str(output), cell.name]
            code = subprocess.run(child, cwd=ROOT, stdout=stream, stderr=stream).returncode
        print(f"    {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        if code:
            failed.append(cell.name)
    return failed


def _begin(arguments: argparse.Namespace, output: Path, command: str) -> dict[str, Any]:
    """Write the manifest and the pairs, and return the profile."""
    started = output / "manifest.json"
    if started.exists() and not arguments.resume:
        raise SystemExit(f"{output} holds an experiment; pass --resume to go on with it.")
    if arguments.cohort is None:
        embedded = output / "embedded"
        is_there = (embedded / "participants.tsv").exists()
        cohort = load_cohort(embedded) if is_there else write_embedded_cohort(embedded)
    else:
        cohort = load_cohort(arguments.cohort, arguments.participants, arguments.slice_axis)
    manifest = make_manifest(arguments, cohort)
    manifest["runs"] = [{"command": command, **describe_code()}]
    if started.exists():
        before = json.loads(started.read_text())
        changed = [key for key in FIXED if before[key] != manifest[key]]
        changed += changed_cells(output, before["profile"], manifest["profile"])
        if changed:
            raise SystemExit(
                f"{output}: this experiment was begun with other {', '.join(changed)}; choose "
                "another --output."
            )
        manifest["runs"] = [*before["runs"], *manifest["runs"]]
    profile = manifest["profile"]
    unknown = set(arguments.methods or ()) - set(profile["methods"])
    if unknown:
        raise SystemExit(f"the profile has no methods {sorted(unknown)}.")
    write_json(started, manifest)
    prepare_pairs(
        cohort,
        output,
        profile["test_sets"],
        alignment=arguments.alignment,
        seed=arguments.seed,
    )
    return profile


def changed_cells(output: Path, before: dict[str, Any], profile: dict[str, Any]) -> list[str]:
    """Return what is begun and would now be another thing; a profile may grow meanwhile."""
    cells = {cell.name: cell for cell in list_cells(profile)}
    begun = [c for c in list_cells(before) if (output / "cells" / c.folder).is_dir()]
    changed = [] if before["test_sets"] == profile["test_sets"] else ["test sets"]
    return changed + [c.name for c in begun if c.name not in cells or cells[c.name].spec != c.spec]


def make_manifest(arguments: argparse.Namespace, cohort: Cohort) -> dict[str, Any]:
    """Return what must stay the same while an experiment is resumed."""
    return {
        "profile": read_profile(arguments.profile),
        "options": {
            "profile": arguments.profile,
            "cohort": cohort.name,
            "seed": arguments.seed,
            "alignment": arguments.alignment,
            "slice_axis": arguments.slice_axis,
        },
        "split": cohort.split,
        "cohort_checksum": cohort.checksum(),
    }


if __name__ == "__main__":
    sys.exit(main())
