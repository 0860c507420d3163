"""The command ``enhance``: enhance scans with a fitted model."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._any_grid import as_scan, on_any_grid, plan_of
from sklearn_iqt.cli._checks import FORCE, judged_by, write_check
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
from sklearn_iqt.cli._pretrained import choose_pretrained, without_outside

_EPILOG = """\
The result of SCAN.nii.gz is SCAN_enhanced.nii.gz, on a finer grid, at the same position in mm and
in the units of the scan. If the axes of the scan are in another order than in the training scans,
or its voxels have another size in plane, the scan is brought to the grid of the training first, and
a line says so. With --std, SCAN_std.nii.gz is written as well. It is a standard deviation, which
shows where errors are likely and is not a confidence interval. With --interval, SCAN_lower.nii.gz
and SCAN_upper.nii.gz are the ends of the interval of each voxel; the model must have been
calibrated by 'fit --calibrate'.

Without --model, a model that comes with the package is used, and a line says which one and why. A
scan that it was not trained for is refused, or a warning says how it differs. The models are for
research, and not for diagnosis. With --mask, the scan is set to 0 outside of the brain first.

Each scan is checked first. If it is not like the training scans, it is refused: nothing is
enhanced, and the exit code is 3. With --force it is enhanced, and a warning says why it should not
be. SCAN_enhanced.json holds the verdict and its reasons, also for scans that were refused.

