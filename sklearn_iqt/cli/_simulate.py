"""The command ``simulate``: make pairs for training from high-quality scans."""

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

# The keys of sklearn_iqt.simulation.SNR_PRESETS, repeated so that --help does not import numpy.
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
    "wide",
)

_EPILOG = """\
The results of HIGH.nii.gz are HIGH_low.nii.gz, the simulated scan; HIGH_high.nii.gz, the
high-quality scan, cropped to whole slices and 0 outside the tissues; and HIGH_low.json, the
settings and the random draws. HIGH must be skull stripped, with 0 outside the brain. Otherwise
pass the brains with --mask, or find them with --extract-brain, which needs deepbet:
pip install "sklearn-iqt[prepare]". The draws depend on --seed and on the voxels of HIGH. So two
scans never share their noise, and the pair of a scan does not depend on the other scans.

presets of --snr, the signal-to-noise ratios of white and of grey matter:
  t1w_036t            T1-weighted scans of a 0.36 T scanner (default)
  flair_036t          FLAIR scans of the same scanner, with GM above WM
  ind1, ind2          the centre and the outskirts of t1w_036t
  ulf_measured        one 64 mT scan that the vendor reconstructed; upper bounds
  ulf_physics         contrast at 50 mT from the Bloch equations, with strong noise
  low_contrast        t1w_036t with WM only slightly above GM
  noisy               t1w_036t with three times the noise
  low_contrast_noisy  low_contrast with three times the noise
  inverted            t1w_036t with GM above WM
  wide                contrast and noise of any scanner, to train a model for many

examples:
  sklearn-iqt simulate sub-*_T1w.nii.gz --output-dir pairs --seed 1
  sklearn-iqt simulate a.nii.gz b.nii.gz --tissues a_seg.nii.gz b_seg.nii.gz --output-dir pairs
  sklearn-iqt simulate head.nii.gz --mask brain.nii.gz --output-dir pairs
  sklearn-iqt simulate a.nii.gz --output-dir ood --snr ulf_measured --noise rician
  sklearn-iqt simulate a.nii.gz --output-dir thick --scale 1 1 6 --thickness 5 --gap 1
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "simulate", run, "simulate low-field scans from high-quality ones", _EPILOG
    )
    parser.add_argument("high", nargs="+", metavar="HIGH", help="skull-stripped T1-weighted scan")
    parser.add_argument(
        "--output-dir", required=True, type=Path, metavar="DIR", help="folder for the results"
    )
    parser.add_argument(
        "--tissues",
        nargs="+",
        metavar="LABELMAP",
        help="one label map for each HIGH, in the same order: 0 background, 1 CSF, 2 GM, 3 WM "
        "(default: estimated from the scan)",
    )
    brain = parser.add_mutually_exclusive_group()
    brain.add_argument(
        "--mask",
        nargs="+",
        metavar="MASK",
        help="one mask of the brain for each HIGH, in the same order; the rest is set to 0",
    )
    brain.add_argument(
        "--extract-brain", action="store_true", help="find the brain of each HIGH, by deepbet"
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
        "--thickness",
        type=float,
        default=3,
        help="thickness of a slice in high voxels (default: 3)",
    )
    parser.add_argument(
        "--gap", type=float, default=1, help="gap between slices in high voxels (default: 1)"
    )
    parser.add_argument(
        "--noise",
        choices=["gaussian", "rician", "none"],
        default="gaussian",
        help="distribution of the noise (default: gaussian)",
    )
    parser.add_argument(
        "--border-width",
        type=float,
        default=1.5,
        metavar="VOXELS",
        help="width of the border between the tissues of --tissues in high voxels; 0 for hard "
        "labels (default: 1.5)",
    )
    add_nan(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed and scan give the same pair (default: 0)",
    )


def run(args: argparse.Namespace) -> int:
    """Simulate the pairs."""
    from sklearn_iqt.io import load_volume, save_volume
    from sklearn_iqt.prepare import brain_mask
    from sklearn_iqt.preprocessing import has_skull
    from sklearn_iqt.preprocessing._skull import SKULL
    from sklearn_iqt.simulation import LowFieldSimulator, estimate_tissue_maps

    for files, kind in ((args.tissues, "label map"), (args.mask, "mask")):
        if files and len(files) != len(args.high):
            raise ValueError(
                f"got {len(args.high)} scans and {len(files)} {kind}s. Give one {kind} for each "
                "scan, in the same order"
            )
        if files:
            check_grids(zip(args.high, files, strict=True), skip_unreadable=True)
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {args.seed}")
    outputs = [
        [
            args.output_dir / f"{stem(path)}_{suffix}"
            for suffix in ("low.nii.gz", "high.nii.gz", "low.json")
        ]
        for path in args.high
    ]
    check_outputs(
        [path for paths in outputs for path in paths],
        [*args.high, *(args.tissues or []), *(args.mask or [])],
        args.force,
    )

    def simulate(n: int) -> None:
        image = load_volume(args.high[n], nan=args.nan)
        random_state = _random_state(args.seed, image)
        mask = brain_mask(image) if args.extract_brain else args.mask[n] if args.mask else None
        if args.tissues:
            tissues = args.tissues[n]
        elif mask is None and has_skull(image):
            raise ValueError(f"{args.high[n]} {SKULL}. Pass --extract-brain, or --mask")
        else:
            tissues = estimate_tissue_maps(image, mask, random_state=random_state)
        simulator = LowFieldSimulator(
            args.snr,
            scale=tuple(args.scale),
            thickness=args.thickness,
            gap=args.gap,
            alignment=args.alignment,
            noise=None if args.noise == "none" else args.noise,
            border_width=args.border_width,
            random_state=random_state,
        )
        pair = simulator.simulate([image], [tissues], mask=None if mask is None else [mask])
        low, high, sidecar = outputs[n]
        save_volume(pair.low[0], low)
        save_volume(pair.high[0], high)
        settings = {
            "snr_wm": float(pair.snr[0, 0]),
            "snr_gm": float(pair.snr[0, 1]),
            "mahalanobis": float(pair.mahalanobis[0]),
            "preset": args.snr,
            "tissues": "given" if args.tissues else "estimated",
            "mask": "given" if args.mask else "extracted" if args.extract_brain else None,
            "scale": args.scale,
            "thickness": args.thickness,
            "gap": args.gap,
            "alignment": args.alignment,
            "noise": args.noise,
            "border_width": args.border_width if args.tissues else None,
            "seed": args.seed,
            "random_state": random_state,
            "version": __version__,
        }
        write_text(sidecar, json.dumps(settings, indent=2) + "\n")

    code = run_batch(args, range(len(args.high)), simulate, "simulating")
    if code == 0:
        say(args, f"wrote {len(outputs)} pairs to {args.output_dir}")
    return code


def _random_state(seed: int, image: Any) -> int:
    """Return a seed computed from --seed and the voxels, so that scans do not share their noise."""
    import numpy as np

    voxels = np.ascontiguousarray(image.dataobj, dtype="<f4")
    entropy = [seed, int.from_bytes(hashlib.sha256(voxels.data).digest(), "little")]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
