"""Small scans of a BIDS dataset, and functions that run the command."""

import csv

import numpy as np

from sklearn_iqt.cli import main

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 4.0, -30], [0, 1.0, 0, -10], [0, 0, 0, 1]])


SCANS = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii",
)


OUTPUTS = (
    "sub-01/anat/sub-01_desc-iqt_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_desc-iqt_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_desc-iqt_T1w.nii.gz",
)


def make_scan(seed):
    """Return a noisy ball on a background of zeros."""
    i, j, k = np.indices((14, 15, 6)) - np.reshape([6.5, 7, 2.5], (3, 1, 1, 1))
    inside = i**2 + j**2 + (2 * k) ** 2 < 36
    return np.where(inside, 100 + 5 * np.random.default_rng(seed).standard_normal(i.shape), 0)


def run(*arguments):
    return main(["bids", *(str(argument) for argument in arguments)])


def participant(dataset, out, model, *more):
    return run(dataset, out, "participant", "--model", model, "--n-cpus", 1, "--quiet", *more)


def sidecar(out, n):
    return out / OUTPUTS[n].replace(".nii.gz", ".json")


def snapshot(folder):
    """Return the bytes and the time of every file, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def scans_in(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.nii*"))


def table_of(out):
    with open(out / "group_iqt.tsv", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))