examples:
  sklearn-iqt enhance brain.nii.gz --output enhanced.nii.gz
  sklearn-iqt enhance --model srep.iqt scan.nii.gz --output enhanced.nii.gz
  sklearn-iqt enhance --model srep.iqt scans/*.nii.gz --output-dir enhanced --std
  sklearn-iqt enhance --model calibrated.iqt scan.nii.gz --output enhanced.nii.gz --interval
  sklearn-iqt enhance --model srep.iqt scan.nii.gz --mask brain.nii.gz --grid T1w.nii.gz \\
      --output enhanced.nii.gz
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "enhance", run, "enhance scans with a fitted model", _EPILOG, force=FORCE
    )
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="scan to enhance")
    parser.add_argument(
        "--model",
        metavar="MODEL.iqt",
        help="model, written by fit. By default a model that comes with the package is chosen for "
        "each SCAN",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output-dir", type=Path, metavar="DIR", help="folder for the results")
    where.add_argument(
        "--output", type=Path, metavar="FILE", help="file for the result of a single SCAN"
    )
    parser.add_argument("--std", action="store_true", help="write a standard deviation as well")
    parser.add_argument(
        "--interval", action="store_true", help="write the ends of calibrated intervals as well"
    )
    parser.add_argument(
        "--mask", nargs="+", metavar="MASK", help="foreground of each SCAN, where it is above 0"
    )
    parser.add_argument(
        "--consistent",
        action="store_true",
        help="correct results, so that they agree with the scan except for noise and contrast",
    )
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument(
        "--grid",
        metavar="{model,scan,FILE}",
        help="grid of the results: the grid that the model makes, in the orientation of SCAN "
        "(model, the default), the grid of SCAN (scan), or the grid of a NIfTI file",
    )
    grid.add_argument(
        "--voxel-size",
        type=float,
        nargs="+",
        metavar="MM",
        help="voxel size of the results: one length, or three along the axes of SCAN",
    )
    add_nan(parser)
    add_imports(parser)
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: -1, all cores)")


def run(args: argparse.Namespace) -> int:
    """Enhance the scans."""
    from sklearn_iqt.checks import check_scan
    from sklearn_iqt.io import save_volume
    from sklearn_iqt.persistence import load_model

    if args.output is not None and len(args.scans) > 1:
        raise ValueError(f"--output allows one scan, got {len(args.scans)}. Use --output-dir")
    masks = args.mask or []
    if masks and len(masks) != len(args.scans):
        raise ValueError(f"got {len(masks)} masks for {len(args.scans)} scans. Give one for each")
    grid = _choose_grid(args)
    outputs = [_name_outputs(args, scan) for scan in args.scans]
    check_outputs(
        [path for paths in outputs for path in paths.values()],
        [*args.scans, *masks, *([args.model] if args.model else [])],
        args.force,
    )
    import_modules(args.imports)
    # A single progress bar counts the scans, or the parts of a single scan.
    single = len(args.scans) == 1
    consistency = {"consistency": True} if args.consistent else {}

    def prepare(model: Any) -> Any:
        set_session(model, n_jobs=args.jobs, verbose=int(single and not args.quiet))
        model = on_any_grid(model, **grid, **consistency)
        if args.interval and not hasattr(model, "predict_interval"):
            raise ValueError(
                "--interval needs a calibrated model. Fit one with 'sklearn-iqt fit --calibrate', "
                "and pass it as --model"
            )
        return model

    own = None if args.model is None else prepare(load_model(args.model))

    def enhance(n: int) -> None:
        scan = as_scan(args.scans[n], nan=args.nan)
        mask = as_scan(args.mask[n]) if args.mask else None
        model = own
        if model is None:
            choice = choose_pretrained(scan, mask)
            say(
                args,
                f"{args.scans[n]}: the model is {choice.name} of the package, because "
                f"{choice.reason}",
            )
            model = prepare(choice.model)
            if mask is not None:
                scan, mask = without_outside(scan, mask), None
        check = check_scan(scan, model, mask=mask)
        record = partial(write_check, outputs[n]["enhanced"], check, force=args.force)
        record(enhanced=False)
        results: dict[str, Any] = {}
        with judged_by(args, check, args.scans[n]):
            plan = plan_of(model, scan)
            if plan is not None and (steps := plan.describe()):
                say(args, f"{args.scans[n]}: to fit the training scans, {steps}")
            if args.interval:
                prediction, lower, upper = model.predict_interval(scan, mask=mask)
                results |= {"enhanced": prediction, "lower": lower, "upper": upper}
            if args.std:
                prediction, std = model.predict(scan, mask=mask, return_std=True)
                results |= {"enhanced": prediction, "std": std}
            if not results:
                results["enhanced"] = model.predict(scan, mask=mask)
        for kind, output in outputs[n].items():
            save_volume(results[kind][0], output)
        record(enhanced=True)

    code = run_batch(args, range(len(args.scans)), enhance, "enhancing", show=not single)
    if code == 0:
        say(args, f"wrote {outputs[0]['enhanced'] if single else args.output_dir}")
    return code


def _choose_grid(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameter of AnyGridIQT, or an empty dict to leave it unchanged."""
    if args.voxel_size is not None:
        if len(args.voxel_size) not in (1, 3):
            raise ValueError(f"--voxel-size takes one or three numbers, got {len(args.voxel_size)}")
        if not all(0 < size < math.inf for size in args.voxel_size):
            sizes = " ".join(f"{size:g}" for size in args.voxel_size)
            raise ValueError(f"--voxel-size takes lengths above 0 in mm, got {sizes}")
        size = args.voxel_size
        return {"grid": size[0] if len(size) == 1 else tuple(size)}
    if args.grid is None or args.grid in ("model", "scan"):
        return {} if args.grid is None else {"grid": args.grid}
    if not Path(args.grid).exists():
        raise ValueError(f"--grid must be model, scan or a NIfTI file, got {args.grid}")
    return {"grid": as_scan(args.grid).grid(0)}


def _name_outputs(args: argparse.Namespace, scan: str) -> dict[str, Path]:
    """Return the files of a scan: the result, and those that were asked for as well."""
    first = args.output
    if first is None:
        first = args.output_dir / f"{stem(scan)}_enhanced.nii.gz"
    start = stem(scan) if args.output is None else stem(args.output)
    others = ["std"] * args.std + ["lower", "upper"] * args.interval
    return {"enhanced": first} | {
        kind: first.with_name(f"{start}_{kind}.nii.gz") for kind in others
    }
