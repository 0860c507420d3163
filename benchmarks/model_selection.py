"""Time a grid search over the lasso weight and the number of atoms, with and without a cache.

    python -m benchmarks.model_selection --cohort ../shared/data/ds002748

The search has four weights, four numbers of atoms and three folds. It uses the middle of the first
training subjects, ``--voxels`` in size. Both searches run in one process, the one without a cache
first. An earlier fit compiles the code, so that neither search includes the compilation. Prints the
elapsed and the processor time of each search, and the elapsed time of its fits and of its scoring.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial

import numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold

from benchmarks.cohorts import crop_middle, load_cohort
from benchmarks.cost import timed
from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator
from sklearn_iqt.metrics import neg_nrmse_scorer

GRID = {"alpha": [0.01, 0.02, 0.05, 0.1], "n_atoms": [64, 128, 256, 512]}


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True, help="folder of the cohort")
    parser.add_argument("--subjects", type=int, default=6, help="number of training subjects")
    parser.add_argument(
        "--voxels", type=int, nargs=3, default=(80, 96, 80), help="size of the middle that is used"
    )
    parser.add_argument("--max-patches", type=int, default=20_000, help="of CoupledDictionaryIQT")
    parser.add_argument(
        "--atoms", type=int, nargs="+", default=GRID["n_atoms"], help="numbers of atoms to try"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of threads of the coder")
    arguments = parser.parse_args(argv)
    grid = GRID | {"n_atoms": arguments.atoms}
    cohort = load_cohort(arguments.cohort)
    volumes, labels = [], []
    for subject in cohort.split["train"][: arguments.subjects]:
        image, maps = cohort.load(subject)
        volumes.append(crop_middle(np.asarray(image.dataobj), arguments.voxels))
        labels.append(crop_middle(maps, arguments.voxels))
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
            groups = np.arange(len(pairs.low))
            _, clock, processor = timed(partial(search.fit, pairs.low, pairs.high, groups=groups))
            results = search.cv_results_
            scores.append(results["mean_test_score"])
            fits = 3 * results["mean_fit_time"].sum()
            predictions = 3 * results["mean_score_time"].sum()
            print(
                f"{'with' if memory else 'without'} cache: {clock:.1f} s elapsed (fitting "
                f"{fits:.1f} s, predicting and scoring {predictions:.1f} s), {processor:.1f} s of "
                "processor time",
                flush=True,
            )
    np.testing.assert_array_equal(*scores)
    print("Both searches give the same scores.")


if __name__ == "__main__":
    main()
