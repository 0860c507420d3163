"""Time IQT-SRep at the size of the paper, and its coder against named peers in the same run.

    python -m benchmarks.speed --cohort ../shared/data/ds002748

Learns 1024 atoms from 100,000 patches of 7 voxels a side, enhances one brain that is cropped or
padded to 160 x 200 x 160 at stride 3 with lambda 0.01, and prints times and peak memory beside the
paper's. Then codes the same patches by our solver, by SPAMS (if installed) and by scikit-learn,
alternating, and prints the median ratio of the rates with its range.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.cohorts import load_cohort
from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator
from sklearn_iqt.dictionary import sparse_encode
from sklearn_iqt.io import save_volume
from sklearn_iqt.patches import cut_patches
from sklearn_iqt.persistence import save_model
from sklearn_iqt.preprocessing import intensity_scale, upsample

SHAPE = (160, 200, 160)


def fit_to_shape(volume, shape=SHAPE):
    """Crop or pad a volume around its middle."""
    for axis, length in enumerate(shape):
        missing = length - volume.shape[axis]
        before = abs(missing) // 2
        if missing < 0:
            volume = volume.take(range(before, before + length), axis=axis)
        else:
            pad = [(0, 0)] * 3
            pad[axis] = (before, missing - before)
            volume = np.pad(volume, pad)
    return volume


def timed(function):
    """Return the result of a call and its seconds."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def enhance_as_a_user(model, low):
    """Return the seconds and the peak memory, in GB, of the command line on files."""
    # The kernel's own figure for this program alone; rusage would count the parent's memory too.
    code = (
        "import sys; from pathlib import Path; from sklearn_iqt.cli import main; "
        "status = main(sys.argv[1:]); "
        "lines = Path('/proc/self/status').read_text().splitlines(); "
        "print([line.split()[1] for line in lines if line.startswith('VmHWM')][0]); "
        "sys.exit(status)"
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = save_model(model, Path(folder, "model.iqt"))
        scan = save_volume(low, Path(folder, "low.nii.gz"), affine=np.diag([1, 1, 4, 1]))
        command = ["enhance", "--quiet", "--model", saved, scan, "--output-dir", folder]
        done, seconds = timed(
            lambda: subprocess.run(
                [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True
            )
        )
    return seconds, int(done.stdout.split()[-1]) * 1024 / 1e9


def peers(signals, dictionary, alpha, n_jobs):
    """Return coders by name, each with the number of signals it is given."""
    coders = {
        "sklearn_iqt": (
            len(signals),
            lambda X: sparse_encode(X, dictionary, alpha=alpha, n_jobs=n_jobs),
        ),
        "scikit-learn lasso_lars": (
            400,
            lambda X: sparse_encode(X, dictionary, alpha=alpha, solver="lasso_lars", n_jobs=n_jobs),
        ),
    }
    try:
        import spams
    except ImportError:
        print("SPAMS is not installed; pip install 'sklearn-iqt[bench]'")
    else:
        atoms = np.asfortranarray(dictionary.T)
        coders["SPAMS lasso"] = (
            len(signals),
            lambda X: spams.lasso(
                np.asfortranarray(X.T), D=atoms, lambda1=alpha, mode=2, numThreads=n_jobs
            ),
        )
    return coders


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--atoms", type=int, default=1024)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args(argv)
    cohort = load_cohort(arguments.cohort)
    highs, labels = cohort.arrays("train")
    pairs = LowFieldSimulator(random_state=0).simulate(highs[:4], labels[:4])
    model = CoupledDictionaryIQT(
        arguments.atoms,
        features="gradient",
        n_components=0.9,
        random_state=0,
        n_jobs=arguments.jobs,
    )
    model.fit(pairs.low[:1], pairs.high[:1])  # compiles
    _, seconds = timed(lambda: model.fit(pairs.low, pairs.high))
    print(f"dictionary of {arguments.atoms} atoms from 100,000 patches: {seconds:.1f} s")
    print("  the paper: 80 min")
    brain = fit_to_shape(highs[4]), fit_to_shape(labels[4])
    test = LowFieldSimulator("ind1", random_state=1).simulate([brain[0]], [brain[1]])
    _, seconds = timed(lambda: model.predict(test.low))
    print(f"brain of {SHAPE} at stride 3: {seconds:.1f} s; the paper: 50 min")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"peak memory of training and all: {peak:.2f} GB")
    seconds, peak = enhance_as_a_user(model, test.low[0])
    print(f"the same by sklearn-iqt enhance: {seconds:.1f} s, peak memory {peak:.2f} GB")
    unit = np.float32(intensity_scale(test.low[0]))
    inputs = upsample(test.low[0] / unit, (1, 1, 4))
    grid = model.patcher_.grid(inputs.shape)
    middle = np.arange(grid.n_patches // 2, grid.n_patches // 2 + 20_000)
    signals = cut_patches(inputs, grid, middle) @ model.projection_.T
    signals = signals[np.linalg.norm(signals, axis=1) > model.alpha]
    codes = sparse_encode(signals, model.dictionary_low_, alpha=model.alpha)
    n_features, n_nonzero = signals.shape[1], codes.nnz / len(signals)
    print(f"{len(signals)} signals of {n_features} features, {n_nonzero:.1f} non-zeros on average")
    rates: dict[str, list[float]] = {}
    for _ in range(arguments.repetitions):
        for name, (n_signals, code) in peers(
            signals, model.dictionary_low_, model.alpha, arguments.jobs
        ).items():
            chosen = signals[:n_signals]
            _, seconds = timed(lambda code=code, chosen=chosen: code(chosen))
            rates.setdefault(name, []).append(len(chosen) / seconds)
    ours = np.array(rates["sklearn_iqt"])
    print("| coder | signals/s, median | ratio of ours to it: median (range) |\n|---|---|---|")
    for name, values in rates.items():
        ratios = ours / values
        print(
            f"| {name} | {np.median(values):,.0f} | "
            f"{np.median(ratios):.1f} ({ratios.min():.1f}-{ratios.max():.1f}) |"
        )


if __name__ == "__main__":
    main()
