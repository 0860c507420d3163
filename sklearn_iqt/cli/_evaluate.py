"""The command ``evaluate``: measure estimates against truths, and print a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import (
    add_command,
    add_nan,
    check_outputs,
    format_table,
    run_batch,
    write_text,
)
from sklearn_iqt.cli._grids import check_grids

_EPILOG = """\
NRMSE is the root of the mean squared error, divided by the largest or by the mean true intensity.
A lower NRMSE is better. PSNR and SSIM use the range of the true intensities. A higher PSNR or SSIM
is better. With masks, only voxels where the mask is above 0 are measured. Masks are usual for
brains, because the background is easy to predict. The command report measures only the brain, so
its numbers equal the numbers with a mask.

Repeat --estimate for each method. Each method has its own mean. The CSV file has no means, but
additional columns for the truth, the mask and the number of the method.

examples:
  sklearn-iqt evaluate --truth a_high.nii.gz --estimate a_enhanced.nii.gz
  sklearn-iqt evaluate --truth pairs/*_high.nii.gz --estimate enhanced/*_enhanced.nii.gz \\
      --mask masks/*.nii.gz --csv scores.csv
  sklearn-iqt evaluate --truth pairs/*_high.nii.gz --estimate cubic/*_enhanced.nii.gz \\
      --estimate srep/*_enhanced.nii.gz
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "evaluate", run, "measure how far estimates are from the truth", _EPILOG
    )
    parser.add_argument("--truth", nargs="+", required=True, metavar="FILE", help="true scans")
    parser.add_argument(
        "--estimate",
        nargs="+",
        action="append",
        required=True,
        metavar="FILE",
        help="estimates in the order of the truths; repeat for each method",
    )
    parser.add_argument(
        "--mask", nargs="+", metavar="FILE", help="masks in the order of the truths"
    )
    add_nan(parser)
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="file to write the table to as well"
    )


def run(args: argparse.Namespace) -> int:
    """Measure the estimates."""
    from sklearn_iqt.io import as_volumes
    from sklearn_iqt.metrics._table import MEASURES, format_csv, mean_scores, score_table

    n, masks = len(args.truth), args.mask or []
    for estimates in args.estimate:
        if len(estimates) != n or len(masks) not in (0, n):
            raise ValueError(
                f"got {n} truths, {len(estimates)} estimates and {len(masks) or 'no'} masks. Give "
                "one estimate and, if any, one mask for each truth, in the same order. Repeat "
                "--estimate for each method"
            )
    for others in filter(None, (*args.estimate, masks)):
        check_grids(zip(args.truth, others, strict=True), skip_unreadable=True)
    files = [file for estimates in args.estimate for file in estimates]
    if args.csv is not None:
        check_outputs([args.csv], [*args.truth, *files, *masks], args.force)
    rows: list[dict[str, Any]] = []

    def evaluate(index: int) -> None:
        truth, mask = args.truth[index % n], masks[index % n] if masks else None
        true, estimate = (
            as_volumes([path], name=name, caller="evaluate", nan=args.nan)
            for name, path in (("truth", truth), ("estimate", files[index]))
        )
        (row,) = score_table(true, {"estimate": estimate}, mask=None if mask is None else [mask])
        scores = {name: row[name] for name in MEASURES}
        method = index // n + 1
        rows.append(
            {"volume": files[index], **scores, "truth": truth, "mask": mask, "method": method}
        )

    code = run_batch(args, range(len(files)), evaluate, "evaluating")
    if rows:
        columns = ("volume", *MEASURES)
        shown: list[dict[str, Any]] = []
        for mean in mean_scores(rows):
            shown += [row for row in rows if row["method"] == mean["method"]]
            if n > 1:
                shown.append({"volume": f"mean of {mean['n_rows']}", **mean})
        if args.csv is not None:
            write_text(args.csv, format_csv(rows))
        print(format_table([{name: row[name] for name in columns} for row in shown]))
    return code
