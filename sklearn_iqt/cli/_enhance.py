"""The command ``enhance``: enhance scans with a fitted model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import (
    add_command,
    add_nan,
    check_outputs,
    run_batch,
    say,
    set_session,
    stem,
)
from sklearn_iqt.cli._imports import add_imports, import_modules
from sklearn_iqt.exceptions import GeometryMismatchError

_EPILOG = """\
The result of SCAN.nii.gz is SCAN_enhanced.nii.gz, on a finer grid, at the same position in mm and
in the units of the scan. With --std, SCAN_std.nii.gz is written as well. It is the spread of the
overlapping patches, which shows where patches disagree and is not a confidence interval.

examples:
  sklearn-iqt enhance --model srep.iqt scan.nii.gz --output enhanced.nii.gz
  sklearn-iqt enhance --model srep.iqt scans/*.nii.gz --output-dir enhanced --std
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "enhance", run, "enhance scans with a fitted model", _EPILOG)
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="scan to enhance")
    parser.add_argument("--model", required=True, metavar="MODEL.iqt", help="model, written by fit")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output-dir", type=Path, metavar="DIR", help="folder for the results")
    where.add_argument(
        "--output", type=Path, metavar="FILE", help="file for the result of a single SCAN"
    )
    parser.add_argument("--std", action="store_true", help="write the spread as well")
    add_nan(parser)
    add_imports(parser)
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: -1, all cores)")


def run(args: argparse.Namespace) -> int:
    """Enhance the scans."""
    from sklearn_iqt.io import load_volume, save_volume
    from sklearn_iqt.persistence import load_model

    if args.output is not None and len(args.scans) > 1:
        raise ValueError(f"--output allows one scan, got {len(args.scans)}. Use --output-dir")
    outputs = [_name_outputs(args, scan) for scan in args.scans]
    check_outputs(
        [path for paths in outputs for path in paths], [*args.scans, args.model], args.force
    )
    import_modules(args.imports)
    model = load_model(args.model)
    # A single progress bar counts the scans, or the parts of a single scan.
    single = len(args.scans) == 1
    set_session(model, n_jobs=args.jobs, verbose=int(single and not args.quiet))

    def enhance(n: int) -> None:
        image = load_volume(args.scans[n], nan=args.nan)
        try:
            results = model.predict([image], return_std=args.std)
        except GeometryMismatchError as error:
            raise GeometryMismatchError(f"{args.scans[n]}: {error}") from error
        for result, output in zip(results if args.std else [results], outputs[n], strict=True):
            save_volume(result[0], output)

    code = run_batch(args, range(len(args.scans)), enhance, "enhancing", show=not single)
    if code == 0:
        say(args, f"wrote {outputs[0][0] if single else args.output_dir}")
    return code


def _name_outputs(args: argparse.Namespace, scan: str) -> list[Path]:
    if args.output is None:
        names = [args.output_dir / f"{stem(scan)}_enhanced.nii.gz"]
        spread = args.output_dir / f"{stem(scan)}_std.nii.gz"
    else:
        names = [args.output]
        spread = args.output.with_name(f"{stem(args.output)}_std.nii.gz")
    return [*names, spread] if args.std else names
