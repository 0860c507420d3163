"""Time a grid search over the weight of the lasso and the number of atoms, with and without cache.

    python -m benchmarks.model_selection --cohort ../shared/data/ds002748

Four weights, four numbers of atoms, three folds of the first six training subjects; both searches
run in one process, the one with a cache first, so that compiling is not counted against the other.
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


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--max-patches", type=int, default=30_000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args(argv)
    volumes, labels = load_cohort(arguments.cohort).arrays("train")
    chosen = slice(arguments.subjects)
    pairs = LowFieldSimulator(random_state=0).simulate(volumes[chosen], labels[chosen])
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for memory in (folder, None):
            model = CoupledDictionaryIQT(
                memory=memory,
                max_patches=arguments.max_patches,
                n_jobs=arguments.jobs,
                random_state=0,
            )
            search = GridSearchCV(
                model, GRID, scoring=neg_nrmse_scorer, cv=GroupKFold(3), refit=False
            )
            start = time.perf_counter()
            search.fit(pairs.low, pairs.high, groups=np.arange(len(pairs.low)))
            seconds = time.perf_counter() - start
            results = search.cv_results_
            scores.append(results["mean_test_score"])
            fits = 3 * results["mean_fit_time"].sum()
            predictions = 3 * results["mean_score_time"].sum()
            print(
                f"{'with' if memory else 'without'} cache: {seconds:.0f} s, of which fitting "
                f"{fits:.0f} s, predicting and scoring {predictions:.0f} s",
                flush=True,
            )
    np.testing.assert_array_equal(*scores)
    print("the scores are the same")


if __name__ == "__main__":
    main()
