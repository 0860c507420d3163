"""sklearn-iqt evaluate: truths and estimates in, a table out."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import add_command, check_outputs, format_table, run_batch, write_text
from sklearn_iqt.cli._grids import check_grids

HEADER = ("volume", "NRMSE (max)", "NRMSE (mean)", "PSNR (dB)", "SSIM")

_EPILOG = """\
NRMSE is the root of the mean squared error over the largest, or over the mean, true intensity;
lower is better. PSNR and SSIM are in the range of the true intensities; higher is better. With
masks only voxels above 0 of the mask count, as is usual for brains: background is easy.

examples:
  sklearn-iqt evaluate --truth a_high.nii.gz --estimate a_enhanced.nii.gz
  sklearn-iqt evaluate --truth pairs/*_high.nii.gz --estimate enhanced/*_enhanced.nii.gz \\
      --mask masks/*.nii.gz --csv scores.csv
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "evaluate", run, "measure how far estimates are from the truth", _EPILOG
    )
    parser.add_argument("--truth", nargs="+", required=True, metavar="FILE", help="true scans")
    parser.add_argument(
        "--estimate", nargs="+", required=True, metavar="FILE", help="in the same order"
    )
    parser.add_argument("--mask", nargs="+", metavar="FILE", help="where to look, same order")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there as well")


def run(args: argparse.Namespace) -> int:
    """Measure one pair after the other."""
    masks = args.mask or [None] * len(args.truth)
    if not len(args.truth) == len(args.estimate) == len(masks):
        raise ValueError(
            f"{len(args.truth)} truths, {len(args.estimate)} estimates and "
            f"{len(masks) if args.mask else 'no'} masks; give one of each, in the same order"
        )
    for others in filter(None, (args.estimate, args.mask)):
        check_grids(zip(args.truth, others, strict=True), skip_unreadable=True)
    if args.csv is not None:
        check_outputs([args.csv], [*args.truth, *args.estimate, *(args.mask or [])], args.force)
    rows: list[list[Any]] = []

    def evaluate(n: int) -> None:
        rows.append([args.estimate[n], *measure(args.truth[n], args.estimate[n], masks[n])])

    code = run_batch(args, range(len(args.truth)), evaluate, "evaluating")
    if rows:
        means = [float(sum(column)) / len(rows) for column in list(zip(*rows, strict=True))[1:]]
        print(format_table(HEADER, [*rows, ["mean", *means]]))
        if args.csv is not None:
            write_text(args.csv, to_csv(HEADER, rows))
    return code


def measure(truth: Any, estimate: Any, mask: Any) -> list[float]:
    """Return the measures of one pair, in the order of the header."""
    from sklearn_iqt.metrics import nrmse, psnr, ssim

    return [
        float(nrmse(truth, estimate, mask=mask, normalization="max")),
        float(nrmse(truth, estimate, mask=mask, normalization="mean")),
        float(psnr(truth, estimate, mask=mask)),
        float(ssim(truth, estimate, mask=mask)),
    ]


def to_csv(header: Any, rows: Any) -> str:
    """Return a table as comma-separated text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
