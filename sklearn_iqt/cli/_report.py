"""The command ``report``: write a page on the enhancement of a scan by a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._any_grid import as_scan, on_any_grid, plan_of
from sklearn_iqt.cli._common import add_command, check_outputs, say, set_session
from sklearn_iqt.cli._grids import check_grids
from sklearn_iqt.cli._imports import add_imports, import_modules

_EPILOG = """\
The report is one HTML file of less than 5 MB. It needs no other file and makes no network requests.
It starts with a verdict: whether the scan is like the training scans of the model, whether the
enhancement is consistent with the scan, and the numbers that decide. It shows slices of the scan,
its interpolation, its enhancement and its uncertainty side by side, and describes the model.

The report contains the name of the scan, the description in its header and its slices. Protect it
like the scan.

examples:
  sklearn-iqt report --model srep.iqt scan.nii.gz --output report.html
  sklearn-iqt report --model srep.iqt sub-1_low.nii.gz --truth sub-1_high.nii.gz \\
      --output report.html
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "report", run, "write a page on the enhancement of a scan", _EPILOG
    )
    parser.add_argument("scan", metavar="SCAN", help="scan to enhance")
    parser.add_argument("--model", required=True, metavar="MODEL.iqt", help="model, written by fit")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE.html", help="page to write"
    )
    parser.add_argument("--truth", metavar="FILE", help="high-quality scan to compare with")
    parser.add_argument("--mask", metavar="FILE", help="brain of SCAN, where it is above 0")
    parser.add_argument(
        "--thickness",
        type=float,
        metavar="WIDTH",
        help="width of the slice profile of SCAN, in voxels of the enhancement (default: scale - "
        "1)",
    )
    add_imports(parser)
    parser.add_argument("--title", help="heading of the page (default: the name of SCAN)")
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: -1, all cores)")


def run(args: argparse.Namespace) -> int:
    """Enhance the scan and write the page."""
    from sklearn_iqt.base import enhancer_of
    from sklearn_iqt.persistence import load_model, read_model_card
    from sklearn_iqt.report import write_report

    if args.output.suffix not in (".html", ".htm"):
        raise ValueError(f"the name of the page must end in .html, got {args.output}")
    import_modules(args.imports)
    model, card = load_model(args.model), read_model_card(args.model)
    if args.mask:
        check_grids([(args.scan, args.mask)])
    plan = plan_of(on_any_grid(model), as_scan(args.scan))
    changes = None if plan is None else plan.describe()
    if args.truth and changes is None:
        estimator = enhancer_of(model, "report")
        check_grids(
            [(args.scan, args.truth)], scale=estimator.scale_, alignment=estimator.alignment
        )
    inputs = [args.scan, args.model, *(path for path in (args.truth, args.mask) if path)]
    check_outputs([args.output], inputs, args.force)
    set_session(model, n_jobs=args.jobs, verbose=int(not args.quiet))
    if changes is not None:
        say(args, f"{args.scan}: to fit the training scans, {changes}")
    write_report(
        on_any_grid(model),
        args.scan,
        args.output,
        truth=args.truth,
        mask=args.mask,
        card=card,
        thickness=args.thickness,
        title=args.title,
    )
    say(args, f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")
    return 0
