"""The command ``prepare``: make pairs for training from scans of the same people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sklearn_iqt.cli._common import add_command, add_nan, run_batch, say
from sklearn_iqt.cli._grids import compare_subjects

_EPILOG = """\
Each pair gives four files: NAME_low.nii.gz; NAME_high.nii.gz, on a grid that is finer by whole
numbers; NAME_mask.nii.gz, the foreground on the grid of the low scan; and NAME_prepare.json, a
record of the scans and the steps. The axes are put in one order, with the thick axis last.
All pairs get the same scale, which is printed and goes to --scale of fit.

A pair that was made from the same scans with the same options is not made again. --register and
--correct-bias need SimpleITK and --extract-brain needs deepbet: pip install "sklearn-iqt[prepare]".
Deface scans before you share them; this command does not.

examples:
  sklearn-iqt prepare --low low/*.nii.gz --high high/*.nii.gz --register --output-dir pairs
  sklearn-iqt prepare --low low/*.nii.gz --high high/*.nii.gz --register --extract-brain \\
      --correct-bias --output-dir pairs
  sklearn-iqt prepare --low a/scan.nii b/scan.nii --high a/3T.nii b/3T.nii --names a b \\
      --scale 2 2 5 --output-dir pairs
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "prepare", run, "make pairs for fit from scans of the same people", _EPILOG
    )
    parser.add_argument("--low", nargs="+", required=True, metavar="LOW", help="low-quality scans")
    parser.add_argument(
        "--high",
        nargs="+",
        required=True,
        metavar="HIGH",
        help="high-quality scans of the same people, in the same order",
    )
    parser.add_argument(
        "--mask",
        nargs="+",
        metavar="MASK",
        help="brains of the same people, on the grids of LOW or of HIGH, instead of "
        "--extract-brain",
    )
    parser.add_argument("--output-dir", required=True, type=Path, metavar="DIR", help="for results")
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="start of the file names of each pair (default: the name of LOW)",
    )
    parser.add_argument(
        "--voxel-size",
        type=float,
        nargs="+",
        metavar="MM",
        help="one or three sizes of the high voxels (default: those of HIGH)",
    )
    parser.add_argument(
        "--scale",
        type=int,
        nargs=3,
        metavar=("I", "J", "K"),
        help="high voxels for each low voxel, the thick axis last (default: 1 in the plane of the "
        "slices, and what makes thick slices about as thin as those of HIGH)",
    )
    parser.add_argument(
        "--register", action="store_true", help="move HIGH onto LOW by a rigid registration"
    )
    parser.add_argument(
        "--extract-brain",
        nargs="?",
        const="high",
        choices=["high", "low"],
        help="set what is not brain to 0; the brain is looked for in this scan (default: high)",
    )
    parser.add_argument(
        "--correct-bias", action="store_true", help="divide each scan by its bias field (N4)"
    )
    parser.add_argument("--no-crop", action="store_true", help="keep the field of view of LOW")
    parser.add_argument(
        "--margin", type=float, default=5.0, metavar="MM", help="of the crop (default: 5)"
    )
    parser.add_argument(
        "--order", type=int, default=3, help="order of the splines, 0 to 5 (default: 3)"
    )
    add_nan(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare one pair after the other."""
    from sklearn_iqt.prepare._cohort import plan_jobs
    from sklearn_iqt.prepare._steps import Steps

    sizes = args.voxel_size
    jobs = plan_jobs(
        args.low,
        args.high,
        args.output_dir,
        mask=args.mask,
        names=args.names,
        voxel_size=sizes[0] if sizes and len(sizes) == 1 else sizes,
        scale=args.scale,
        steps=Steps(
            register=args.register,
            extract_brain=args.extract_brain,
            correct_bias=args.correct_bias,
            crop=not args.no_crop,
            margin_mm=args.margin,
            order=args.order,
            nan=args.nan,
        ),
        force=args.force,
        caller="prepare",
    )
    for low, high in zip(args.low, args.high, strict=True):
        compare_subjects(low, high)
    code = run_batch(args, jobs, lambda job: job.run(), "preparing")
    if code == 0:
        plan, kept = jobs[0].plan, sum(job.finished for job in jobs)
        scale = " ".join(map(str, plan.scale))
        kept_pairs = f", kept {kept} that were made before" if kept else ""
        say(
            args,
            f"wrote {len(jobs) - kept} pairs to {args.output_dir}{kept_pairs}; "
            f"axes {plan.orientation}, fit them with --scale {scale}",
        )
    return code
