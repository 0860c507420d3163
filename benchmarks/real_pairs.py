"""Compare methods on pairs that are made like the pairs of two scanners.

    python -m benchmarks.real_pairs --cohort ../shared/data/ds002748 --output results/pairs

A second scan of each brain is made: white matter is darker by a fifth, the person has moved, the
slices are tilted by 5 degrees, 5 mm thick stored in the order LPI, in
plane voxels have 1.6 mm, and the scanner has another unit and noise. ``prepare_pairs`` registers
the scans and brings them to one grid. Methods are cross-validated by subject and compared with
interpolation, after the gain that fits each truth best. Nothing of this uses that the truth is
known: with two folders of real scans, the steps after the first are the same.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation
from sklearn.model_selection import GroupKFold, cross_val_predict

from benchmarks.code import describe_code
from benchmarks.cohorts import load_cohort
from benchmarks.tables import format_table
from sklearn_iqt import (
    ContrastMatchingIQT,
    CoupledDictionaryIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    PatchTransformer,
    PatchwiseRegressor,
)
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.metrics import mean_scores, nrmse, paired_differences, score_table, ssim
from sklearn_iqt.metrics._table import format_csv
from sklearn_iqt.plotting import plot_comparison
from sklearn_iqt.prepare import prepare_pairs
from sklearn_iqt.preprocessing import resample_to

LOW_VOXEL = (1.6, 1.6, 5.0)
GAIN, WHITE, NOISE = 0.3, 0.8, 0.015
MEASURES = {
    "NRMSE": lambda truth, estimate, mask: nrmse(truth, estimate, mask=mask),
    "NRMSE after gain": lambda truth, estimate, mask: nrmse(
        truth, estimate, mask=mask, match="gain"
    ),
    "SSIM after gain": lambda truth, estimate, mask: ssim(truth, estimate, mask=mask, match="gain"),
}
COMPARED = ("NRMSE after gain", "SSIM after gain")


def scan_again(image, tissues, rng):
    """Return a scan of the same person by a scanner of thick, tilted slices."""
    white = ndimage.gaussian_filter((np.asarray(tissues) == 3).astype(np.float32), 0.7)
    voxels = np.asarray(image.dataobj, dtype=np.float32) * (1 - (1 - WHITE) * white)
    angles, shift = rng.uniform(-6, 6, 3), rng.uniform(-6, 6, 3)
    moved = from_matvec(Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), shift)
    tilt = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ np.diag(-np.array(LOW_VOXEL))
    # The field of view is centred on the brain, 240 x 240 mm in plane.
    shape = (150, 150, 44)
    middle = apply_affine(moved @ image.affine, np.median(np.argwhere(voxels > 0), axis=0))
    corner = middle - tilt @ ((np.array(shape) - 1) / 2)
    low = np.asarray(
        resample_to((voxels, moved @ image.affine), (shape, from_matvec(tilt, corner))).dataobj
    )
    noise = NOISE * np.percentile(voxels, 99.5) * rng.standard_normal((2, *shape))
    return nibabel.Nifti1Image(
        (GAIN * np.hypot(low + noise[0], noise[1])).astype(np.float32), from_matvec(tilt, corner)
    )


def make_methods(scale):
    """Return the methods by name."""
    return {
        "interpolation": InterpolationIQT(scale=scale),
        "intensity curve": IntensityCurveIQT(scale=scale, random_state=0),
        "tissue matching": ContrastMatchingIQT(scale=scale),
        "ridge": PatchwiseRegressor(
            scale=scale, patcher=PatchTransformer((5, 5, 3)), max_patches=40_000, random_state=0
        ),
        "IQT-SRep": CoupledDictionaryIQT(
            512,
            scale=scale,
            patcher=PatchTransformer((7, 7, 3), (3, 3, 1)),
            max_patches=40_000,
            random_state=0,
        ),
    }


def main(argv=None):
    """Make scans, prepare pairs, cross-validate and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True, help="folder of brains with labels")
    parser.add_argument("--subjects", type=int, default=6, help="first subjects of the cohort")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    cohort = load_cohort(args.cohort)
    people = cohort.subjects()[: args.subjects]
    files = {
        kind: [args.output / kind / f"{person}.nii.gz" for person in people]
        for kind in ("low", "high")
    }
    for kind in files:
        (args.output / kind).mkdir(parents=True, exist_ok=True)
    for n, person in enumerate(people):
        image, tissues = cohort.load(person)
        rng = np.random.default_rng([args.seed, n])
        save_volume(scan_again(image, tissues, rng), files["low"][n])
        save_volume(image, files["high"][n])

    pairs = prepare_pairs(
        files["low"], files["high"], args.output / "pairs", register=True, verbose=1
    )
    high = [load_volume(path) for path in pairs.high]
    print(
        "scale",
        pairs.scale,
        "voxels",
        [voxel_sizes(image.affine).round(3).tolist() for image in high[:1]],
    )
    estimates = {}
    for name, method in make_methods(pairs.scale).items():
        estimates[name] = cross_val_predict(
            method, pairs.low, pairs.high, groups=people, cv=GroupKFold(args.folds)
        )
    inside = [np.asarray(image.dataobj) > 0 for image in high]
    rows = score_table(high, estimates, mask=inside, subjects=people, measures=MEASURES)
    (args.output / "scores.csv").write_text(format_csv(rows))
    text = report(rows, argv)
    (args.output / "report.md").write_text(text)
    print(text)
    # Every picture in the unit of the truth; the scan gets the gain of its interpolation.
    truth = np.asarray(high[0].dataobj)
    shown = {name: np.asarray(volumes[0].dataobj) for name, volumes in estimates.items()}
    gains = {name: (truth * v).sum() / np.square(v).sum() for name, v in shown.items()}
    low = load_volume(pairs.low[0])
    low = nibabel.Nifti1Image(gains["interpolation"] * np.asarray(low.dataobj), low.affine)
    figure = plot_comparison(
        {"low": low, **{name: gains[name] * voxels for name, voxels in shown.items()}},
        truth=high[0],
        views=("coronal",),
    )
    figure.savefig(args.output / "figure.png", dpi=90)
    return 0


def report(rows, argv):
    """Return the means of the methods and their differences from interpolation as Markdown."""
    means = format_table(
        ["method", *MEASURES],
        [[row["method"], *(row[name] for name in MEASURES)] for row in mean_scores(rows)],
    )
    differences = paired_differences(rows, "interpolation", measures=COMPARED)
    compared = format_table(
        ["measure", "method", "minus interpolation", "95 % interval", "p (Holm)"],
        [
            [
                row["measure"],
                row["method"],
                f"{row['difference']:+.4f}",
                f"{row['low']:+.4f} to {row['high']:+.4f}",
                f"{row['p_holm']:.2g}",
            ]
            for row in differences
        ],
    )
    code = describe_code()
    command = shlex.join(["python", "-m", "benchmarks.real_pairs", *(argv or sys.argv[1:])])
    return f"    {command}\n\n{code['date']}, source {code['source']}\n\n{means}\n\n{compared}\n"


if __name__ == "__main__":
    sys.exit(main())
