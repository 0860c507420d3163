"""Compare the sparse coder with SPAMS and scikit-learn.

    python -m benchmarks.peers.coder --cohort ../shared/data/ds002748

All coders run in ``--jobs`` threads; on a machine that is busy, pin the command to a quiet core
and give each coder one, since two threads of one coder wait for each other.

Signals are the reduced features of the patches of a simulated low volume, atoms those that
CoupledDictionaryIQT learned from other subjects; without a cohort both are synthetic. The weight of
the lasso is chosen for a mean number of non-zeros. Prints a table with, for each coder, the median
rate and the median and range of the ratio of our rate to it over alternating repetitions, by the
clock and by the processor time of all threads (which other programs disturb less; that of the
processes of scikit-learn is not seen); the largest violation of the conditions of optimality,
relative to the weight; and the mean gap of the objective to that of a solution in double precision
to 1e-9, relative to it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.cohorts import load_cohort
from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator
from sklearn_iqt.dictionary import sparse_encode
from sklearn_iqt.patches import cut_patches
from sklearn_iqt.preprocessing import intensity_scale, upsample

N_SIGNALS = {5: 16_000, 20: 8_000, 48: 6_000}
N_REFERENCE = 50
N_CHECKED = 500


def real_signals(cohort, n_atoms, n_components, features="gradient", n_signals=60_000):
    """Return features of one simulated subject, and atoms learned from two others."""
    highs, labels = load_cohort(cohort).arrays("train")
    pairs = LowFieldSimulator(random_state=0).simulate(highs[:3], labels[:3])
    model = CoupledDictionaryIQT(
        n_atoms, n_components=n_components, features=features, max_iter=6, random_state=0
    )
    model.fit(pairs.low[:2], pairs.high[:2])
    low = pairs.low[2]
    inputs = upsample(low / np.float32(intensity_scale(low)), (1, 1, 4))
    grid = model.patcher_.grid(inputs.shape)
    chosen = np.random.default_rng(0).permutation(grid.n_patches)[:n_signals]
    signals = cut_patches(inputs, grid, chosen) @ model.projection_.T
    signals = signals[np.linalg.norm(signals, axis=1) > model.alpha]
    return signals.astype(np.float32), model.dictionary_low_.astype(np.float32)


def synthetic_signals(n_atoms, n_features):
    """Return signals of decaying energy and atoms drawn from the same distribution."""
    rng = np.random.default_rng(0)
    decay = np.linspace(1, 0.05, n_features) / n_features
    signals, atoms = (rng.standard_normal((n, n_features)) * decay for n in (20_000, n_atoms))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return signals.astype(np.float32), atoms.astype(np.float32)


def signals_and_atoms(arguments, n_atoms):
    """Return the signals and atoms that the command line asks for."""
    if not arguments.cohort:
        return synthetic_signals(n_atoms, arguments.components)
    return real_signals(arguments.cohort, n_atoms, arguments.components, arguments.features)


def weight_for(signals, atoms, n_nonzero):
    """Bisect for the weight that gives a mean number of non-zeros."""
    low, high = 1e-6, 1.0
    for _ in range(16):
        alpha = float(np.sqrt(low * high))
        found = sparse_encode(signals[:400], atoms, alpha=alpha).nnz / 400
        low, high = (alpha, high) if found > n_nonzero else (low, alpha)
    return alpha


def quality(signals, atoms, codes, alpha):
    """Return the largest violation, relative to alpha, and the objectives."""
    codes = codes.toarray().astype(np.float64)
    residual = signals - codes @ atoms
    slopes = residual @ atoms.T
    active = np.abs(slopes - alpha * np.sign(codes))
    violation = np.where(codes != 0, active, np.maximum(np.abs(slopes) - alpha, 0)).max() / alpha
    return violation, 0.5 * (residual**2).sum(axis=1) + alpha * np.abs(codes).sum(axis=1)


def lasso_coders(atoms, alpha, jobs):
    """Return coders by name."""
    coders = {"sklearn_iqt": lambda X: sparse_encode(X, atoms, alpha=alpha, n_jobs=jobs)}
    try:
        import spams
    except ImportError:
        print("SPAMS is not installed; pip install 'sklearn-iqt[bench]'")
    else:
        columns = np.asfortranarray(atoms.T)
        coders["SPAMS lasso"] = lambda X: spams.lasso(
            np.asfortranarray(X.T), D=columns, lambda1=alpha, mode=2, numThreads=jobs
        ).T.tocsr()
    coders["scikit-learn lasso_lars"] = lambda X: sparse_encode(
        X, atoms, alpha=alpha, solver="lasso_lars", n_jobs=jobs
    )
    return coders


def omp_coders(atoms, jobs):
    """Return pursuits of three atoms by name."""
    options = {"solver": "batch_omp", "n_nonzero_coefs": 3, "n_jobs": jobs}
    coders = {"sklearn_iqt": lambda X: sparse_encode(X, atoms, **options)}
    try:
        import spams
    except ImportError:
        return coders
    columns = np.asfortranarray(atoms.T)
    coders["SPAMS omp"] = lambda X: spams.omp(np.asfortranarray(X.T), columns, L=3, numThreads=jobs)
    return coders


def alternate(coders, signals, repetitions):
    """Return for each coder its rates, by either clock, and what it found last."""
    rates, found = {name: [] for name in coders}, {}
    for repetition in range(repetitions + 1):
        for name, code in coders.items():
            chosen = signals[:N_REFERENCE] if name.startswith("scikit") else signals
            start = np.array([time.perf_counter(), time.process_time()])
            found[name] = code(chosen)
            seconds = np.array([time.perf_counter(), time.process_time()]) - start
            if repetition:  # the first run warms up
                rates[name].append(len(chosen) / seconds)
    return {name: np.array(values) for name, values in rates.items()}, found


def row(n_atoms, task, name, rates, quality_cells=("", "")):
    """Return a row of the table."""
    ratios = rates["sklearn_iqt"] / rates[name]
    spreads = [f"{np.median(r):.1f} ({r.min():.1f}-{r.max():.1f})" for r in ratios.T]
    if name.startswith("scikit"):
        spreads[1] = ""
    cells = n_atoms, task, name, f"{np.median(rates[name][:, 0]):,.0f}", *spreads, *quality_cells
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", help="folder of real brains; synthetic signals without")
    parser.add_argument("--atoms", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--nonzeros", type=int, nargs="+", default=list(N_SIGNALS))
    parser.add_argument(
        "--components",
        type=lambda text: float(text) if "." in text else int(text),
        default=130,
        help="how many, or the share of their energy",
    )
    parser.add_argument("--features", default="gradient", help="of CoupledDictionaryIQT")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="threads of each coder")
    arguments = parser.parse_args(argv)
    print(
        "| atoms | task | coder | signals/s | ours is faster by | by processor time "
        "| violation / λ | mean gap |\n|---|---|---|---|---|---|---|---|"
    )
    for n_atoms in arguments.atoms:
        signals, atoms = signals_and_atoms(arguments, n_atoms)
        exact_atoms = atoms.astype(np.float64)
        for n_nonzero in arguments.nonzeros:
            alpha = weight_for(signals, atoms, n_nonzero)
            chosen = signals[: N_SIGNALS.get(n_nonzero, 4_000)]
            coders = lasso_coders(atoms, alpha, arguments.jobs)
            rates, found = alternate(coders, chosen, arguments.repetitions)
            exact = chosen[:N_CHECKED].astype(np.float64)
            best = sparse_encode(exact, exact_atoms, alpha=alpha, tol=1e-9)
            _, least = quality(exact, exact_atoms, best, alpha)
            task = f"lasso, {found['sklearn_iqt'].nnz / len(chosen):.0f} non-zeros"
            for name, codes in found.items():
                rows = slice(min(len(exact), codes.shape[0]))
                violation, objectives = quality(exact[rows], exact_atoms, codes[rows], alpha)
                gap = np.mean((objectives - least[rows]) / least[rows])
                cells = f"{violation:.0e}", f"{gap:.0e}"
                print(row(n_atoms, task, name, rates, cells), flush=True)
        rates, found = alternate(omp_coders(atoms, arguments.jobs), signals, arguments.repetitions)
        for name in found:
            print(row(n_atoms, "OMP, 3 non-zeros", name, rates), flush=True)


if __name__ == "__main__":
    main()
