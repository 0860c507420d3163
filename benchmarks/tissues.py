"""Compare estimated tissue maps with the label maps of a cohort.

    python -m benchmarks.tissues --cohort ../shared/data/ds002748

Prints the Dice coefficient of fluid, grey and white matter for each subject, then the means.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.cohorts import load_cohort
from sklearn_iqt.io import as_volumes
from sklearn_iqt.simulation import estimate_tissue_maps

TISSUES = ("CSF", "GM", "WM")


def dice(first, second):
    """Return the Dice coefficient of two masks."""
    return 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True, help="folder of a cohort with label maps")
    cohort = load_cohort(parser.parse_args(argv).cohort)
    rows = []
    for subject in cohort.subjects():
        maps = estimate_tissue_maps(cohort.image(subject), random_state=0)
        found = np.where(maps.sum(axis=0) > 0, maps.argmax(axis=0) + 1, 0)
        labels = as_volumes([cohort.tissues(subject)])[0]
        rows.append([dice(found == n, labels == n) for n in (1, 2, 3)])
        print(subject, " ".join(f"{value:.3f}" for value in rows[-1]), flush=True)
    for tissue, values in zip(TISSUES, np.transpose(rows), strict=True):
        print(f"{tissue}: mean {values.mean():.3f}, lowest {values.min():.3f}")


if __name__ == "__main__":
    main()
