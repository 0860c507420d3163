"""sklearn-iqt simulate: high-quality scans in, pairs for training out."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from sklearn_iqt._version import __version__
from sklearn_iqt.cli._common import (
    add_command,
    add_grid,
    add_nan,
    check_outputs,
    run_batch,
    say,
    stem,
    write_text,
)
from sklearn_iqt.cli._grids import check_grids

# The keys of sklearn_iqt.simulation.SNR_PRESETS, without the wait for numpy.
SNR_NAMES = (
    "t1w_036t",
    "flair_036t",
    "ind1",
    "ind2",
    "ulf_measured",
    "ulf_physics",
    "low_contrast",
    "noisy",
    "inverted",
    "low_contrast_noisy",
)

_EPILOG = """\
Each HIGH.nii.gz gives three files: HIGH_low.nii.gz, the simulated scan; HIGH_high.nii.gz, the
high-quality scan, cropped to whole slices and 0 outside the tissues; and HIGH_low.json, the
settings and the random draws. HIGH must be skull stripped, with 0 outside the brain. The draws
depend on --seed and on the voxels of HIGH: two scans never share their noise, and a scan gives the
same pair regardless of the other scans.

presets of --snr, the signal-to-noise ratios of white and of grey matter:
  t1w_036t            T1-weighted scans of a 0.36 T scanner (default)
  flair_036t          FLAIR scans of the same, where GM is above WM
  ind1, ind2          the centre of t1w_036t, and its outskirts
  ulf_measured        one 64 mT scan
  ulf_physics         contrast at 50 mT by the Bloch equations, much noise
  low_contrast        t1w_036t with WM hardly above GM
  noisy               t1w_036t with three times the noise
  low_contrast_noisy  both
  inverted            t1w_036t with GM above WM

examples:
  sklearn-iqt simulate sub-*_T1w.nii.gz --output-dir pairs --seed 1
  sklearn-iqt simulate a.nii.gz b.nii.gz --tissues a_seg.nii.gz b_seg.nii.gz --output-dir pairs
  sklearn-iqt simulate a.nii.gz --output-dir ood --snr ulf_measured --noise rician
  sklearn-iqt simulate a.nii.gz --output-dir thick --scale 1 1 6 --thickness 5 --gap 1
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "simulate", run, "simulate low-field scans from high-quality ones", _EPILOG
    )
    parser.add_argument("high", nargs="+", metavar="HIGH", help="skull-stripped T1-weighted scan")
    parser.add_argument("--output-dir", required=True, type=Path, metavar="DIR", help="for results")
    parser.add_argument(
        "--tissues",
        nargs="+",
        metavar="LABELMAP",
        help="one label map for each HIGH, in the same order: 0 background, 1 CSF, 2 GM, 3 WM "
        "(default: estimated from the scan)",
    )
    parser.add_argument(
        "--snr",
        choices=SNR_NAMES,
        default="t1w_036t",
        metavar="PRESET",
        help="distribution of the signal-to-noise ratios of WM and GM, listed below (default: "
        "t1w_036t)",
    )
    add_grid(parser)
    parser.add_argument(
        "--thickness", type=float, default=3, help="of a slice, in high voxels (default: 3)"
    )
    parser.add_argument(
        "--gap", type=float, default=1, help="between slices, in high voxels (default: 1)"
    )
    parser.add_argument(
        "--noise",
        choices=["gaussian", "rician", "none"],
        default="gaussian",
        help="its kind (default: gaussian)",
    )
    add_nan(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="same seed and scan, same pair, regardless of other scans (default: 0)",
    )


def run(args: argparse.Namespace) -> int:
    """Simulate one pair after the other."""
    from sklearn_iqt.io import load_volume, save_volume
    from sklearn_iqt.simulation import LowFieldSimulator, estimate_tissue_maps

    if args.tissues:
        if len(args.tissues) != len(args.high):
            raise ValueError(
                f"{len(args.high)} scans but {len(args.tissues)} label maps; give one for each, in "
                "the same order"
            )
        check_grids(zip(args.high, args.tissues, strict=True), skip_unreadable=True)
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, got {args.seed}")
    outputs = [
        [
            args.output_dir / f"{stem(path)}_{end}"
            for end in ("low.nii.gz", "high.nii.gz", "low.json")
        ]
        for path in args.high
    ]
    check_outputs(
        [path for paths in outputs for path in paths],
        [*args.high, *(args.tissues or [])],
        args.force,
    )

    def simulate(n: int) -> None:
        image = load_volume(args.high[n], nan=args.nan)
        random_state = _random_state(args.seed, image)
        if args.tissues:
            tissues = args.tissues[n]
        else:
            tissues = estimate_tissue_maps(image, random_state=random_state)
        simulator = LowFieldSimulator(
            args.snr,
            scale=tuple(args.scale),
            thickness=args.thickness,
            gap=args.gap,
            alignment=args.alignment,
            noise=None if args.noise == "none" else args.noise,
            random_state=random_state,
        )
        pair = simulator.simulate([image], [tissues])
        low, high, sidecar = outputs[n]
        save_volume(pair.low[0], low)
        save_volume(pair.high[0], high)
        drawn = {
            "snr_wm": float(pair.snr[0, 0]),
            "snr_gm": float(pair.snr[0, 1]),
            "mahalanobis": float(pair.mahalanobis[0]),
            "preset": args.snr,
            "tissues": "given" if args.tissues else "estimated",
            "scale": args.scale,
            "thickness": args.thickness,
            "gap": args.gap,
            "alignment": args.alignment,
            "noise": args.noise,
            "seed": args.seed,
            "random_state": random_state,
            "version": __version__,
        }
        write_text(sidecar, json.dumps(drawn, indent=2) + "\n")

    code = run_batch(args, range(len(args.high)), simulate, "simulating")
    if code == 0:
        say(args, f"wrote {len(outputs)} pairs to {args.output_dir}")
    return code


def _random_state(seed: int, image: Any) -> int:
    """Return a number of the seed and the voxels, so that no two scans have the same noise."""
    import numpy as np

    voxels = np.ascontiguousarray(image.dataobj, dtype="<f4")
    entropy = [seed, int.from_bytes(hashlib.sha256(voxels.data).digest(), "little")]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
