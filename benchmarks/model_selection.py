"""Time a grid search over the weight of the lasso and the number of atoms, with and without cache.

    python -m benchmarks.model_selection --cohort ../shared/data/ds002748

Four weights, four numbers of atoms, three folds of the first training subjects, of which the middle
is used; ``--voxels`` says how much of it. Both searches run in one process, after a fit that
compiles, the one without a cache first, so that nothing that the first warms up counts against it.
Seconds of the fits are of the clock, those of the searches of the clock and of the processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold

from benchmarks.cohorts import load_cohort
from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator
from sklearn_iqt.metrics import neg_nrmse_scorer

GRID = {"alpha": [0.01, 0.02, 0.05, 0.1], "n_atoms": [64, 128, 256, 512]}


def middle(volume, voxels):
    """Return the middle of a volume, at most so many voxels along each axis."""
    starts = [max(have - want, 0) // 2 for have, want in zip(volume.shape, voxels, strict=True)]
    box = tuple(slice(s, s + want) for s, want in zip(starts, voxels, strict=True))
    return volume[box]


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--voxels", type=int, nargs=3, default=(80, 96, 80))
    parser.add_argument("--max-patches", type=int, default=20_000)
    parser.add_argument("--atoms", type=int, nargs="+", default=GRID["n_atoms"])
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args(argv)
    grid = GRID | {"n_atoms": arguments.atoms}
    cohort = load_cohort(arguments.cohort)
    volumes, labels = [], []
    for subject in cohort.split["train"][: arguments.subjects]:
        image, maps = cohort.load(subject)
        volumes.append(middle(np.asarray(image.dataobj), arguments.voxels))
        labels.append(middle(maps, arguments.voxels))
    pairs = LowFieldSimulator(random_state=0).simulate(volumes, labels)
    CoupledDictionaryIQT(64, max_patches=500).fit(pairs.low[:1], pairs.high[:1])
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for memory in (None, folder):
            model = CoupledDictionaryIQT(
                memory=memory,
                max_patches=arguments.max_patches,
                n_jobs=arguments.jobs,
                random_state=0,
            )
            search = GridSearchCV(
                model, grid, scoring=neg_nrmse_scorer, cv=GroupKFold(3), refit=False
            )
            clock, processor = time.perf_counter(), time.process_time()
            search.fit(pairs.low, pairs.high, groups=np.arange(len(pairs.low)))
            processor, clock = time.process_time() - processor, time.perf_counter() - clock
            results = search.cv_results_
            scores.append(results["mean_test_score"])
            fits = 3 * results["mean_fit_time"].sum()
            predictions = 3 * results["mean_score_time"].sum()
            print(
                f"{'with' if memory else 'without'} cache: {processor:.1f} s of the processor, "
                f"{clock:.1f} s of the clock, of which fitting {fits:.1f} s, predicting and "
                f"scoring {predictions:.1f} s",
                flush=True,
            )
    np.testing.assert_array_equal(*scores)
    print("the scores are the same")


if __name__ == "__main__":
    main()
