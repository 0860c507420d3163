"""The command ``evaluate``: measure estimates against truths, and print a table."""

from __future__ import annotations

import argparse
from functools import lru_cache
from itertools import chain, product
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import (
    add_command,
    add_nan,
    check_outputs,
    format_table,
    run_batch,
    say,
    write_text,
)
from sklearn_iqt.cli._grids import check_grids
from sklearn_iqt.cli._names import name_methods, name_subjects

# Intervals from fewer subjects are not worth reading.
_FEW_SUBJECTS = 5
# Columns of the printed table in front of the measures.
_COLUMNS = ("method", "subject")

_EPILOG = """\
NRMSE is the root of the mean squared error, divided by the largest or by the mean true intensity.
A lower NRMSE is better. PSNR and SSIM use the range of the true intensities. A higher PSNR or SSIM
is better. "After gain" multiplies each estimate by the factor that fits its truth best, which
removes differences that a change of units can explain. With masks, only voxels where the mask is
above 0 are measured. Masks are usual for brains, because the background is easy to predict. The
command report measures only the brain, so its numbers equal the numbers with a mask.

Repeat --estimate for each method. Methods are called by their folders, or by the ends of their file
names if the folder is the same, or by --names. A second table shows how the other methods differ
from the first one on the same subjects: the mean difference, its 95 % interval by Student's t, and
p after Holm's correction for the number of methods. --csv and --differences write the two tables.

examples:
  sklearn-iqt evaluate --truth a_high.nii.gz --estimate a_enhanced.nii.gz
  sklearn-iqt evaluate --truth pairs/*_high.nii.gz --estimate enhanced/*_enhanced.nii.gz \\
      --mask masks/*.nii.gz --csv scores.csv
  sklearn-iqt evaluate --truth pairs/*_high.nii.gz --estimate cubic/*_enhanced.nii.gz \\
      --estimate srep/*_enhanced.nii.gz --csv scores.csv --differences differences.csv
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
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="name of each method, in the order of --estimate"
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="method that the others are compared with (default: the first one)",
    )
    add_nan(parser)
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="file to write the scores to as well"
    )
    parser.add_argument(
        "--differences", type=Path, metavar="FILE", help="CSV file for the paired differences"
    )


def run(args: argparse.Namespace) -> int:
    """Measure the estimates."""
    from sklearn_iqt.io import Cohort, as_volumes
    from sklearn_iqt.metrics import mean_scores, paired_differences, score_table
    from sklearn_iqt.metrics._table import MEASURES, format_csv

    truths, masks = args.truth, args.mask or []
    for estimates in args.estimate:
        if len(estimates) != len(truths) or len(masks) not in (0, len(truths)):
            raise ValueError(
                f"got {len(truths)} truths, {len(estimates)} estimates and {len(masks) or 'no'} "
                "masks. Give one estimate and, if any, one mask for each truth, in the same order. "
                "Repeat --estimate for each method"
            )
    methods, reference = _name_methods(args)
    for others in filter(None, (*args.estimate, masks)):
        check_grids(zip(truths, others, strict=True), skip_unreadable=True)
    tables = [path for path in (args.csv, args.differences) if path is not None]
    check_outputs(tables, [*truths, *chain(*args.estimate), *masks], args.force)
    subjects = name_subjects(truths)

    def read(path: str, name: str) -> Any:
        return as_volumes([path], name=name, caller="evaluate", nan=args.nan)

    @lru_cache(maxsize=1)  # once for all methods
    def read_truth(n: int) -> Any:
        mask = [masks[n]] if masks else None
        names = ("truth", "", "mask")
        return Cohort(read(truths[n], "truth"), mask=mask, caller="evaluate", names=names).read(0)

    rows: list[dict[str, Any]] = []

    def evaluate(item: tuple[int, int]) -> None:
        n, m = item
        pair = read_truth(n)
        estimate, _ = read(args.estimate[m][n], "estimate").read(
            0, None if pair.mask is None else ~pair.mask
        )
        (row,) = score_table(
            [pair.low],
            {methods[m]: [estimate]},
            mask=None if pair.mask is None else [pair.mask],
            subjects=[subjects[n]],
        )
        files = {"estimate": args.estimate[m][n], "truth": truths[n]}
        rows.append({**row, **files, "mask": masks[n] if masks else None})

    items = list(product(range(len(truths)), range(len(methods))))
    code = run_batch(args, items, evaluate, "evaluating")
    if not rows:
        return code
    if args.csv is not None:
        write_text(args.csv, format_csv(rows))
    shown: list[dict[str, Any]] = []
    for mean in sorted(mean_scores(rows), key=lambda mean: methods.index(mean["method"])):
        shown += [row for row in rows if row["method"] == mean["method"]]
        if len(truths) > 1:
            shown.append({"subject": f"mean of {mean['n_rows']}", **mean})
    print(format_table([{name: row[name] for name in _COLUMNS + (*MEASURES,)} for row in shown]))
    if reference in {row["method"] for row in rows} and len({row["method"] for row in rows}) > 1:
        differences = paired_differences(rows, reference)
        if args.differences is not None:
            write_text(args.differences, format_csv(differences))
        n_subjects = max(row["n_subjects"] for row in differences)
        print(f"\ndifferences from {reference}, means over subjects\n")
        print(format_table([_show_difference(row) for row in differences]))
        if n_subjects < _FEW_SUBJECTS:
            say(
                args,
                f"with {n_subjects} subject{'s' if n_subjects > 1 else ''}, intervals and p say "
                f"nothing reliable. Evaluate at least {_FEW_SUBJECTS}",
            )
    return code


def _name_methods(args: argparse.Namespace) -> tuple[list[str], str]:
    """Return the names of the methods, and the one that the others are compared with."""
    names = args.names or name_methods(args.estimate)
    if len(names) != len(args.estimate) or len(set(names)) < len(names):
        raise ValueError(
            f"--names needs {len(args.estimate)} different names, one for each --estimate, got "
            f"{', '.join(names)}"
        )
    reference = args.reference or names[0]
    if reference not in names:
        raise ValueError(f"--reference must be one of {', '.join(names)}, got {reference}")
    if args.differences is not None and len(names) < 2:
        raise ValueError("--differences needs two or more methods. Repeat --estimate for each")
    return names, reference


def _show_difference(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "measure": row["measure"],
        "method": row["method"],
        "subjects": row["n_subjects"],
        "difference": row["difference"],
        "95 % interval": f"{row['low']:.4f} to {row['high']:.4f}",
        "p (Holm)": f"{row['p_holm']:.2g}",
    }
