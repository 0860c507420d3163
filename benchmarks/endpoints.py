"""Measure what methods gain in error, anatomy, detail and lesions on held-out brains.

    python -m benchmarks.endpoints --cohort ../shared/data/ds002748 --set ind1

Lesions are inserted into validation brains before these are degraded; test brains are not used. The
models learn from brains without lesions. Prints a row for each subject and method, then the means.
"""

from __future__ import annotations

import argparse
from itertools import product

from benchmarks.cohorts import load_cohort
from benchmarks.tables import format_table
from sklearn_iqt import (
    CoupledDictionaryIQT,
    IntensityCurveIQT,
    InterpolationIQT,
    LowFieldSimulator,
    PatchwiseRegressor,
)
from sklearn_iqt.metrics import (
    contrast_error,
    edge_width,
    endpoint_table,
    lesion_volume,
    mean_scores,
    regression_slope,
    segment_tissues,
    shell_resolution,
)
from sklearn_iqt.simulation import insert_lesions


def models(seed):
    """Return the methods to compare: contrast alone, linear, and dictionaries."""
    return {
        "interpolation": InterpolationIQT(),
        "IntensityCurveIQT": IntensityCurveIQT(),
        "PatchwiseRegressor (ridge)": PatchwiseRegressor(max_patches=50_000, random_state=seed),
        "CoupledDictionaryIQT": CoupledDictionaryIQT(
            512, max_patches=50_000, max_iter=10, random_state=seed, n_jobs=2
        ),
    }


def add_measures(row, truth, estimate, lesions, labels, brain):
    """Add measures that are not endpoints to a row."""
    units = {"mask": brain, "match": "gain"}
    row["WM/GM error"] = contrast_error(truth, estimate, labels=labels, **units)
    row["GM slope"] = regression_slope(truth, estimate, labels=labels, **units)
    row["lesion volume"] = lesion_volume(truth, estimate, lesions=lesions, **units)
    for name, axis in (("in plane", 0), ("through", 2)):
        width = edge_width(estimate, labels=labels, reference=truth, axis=axis)
        row[f"edge {name} (mm)"] = width
    row["FSC 0.5 through (mm)"] = shell_resolution(truth, estimate, axis=2, mask=brain)


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True, help="folder of a cohort with label maps")
    parser.add_argument("--set", default="ind1", help="distribution of SNR of the held-out scans")
    parser.add_argument("--train", type=int, default=4, help="number of training subjects")
    parser.add_argument("--test", type=int, default=2, help="number of held-out subjects")
    parser.add_argument("--lesions", type=int, default=4, help="lesions in each held-out brain")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything")
    parser.add_argument("--no-segmenter", action="store_true", help="leave out the GM Dice")
    options = parser.parse_args(argv)
    cohort = load_cohort(options.cohort)

    def load(part, count):
        pairs = [cohort.load(subject) for subject in cohort.split[part][:count]]
        return [image for image, _ in pairs], [labels for _, labels in pairs]

    simulator = LowFieldSimulator(random_state=options.seed)
    training = simulator.simulate(*load("train", options.train))
    subjects = cohort.split["validation"][: options.test]
    images, labels = load("validation", options.test)
    found = [
        insert_lesions(
            image,
            tissues,
            n_lesions=options.lesions,
            diameter_mm=(3, 9),
            contrast=-0.3,
            voxel_size_mm=image.header.get_zooms()[:3],
            random_state=options.seed + n,
        )
        for n, (image, tissues) in enumerate(zip(images, labels, strict=True))
    ]
    simulator.set_params(snr=options.set, random_state=options.seed + 1)
    test = simulator.simulate([one.volume for one in found], labels)
    # The simulator crops the truth to whole slices.
    crops = [tuple(map(slice, truth.shape)) for truth in test.high]
    lesions = [one.lesions.get_fdata()[crop] for one, crop in zip(found, crops, strict=True)]
    labels = [tissues[crop] for tissues, crop in zip(labels, crops, strict=True)]
    brains = [(tissues > 0).astype("u1") for tissues in labels]
    estimates = {}
    for name, model in models(options.seed).items():
        estimates[name] = model.fit(training.low, training.high).predict(test.low)
        print("predicted by", name, flush=True)
    rows = endpoint_table(
        test.high,
        estimates,
        mask=brains,
        lesions=lesions,
        segmenter=None if options.no_segmenter else segment_tissues,
        subjects=subjects,
    )
    for row, ((n, _), volumes) in zip(
        rows, product(enumerate(subjects), estimates.values()), strict=True
    ):
        add_measures(row, test.high[n], volumes[n], lesions[n], labels[n], brains[n])
    header = list(rows[0])
    for table in (rows, mean_scores(rows)):
        columns = [name for name in header if name in table[0]]
        cells = [
            [f"{row[c]:.3f}" if isinstance(row[c], float) else row[c] for c in columns]
            for row in table
        ]
        print(format_table(columns, cells))


if __name__ == "__main__":
    main()
