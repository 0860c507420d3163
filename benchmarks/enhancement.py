"""Where the time and the memory of enhancing a whole volume go, for each estimator.

    python -m benchmarks.enhancement --cohort ../shared/data/ds002748
    python -m benchmarks.enhancement --cohort ../shared/data/ds002748 --along-k

One brain and its simulated low field are tiled to the size that is asked for, and each estimator is
fitted on that pair and enhances the low volume, both in processes of their own. Prints the seconds
of the clock and of the processor, the stages that these went to, and the most memory that the
process took: in all, and beyond what it held before (the program, the model and the volumes that
are passed in) and what it returns. Nets are trained for two steps: their speed is the same.

With ``--along-k`` prediction is measured for volumes of growing length and plotted; there IQT-SRep
codes by matching pursuit, which takes as much memory as the lasso and a tenth of its time.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import pstats
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import Ridge

from benchmarks.cohorts import load_cohort
from benchmarks.paper.cell import peak_memory
from sklearn_iqt import (
    AnisoUNetRegressor,
    CoupledDictionaryIQT,
    DDLRegressor,
    InterpolationIQT,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
    load_model,
    save_model,
)

SCALE = (1, 1, 4)
NETS = {"max_steps": 2, "batch_size": 8, "max_patches": 64, "random_state": 0}
ESTIMATORS = {
    "interpolation": InterpolationIQT(),
    "ridge": PatchwiseRegressor(Ridge(), random_state=0),
    "srep": CoupledDictionaryIQT(1024, patcher=PatchTransformer(7, stride=3), random_state=0),
    "unet-8": AnisoUNetRegressor(8, 4, **NETS),
    "unet-16": AnisoUNetRegressor(16, 5, **NETS),
    "ddl-8": DDLRegressor(8, **NETS),
    "ddl-16": DDLRegressor(16, **NETS),
}
SMALL = ["interpolation", "ridge", "srep", "unet-8", "ddl-8"]
LENGTHS = (64, 128, 260, 388)

# Functions that do not call each other, by file, and what to call the time in them.
STAGES = {
    ("_scaling", "intensity_scale"): "intensity scale",
    ("_interpolate", "upsample"): "interpolation",
    ("_scaling", "foreground_mask"): "foreground",
    ("_sampling", "foreground_index"): "choice of patches",
    ("_cut", "cut_patches"): "cutting",
    ("_features", "fit_projection"): "principal components",
    ("_learning", "ksvd"): "K-SVD",
    ("_coupled", "_encode"): "features and codes",
    ("_merge", "add"): "joining",
    ("_merge", "finalize"): "joining",
    ("_ridge", "fit"): "regressor",
    ("_base", "predict"): "regressor",
    ("net", "train_step"): "training steps",
    ("_inference", "__call__"): "net",
}


def tiled(cohort, size):
    """Return a brain and its simulated low field, repeated to a size in high voxels."""
    image, labels = cohort.load(cohort.split["train"][0])
    high = np.asarray(image.dataobj, np.float32)
    whole = high.shape[2] // SCALE[2] * SCALE[2]
    high, labels = high[..., :whole], labels[..., :whole]
    low = LowFieldSimulator(random_state=0).simulate([high], [labels]).low[0]
    shapes = np.floor_divide(size, SCALE), size
    return tuple(repeated(volume, shape) for volume, shape in zip((low, high), shapes, strict=True))


def repeated(volume, shape):
    """Repeat a volume along all axes until it has a shape."""
    copies = [-(-want // have) for want, have in zip(shape, volume.shape, strict=True)]
    return np.tile(volume, copies)[tuple(map(slice, shape))].astype(np.float32, order="C")


def stages(profile):
    """Return the seconds of each stage of a profile, the longest first."""
    longest = {}
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():
        key = Path(file).stem, function
        longest[key] = max(longest.get(key, 0), cumulative)
    seconds = {}
    for key in STAGES.keys() & longest.keys():
        seconds[STAGES[key]] = seconds.get(STAGES[key], 0) + longest[key]
    return dict(sorted(seconds.items(), key=lambda stage: -stage[1]))


def measured(work):
    """Run something under the profiler; return its result and a record of what it cost."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    held, profile = memory("VmRSS"), cProfile.Profile(time.process_time)
    clock, processor = time.perf_counter(), time.process_time()
    profile.enable()
    result = work()
    profile.disable()
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    record = {"s": clock, "processor s": processor, "peak": peak_memory(), "held": held}
    return result, record | {"stages": stages(profile)}


