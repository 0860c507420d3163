"""Compare K-SVD with the dictionary learners of SPAMS and scikit-learn.

    python -m benchmarks.peers.dictionary_learning --cohort ../shared/data/ds002748

Each learner sees the same training signals (synthetic without a cohort), alternating. Its atoms are
then judged on one objective, with our coders: the mean squared norm of what three atoms by matching
pursuit leave of the signals, and the mean objective of the lasso, both relative to ours. SPAMS and
scikit-learn learn for the lasso; K-SVD learns for the pursuit. By default the weight of the lasso
is that at which atoms drawn from the signals code them with five non-zeros on average. All learners
run in ``--jobs`` threads.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning

from benchmarks.peers.coder import real_signals, synthetic_signals, weight_for
from sklearn_iqt.dictionary import ksvd, sparse_encode
from sklearn_iqt.dictionary._learning import initial_dictionary


def learners(n_atoms, alpha, n_iter, jobs):
    """Return functions from signals to unit-norm atoms, by name."""

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
            iter=-seconds["sklearn_iqt ksvd"],  # as long as ours took
            batchsize=512,
            numThreads=jobs,
            verbose=False,
        ).T

    seconds = found["seconds"] = {"sklearn_iqt ksvd": 1}
    found["SPAMS trainDL, as long as ours"] = train_dl
    return found


def objectives(X, atoms, alpha, jobs):
    """Return the mean objectives of pursuit and lasso."""
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
    parser.add_argument("--cohort", help="folder of real brains; synthetic signals without")
    parser.add_argument("--atoms", type=int, default=1024)
    parser.add_argument("--signals", type=int, default=100_000)
    parser.add_argument("--components", type=int, default=130)
    parser.add_argument("--alpha", type=float, help="weight of the lasso")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only-ours", action="store_true", help="time K-SVD alone")
    arguments = parser.parse_args(argv)
    if arguments.cohort:
        # The atoms are not used here: few of them are learned soon.
        signals, _ = real_signals(
            arguments.cohort, 16, arguments.components, n_signals=2 * arguments.signals
        )
    else:
        signals, _ = synthetic_signals(arguments.atoms, arguments.components)
    rng = np.random.default_rng(0)
    if len(signals) < arguments.signals:  # perturbed copies are as hard to code as the signals
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
    judged = {}
    for _ in range(arguments.repetitions):
        for name, learn in found.items():
            start, processor_start = time.perf_counter(), time.process_time()
            atoms = learn(signals)
            times[name].append(time.perf_counter() - start)
            processor_times[name].append(time.process_time() - processor_start)
            seconds[name] = max(int(times[name][-1]), 1)
            judged[name] = objectives(signals, atoms, alpha, arguments.jobs)
    ours = next(iter(found))
    print("| learner | seconds: median (range) | of the processor | pursuit error / ours ", end="")
    print("| lasso objective / ours |\n|---|---|---|---|---|")
    for name, values in times.items():
        relative = (f"{a / b:.3f}" for a, b in zip(judged[name], judged[ours], strict=True))
        spreads = [
            f"{np.median(v):.1f} ({min(v):.1f}-{max(v):.1f})"
            for v in (values, processor_times[name])
        ]
        print("| " + " | ".join([name, *spreads, *relative]) + " |", flush=True)


if __name__ == "__main__":
    main()
