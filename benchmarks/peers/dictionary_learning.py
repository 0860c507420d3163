"""Compare K-SVD with the dictionary learners of SPAMS and scikit-learn.

    python -m benchmarks.peers.dictionary_learning --cohort ../shared/data/ds002748

All learners get the same training signals, which are synthetic without a cohort, and run in turn.
The atoms of each are then scored with the coders of this package: by the mean squared error of
matching pursuit with three atoms, and by the mean objective of the lasso. Both are relative to
K-SVD. K-SVD learns for the pursuit, SPAMS and scikit-learn learn for the lasso. The default weight
of the lasso gives codes with five non-zeros on average when the atoms are drawn from the signals.
All learners run in ``--jobs`` threads.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning

from benchmarks.cost import timed
from benchmarks.peers.coder import real_signals, synthetic_signals, weight_for
from benchmarks.tables import format_row, format_spread, format_table
from sklearn_iqt.dictionary import ksvd, sparse_encode
from sklearn_iqt.dictionary._learning import initial_dictionary


def learners(n_atoms, alpha, n_iter, jobs):
    """Return functions that learn atoms from signals, by name."""

    def ours(X):
        return ksvd(X, n_atoms, max_iter=n_iter, tol=0, n_jobs=jobs, random_state=0)[0]

    def minibatch(X):
        learner = MiniBatchDictionaryLearning(
            n_atoms, alpha=alpha, max_iter=1, batch_size=512, n_jobs=jobs, random_state=0
        )
        return learner.fit(X).components_

    found = {"sklearn_iqt ksvd": ours, "scikit-learn MiniBatch, 1 epoch": minibatch}
    try:
        import spams
    except ImportError:
        print("SPAMS is not installed; pip install 'sklearn-iqt[bench]'")
        return found

    def train_dl(X):
        return spams.trainDL(
            np.asfortranarray(X.T),
            K=n_atoms,
            lambda1=alpha,
            mode=2,
            iter=-seconds["sklearn_iqt ksvd"],  # stops after the time that K-SVD took
            batchsize=512,
            numThreads=jobs,
            verbose=False,
        ).T

    seconds = found["seconds"] = {"sklearn_iqt ksvd": 1}
    found["SPAMS trainDL, as long as ours"] = train_dl
    return found


def objectives(X, atoms, alpha, jobs):
    """Return the mean squared error of the pursuit and the mean objective of the lasso."""
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    atoms = np.ascontiguousarray(atoms / np.where(norms > 0, norms, 1), dtype=X.dtype)
    pursuit = sparse_encode(X, atoms, solver="batch_omp", n_nonzero_coefs=3, n_jobs=jobs)
    lasso = sparse_encode(X, atoms, alpha=alpha, n_jobs=jobs)
    penalty = alpha * abs(lasso).sum()
    return (
        np.sum((X - pursuit @ atoms) ** 2) / len(X),
        (0.5 * np.sum((X - lasso @ atoms) ** 2) + penalty) / len(X),
    )


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", help="folder of a cohort; synthetic signals by default")
    parser.add_argument("--atoms", type=int, default=1024, help="number of atoms")
    parser.add_argument("--signals", type=int, default=100_000, help="number of signals")
    parser.add_argument("--components", type=int, default=130, help="features of a signal")
    parser.add_argument("--alpha", type=float, help="weight of the lasso")
    parser.add_argument("--iterations", type=int, default=20, help="of K-SVD")
    parser.add_argument("--repetitions", type=int, default=5, help="of each learner")
    parser.add_argument("--jobs", type=int, default=2, help="number of threads")
    parser.add_argument("--only-ours", action="store_true", help="measure only K-SVD")
    arguments = parser.parse_args(argv)
    if arguments.cohort:
        # The atoms are not used here, so few are learned.
        signals, _ = real_signals(
            arguments.cohort, 16, arguments.components, n_signals=2 * arguments.signals
        )
    else:
        signals, _ = synthetic_signals(arguments.atoms, arguments.components)
    rng = np.random.default_rng(0)
    if len(signals) < arguments.signals:
        # Perturbed copies are as hard to code as the signals.
        copies = signals[rng.integers(len(signals), size=arguments.signals - len(signals))]
        noise = 0.01 * copies.std() * rng.standard_normal(copies.shape, dtype=np.float32)
        signals = np.concatenate([signals, copies + noise])
    signals = signals[: arguments.signals]
    drawn = initial_dictionary(signals, arguments.atoms, np.random.RandomState(0))
    alpha = arguments.alpha or weight_for(signals, drawn, 5)
    print(f"{len(signals)} signals, weight of the lasso {alpha:.3g}")
    found = learners(arguments.atoms, alpha, arguments.iterations, arguments.jobs)
    seconds = found.pop("seconds", {})
    if arguments.only_ours:
        found = {name: found[name] for name in list(found)[:1]}
    ksvd(signals[:500], 8, max_iter=1)  # compiles
    times: dict[str, list[float]] = {name: [] for name in found}
    processor_times: dict[str, list[float]] = {name: [] for name in found}
    scores = {}
    for _ in range(arguments.repetitions):
        for name, learn in found.items():
            atoms, clock, processor = timed(partial(learn, signals))
            times[name].append(clock)
            processor_times[name].append(processor)
            seconds[name] = max(int(clock), 1)
            scores[name] = objectives(signals, atoms, alpha, arguments.jobs)
    ours = next(iter(found))
    header = ["learner", "s: median (range)", "processor s"]
    print(format_table([*header, "pursuit error / K-SVD", "lasso objective / K-SVD"]))
    for name in times:
        relative = (f"{a / b:.3f}" for a, b in zip(scores[name], scores[ours], strict=True))
        spreads = format_spread(times[name]), format_spread(processor_times[name])
        print(format_row([name, *spreads, *relative]), flush=True)


if __name__ == "__main__":
    main()