def memory(field):
    """Return a field of Linux's account of this process, in GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def make(name, jobs):
    """Return an estimator that runs on so many threads."""
    estimator = ESTIMATORS[name]
    if "n_jobs" in estimator.get_params():
        estimator.set_params(n_jobs=jobs)
    return estimator


def piece(low, scale=(1, 1, 1)):
    """Return what cuts 32 x 32 x 8 low voxels out of a volume, or of its high counterpart."""
    starts = [n // 4 for n in low.shape]
    return tuple(
        slice(start * factor, (start + size) * factor)
        for start, size, factor in zip(starts, (32, 32, 8), scale, strict=True)
    )


def fit(name, jobs, folder, model):
    """Fit one estimator on the pair in a folder and write the model to a file."""
    low, high = (np.load(folder / f"{kind}.npy") for kind in ("low", "high"))
    estimator = make(name, jobs)
    warm_up = [low[piece(low)]], [high[piece(low, SCALE)]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few patches give fewer atoms
        clone(estimator).fit(*warm_up)  # imports and compiled code are there from now on
    estimator, record = measured(lambda: estimator.fit([low], [high]))
    save_model(estimator, model)
    return record | {"passed": low.nbytes + high.nbytes, "returned": 0}


def predict(model, jobs, folder, length=None):
    """Enhance the low volume in a folder, or so many high voxels of it along k."""
    low = np.load(folder / "low.npy", mmap_mode="r")
    slices = low.shape[2] if length is None else length // SCALE[2]
    low = repeated(low, (*low.shape[:2], slices))
    model = load_model(model)
    if "n_jobs" in model.get_params():
        model.set_params(n_jobs=jobs)
        if length is not None:
            model.set_params(solver="batch_omp")
    model.predict([low[piece(low)]])
    (image,), record = measured(lambda: model.predict([low]))
    return record | {"passed": low.nbytes, "returned": image.nbytes}


def alone(function, *arguments):
    """Call in a process of its own, so that the memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def row(name, step, record):
    """Return a row of the table."""
    beyond = record["peak"] - record["held"] - record["returned"] / 2**30
    total = record["processor s"]
    known = [f"{what} {s:.2f}" for what, s in record["stages"].items() if s >= 0.005 * total]
    other = total - sum(record["stages"].values())
    cells = name, step, f"{record['s']:.1f}", f"{total:.1f}", f"{record['peak']:.2f}"
    cells += f"{beyond:.2f}", ", ".join([*known, f"the rest {other:.2f}"])
    return "| " + " | ".join(cells) + " |"


TITLES = "processor time, s", "peak memory, GB", "of it, beyond volumes, GB"


def along_k(names, jobs, folder, models, path):
    """Measure and plot the cost of prediction for volumes of growing length."""
    curves = {}
    print("| estimator | voxels along k | " + " | ".join(TITLES) + " |\n|---|---|---|---|---|")
    for name in names:
        model = models / f"{name}.iqt"
        records = [alone(predict, model, jobs, folder, length) for length in LENGTHS]
        curves[name] = [
            [r["processor s"] for r in records],
            [r["peak"] for r in records],
            [r["peak"] - r["held"] - r["returned"] / 2**30 for r in records],
        ]
        for length, *values in zip(LENGTHS, *curves[name], strict=True):
            cells = " | ".join(f"{value:.2f}" for value in values)
            print(f"| {name} | {length} | {cells} |", flush=True)
    draw(curves, [(r["passed"] + r["returned"]) / 2**30 for r in records], path)
    print(f"\nwrote {path}")


def draw(curves, volumes, path):
    """Plot time and memory against the length, with the memory of the volumes themselves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.7), layout="constrained")
    axes = figure.subplots(1, len(TITLES), sharex=True)
    for name, columns in curves.items():
        for ax, column in zip(axes, columns, strict=True):
            ax.plot(LENGTHS, column, "o-", markersize=3, linewidth=1, label=name)
    axes[1].plot(LENGTHS, volumes, "k:", linewidth=1, label="the volumes alone")
    for title, ax in zip(TITLES, axes, strict=True):
        ax.set_title(title, fontsize=8)
        ax.set_xlabel("high voxels along k", fontsize=7)
        ax.tick_params(labelsize=6)
        ax.set_ylim(bottom=0)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main(argv=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--estimator", nargs="+", choices=list(ESTIMATORS), default=SMALL)
    parser.add_argument("--size", type=int, nargs=3, default=(260, 311, 260), help="high voxels")
    parser.add_argument("--jobs", type=int, default=2, help="threads of the coder")
    parser.add_argument("--along-k", action="store_true", help="plot memory against the length")
    parser.add_argument(
        "--plot", type=Path, default=Path("docs/images/performance/memory_along_k.png")
    )
    parser.add_argument("--models", type=Path, help="folder that keeps fitted models for next time")
    arguments = parser.parse_args(argv)
    names, jobs = arguments.estimator, arguments.jobs
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = arguments.models or folder
        models.mkdir(parents=True, exist_ok=True)
        pair = tiled(load_cohort(arguments.cohort), arguments.size)
        for kind, volume in zip(("low", "high"), pair, strict=True):
            np.save(folder / f"{kind}.npy", volume)
        print(f"low {pair[0].shape}, high {pair[1].shape}, {jobs} threads of the coder\n")
        print("| estimator | step | s | processor s | peak, GB | beyond, GB | of processor s |")
        print("|---|---|---|---|---|---|---|")
        for name in names:
            model = models / f"{name}.iqt"
            if not model.exists():
                print(row(name, "fit", alone(fit, name, jobs, folder, model)), flush=True)
            if not arguments.along_k:
                print(row(name, "predict", alone(predict, model, jobs, folder)), flush=True)
        if arguments.along_k:
            along_k(names, jobs, folder, models, arguments.plot)


if __name__ == "__main__":
    main()
