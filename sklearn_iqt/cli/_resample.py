"""The command ``resample``: bring scans to a voxel size, or onto the grid of another scan."""

from __future__ import annotations

import argparse
from typing import Any

from sklearn_iqt.cli._common import (
    add_command,
    add_nan,
    add_outputs,
    check_outputs,
    name_outputs,
    run_batch,
    say,
)

_EPILOG = """\
The result of SCAN.nii.gz is SCAN_resampled.nii.gz, in the same place in mm and in the same units.
Scans are interpolated by cubic splines, and blurred first along axes that become coarser. Exact
zeros and the range of intensities are kept. Masks and label maps get the nearest label. They are
recognised by whole numbers in flat regions; --labels and --order say it explicitly.

examples:
  sklearn-iqt resample scan.nii.gz --voxel-size 1 1 5 --output scan_1x1x5.nii.gz
  sklearn-iqt resample scans/*.nii.gz --voxel-size 1 --output-dir resampled
  sklearn-iqt resample labels.nii.gz --like scan.nii.gz --labels --output labels_on_scan.nii.gz
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "resample", run, "resample scans to a voxel size or onto another grid", _EPILOG
    )
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="scan or label map to resample")
    grid = parser.add_mutually_exclusive_group(required=True)
    grid.add_argument(
        "--voxel-size",
        type=float,
        nargs="+",
        metavar="MM",
        help="one or three sizes of the new voxels; the field of view stays",
    )
    grid.add_argument("--like", metavar="REFERENCE", help="scan with the grid of the results")
    add_outputs(parser, "SCAN")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--order",
        type=int,
        choices=range(6),
        metavar="0-5",
        help="order of the splines (default: 3 for scans, 0 for masks and label maps)",
    )
    how.add_argument(
        "--labels",
        action="store_true",
        help="take each SCAN for a label map: nearest neighbour, written as integers",
    )
    add_nan(parser)


def run(args: argparse.Namespace) -> int:
    """Resample the scans."""
    import numpy as np

    from sklearn_iqt.io import load_volume, read_geometry, save_volume
    from sklearn_iqt.preprocessing import looks_like_labels, resample_to, resample_to_voxel_size

    size = args.voxel_size
    if size is not None and len(size) not in (1, 3):
        raise ValueError(f"--voxel-size takes one or three sizes, got {len(size)}")
    outputs = name_outputs(args, args.scans, "resampled")
    inputs = [*args.scans, *([] if args.like is None else [args.like])]
    check_outputs(outputs, inputs, args.force)
    target = None if args.like is None else read_geometry(args.like)

    def resample(n: int) -> None:
        image = load_volume(args.scans[n], nan=args.nan)
        voxels = np.asarray(image.dataobj)
        order, whole = 0 if args.labels else args.order, (voxels == np.rint(voxels)).all()
        if args.labels and not whole:
            raise ValueError(
                f"{args.scans[n]} holds numbers that are not whole, so it is not a label map. "
                "Leave --labels out"
            )
        if order is None:
            order = 0 if looks_like_labels(voxels) else 3
            if order == 0:
                say(args, f"{args.scans[n]} looks like a label map and gets the nearest labels")
        if target is None:
            result = resample_to_voxel_size(image, size[0] if len(size) == 1 else size, order=order)
        else:
            result = resample_to(image, target, order=order)
        dtype = _integer_type(result.dataobj) if order == 0 and whole else "float32"
        save_volume(result, outputs[n], dtype=dtype)

    code = run_batch(args, range(len(outputs)), resample, "resampling", show=len(outputs) > 1)
    if code == 0:
        say(args, f"wrote {outputs[0] if len(outputs) == 1 else args.output_dir}")
    return code


def _integer_type(voxels: Any) -> Any:
    """Return the smallest integer type that holds all voxels."""
    import numpy as np

    lowest, highest = (np.min_scalar_type(int(limit(voxels))) for limit in (np.min, np.max))
    return np.promote_types(lowest, highest)
