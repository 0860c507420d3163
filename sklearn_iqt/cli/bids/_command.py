"""The command ``bids``: write a derivative dataset with the enhanced scans of a BIDS dataset."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn_iqt._version import __version__
from sklearn_iqt.cli._checks import FORCE
from sklearn_iqt.cli._common import REFUSED, add_command, say, write_text
from sklearn_iqt.cli._imports import add_imports
from sklearn_iqt.cli.bids._group import COLUMNS, describe, to_tsv
from sklearn_iqt.cli.bids._layout import (
    Scan,
    check_dataset,
    check_outside,
    derivative_texts,
    find_scans,
    to_json,
)
from sklearn_iqt.cli.bids._scan import Job, enhance, is_done, open_model, sha256

_EPILOG = """\
participant  enhances every BIDS_DIR/sub-*/[ses-*/]anat/*_T1w.nii[.gz] with the model and writes
             OUT_DIR/sub-*/[ses-*/]anat/*_desc-iqt_T1w.nii.gz with a JSON file. Existing results
             of the same model and scan are kept. A scan that fails does not stop the others.
             Each scan is checked first. If it is not like the training scans, it is not enhanced,
             OUT_DIR/refused/*_desc-iqt_T1w.json says why, and the exit code is 3, unless scans
             failed as well. With --force it is enhanced, and a warning says why it should not be.
group        writes OUT_DIR/group_iqt.tsv, a table with one row for each scan.

BIDS_DIR is never written to. OUT_DIR may be BIDS_DIR/derivatives/iqt.

In the PATTERN of the masks, {folder} stands for the folder of a scan, such as sub-01/ses-1/anat,
and {entities} for its entities, such as sub-01_ses-1_run-1. PATTERN is an absolute path or relative
to BIDS_DIR.

examples:
  sklearn-iqt bids bids bids/derivatives/iqt participant --model srep.iqt
  sklearn-iqt bids bids iqt participant --model srep.iqt --participant-label 01 02 --n-cpus 2
  sklearn-iqt bids bids iqt participant --model srep.iqt \\
      --mask 'derivatives/masks/{folder}/{entities}_desc-brain_mask.nii.gz'
  sklearn-iqt bids bids iqt group
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "bids",
        run,
        "enhance the scans of a BIDS dataset (a BIDS App)",
        _EPILOG,
        force=FORCE,
    )
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="dataset")
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="folder for the results")
    parser.add_argument("level", choices=["participant", "group"], help="see below")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL.iqt",
        help="model, written by fit; required by participant",
    )
    add_imports(parser)
    for name, prefix in (("participant", "sub-"), ("session", "ses-")):
        parser.add_argument(
            f"--{name}-label",
            f"--{name}_label",
            nargs="+",
            default=[],
            metavar="LABEL",
            help=f"{name}s to enhance, with or without '{prefix}' (default: all)",
        )
    parser.add_argument("--suffix", default="T1w", help="kind of scan (default: T1w)")
    parser.add_argument("--mask", metavar="PATTERN", help="masks of the foreground, see below")
    parser.add_argument(
        "--skull-stripped",
        choices=["yes", "no"],
        help="whether the scans are skull stripped, which BIDS requires derivatives to state "
        "(default: the value in the JSON files of the dataset, if any)",
    )
    parser.add_argument(
        "--n-cpus",
        "--n_cpus",
        type=int,
        default=-1,
        metavar="N",
        help="number of scans to enhance at a time, each in its own process with its share of the "
        "cores (default: -1, all cores)",
    )
    parser.add_argument(
        "--skip-bids-validation",
        "--skip_bids_validation",
        "--skip-bids-validator",
        "--skip_bids_validator",
        action="store_true",
        help="do not require dataset_description.json, the only file that is validated",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="print a line for each scan"
    )
    parser.add_argument("--version", action="version", version=f"sklearn-iqt {__version__}")


def run(args: argparse.Namespace) -> int:
    """Enhance the scans, or collect the results."""
    if args.level == "participant" and args.model is None:
        raise ValueError("the level participant needs --model")
    if args.n_cpus == 0 or args.n_cpus < -1:
        raise ValueError(f"--n-cpus must be at least 1, or -1 for all cores, got {args.n_cpus}")
    if not args.skip_bids_validation:
        check_dataset(args.bids_dir)
    check_outside(args.out_dir, args.bids_dir)
    scans, faults = find_scans(
        args.bids_dir, args.suffix, args.participant_label, args.session_label
    )
    masks = [_locate_mask(args.mask, scan) for scan in scans]
    checksum = None if args.model is None else sha256(args.model)
    if checksum is None or args.level == "group":
        return _collect(args, scans, masks, faults, checksum)
    return _enhance_all(args, scans, masks, faults, checksum)


def _enhance_all(
    args: argparse.Namespace,
    scans: list[Scan],
    masks: list[Path | None],
    faults: dict[str, str],
    checksum: str,
) -> int:
    from joblib import cpu_count
    from tqdm.auto import tqdm

    imports = tuple(args.imports)
    n_cpus = cpu_count() if args.n_cpus < 0 else args.n_cpus
    n_workers = max(min(n_cpus, len(scans)), 1)
    jobs = [
        Job(
            scan=scan,
            output=scan.output(args.out_dir),
            refusal=scan.refusal(args.out_dir),
            mask=mask,
            model=args.model,
            model_sha256=checksum,
            imports=imports,
            skull_stripped={"yes": True, "no": False, None: None}[args.skull_stripped],
            n_threads=n_cpus // n_workers,
            force=args.force,
            debug=args.debug,
            process=os.getpid(),
        )
        for scan, mask in zip(scans, masks, strict=True)
    ]
    for job in jobs:
        check_outside(job.output, args.bids_dir)
    open_model(
        args.model, checksum, imports
    )  # an invalid model file fails once, not for every scan
    _write(args, derivative_texts(args.bids_dir, args.out_dir, args.suffix))

    results = {name: {"status": "failed", "error": fault} for name, fault in faults.items()}
    with tqdm(
        total=len(jobs), desc="enhancing", unit="scan", disable=args.quiet, file=sys.stderr
    ) as bar:
        for job, result in zip(jobs, _run_jobs(jobs, n_workers), strict=True):
            results[job.scan.relative] = result
            for message in result.get("warnings", ()):
                bar.write(f"sklearn-iqt bids: warning: {message}", file=sys.stderr)
            if args.verbose and not args.quiet:
                bar.write(f"{job.scan.relative}: {_outcome(result)}", file=sys.stderr)
            bar.update()
    failed, refused = (
        {name: r["error"] for name, r in results.items() if r["status"] == status}
        for status in ("failed", "refused")
    )
    n_kept = sum(result["status"] == "kept" for result in results.values())
    kept = f", {n_kept} of them in an earlier run" if n_kept else ""
    n_done = len(results) - len(failed) - len(refused)
    refusals = f", {len(refused)} refused" if refused else ""
    say(args, f"{n_done} of {len(results)} done{kept}{refusals}, {len(failed)} failed")
    for name, why in sorted(refused.items()):
        print(f"sklearn-iqt bids: {name} was refused: {why}", file=sys.stderr)
    _print_errors(failed)
    if failed:
        return 2 if len(failed) == len(results) else 1
    return REFUSED if refused else 0


def _run_jobs(jobs: list[Job], n_workers: int) -> Iterator[dict[str, Any]]:
    """Yield the results in order. If a process is killed, only unfinished scans fail."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    results = Parallel(n_workers, return_as="generator")(delayed(enhance)(job) for job in jobs)
    for n in range(len(jobs)):
        try:
            yield next(results)
        except BrokenProcessPool:
            error = (
                "a process was killed, most often because memory ran out. Run again with a smaller "
                "--n-cpus. Finished scans are kept"
            )
            for job in jobs[n:]:
                yield {"status": "done"} if is_done(job) else {"status": "failed", "error": error}
            return


def _collect(
    args: argparse.Namespace,
    scans: list[Scan],
    masks: list[Path | None],
    faults: dict[str, str],
    checksum: str | None,
) -> int:
    from tqdm.auto import tqdm

    texts = derivative_texts(args.bids_dir, args.out_dir, args.suffix)
    pairs = list(zip(scans, masks, strict=True))
    rows = [
        describe(scan, args.out_dir, mask, checksum)
        for scan, mask in tqdm(
            pairs, desc="collecting", unit="scan", disable=args.quiet, file=sys.stderr
        )
    ]
    table = args.out_dir / "group_iqt.tsv"
    texts |= {table: to_tsv(rows), table.with_suffix(".json"): to_json(COLUMNS)}
    _write(args, texts)
    n_done = sum(row["status"] == "done" for row in rows)
    say(args, f"{table}: {n_done} of {len(rows)} scans are done")
    _print_errors(faults)
    return int(n_done < len(rows) or bool(faults))


def _locate_mask(pattern: str | None, scan: Scan) -> Path | None:
    if pattern is None:
        return None
    fields = {"folder": scan.folder, "entities": scan.entities}
    named = set(re.findall(r"\{(.*?)\}", pattern))
    if not named or named - set(fields):
        raise ValueError(
            "--mask must contain {folder} or {entities}, and no other name in braces, got "
            f"{pattern!r}"
        )
    return scan.root / re.sub(r"\{(.*?)\}", lambda match: fields[match[1]], pattern)


def _write(args: argparse.Namespace, texts: dict[Path, str]) -> None:
    for path in texts:
        check_outside(path, args.bids_dir)
    args.out_dir.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)


def _print_errors(failed: dict[str, str]) -> None:
    for name, error in sorted(failed.items()):
        print(f"sklearn-iqt bids: error: {name}: {error}", file=sys.stderr)


def _outcome(result: dict[str, Any]) -> str:
    if result["status"] in ("failed", "refused"):
        return str(result["status"])
    seconds = result.get("seconds")
    return "done in an earlier run" if seconds is None else f"done in {seconds:.1f} s"
