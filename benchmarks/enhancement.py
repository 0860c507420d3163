"""Measure the time and memory that each estimator needs for a whole volume.

    python -m benchmarks.enhancement --cohort ../shared/data/ds002748
    python -m benchmarks.enhancement --cohort ../shared/data/ds002748 --along-k

A brain and its simulated low-field volume are repeated to the requested size. Each estimator is
fitted on this pair and enhances the low volume, each in a separate process. The table has the
elapsed time, the processor time in total and for each stage, and the peak memory of the process.
"Extra" memory is the peak without the memory in use before (the program, the model and the volumes
passed in) and without the result. Nets are trained for two steps only, which does not change their
speed.

With ``--along-k``, prediction is measured for volumes of increasing length and plotted. IQT-SRep
then codes by matching pursuit, which takes as much memory as the lasso and a tenth of its time.
"""

from __future__ import annotations

import argparse
import cProfile
import inspect
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
from benchmarks.cost import peak_memory, process_memory, timed
from benchmarks.tables import format_row, format_table
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
from sklearn_iqt.deep._inference import Predictor
from sklearn_iqt.deep._net import PatchNet
from sklearn_iqt.dictionary import ksvd
from sklearn_iqt.dictionary._features import fit_projection
from sklearn_iqt.patches import PatchMerger, cut_patches
from sklearn_iqt.patches._sampling import foreground_index
from sklearn_iqt.preprocessing import intensity_scale, upsample
from sklearn_iqt.preprocessing._foreground import foreground_mask

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

# Functions that do not call each other, and the name of the stage that they belong to.
STAGES = {
    intensity_scale: "intensity scale",
    upsample: "interpolation",
    foreground_mask: "foreground",
    foreground_index: "choice of patches",
    cut_patches: "cutting",
    fit_projection: "principal components",
    ksvd: "K-SVD",
    CoupledDictionaryIQT._encode: "features and codes",
    PatchMerger.add: "merging",
    PatchMerger.finalize: "merging",
    Ridge.fit: "regressor",
    Ridge.predict: "regressor",
    PatchNet.train_step: "training steps",
    Predictor.__call__: "net",
}


def repeated_pair(cohort, size):
    """Return a low and a high volume, repeated to a size in high voxels."""
    image, labels = cohort.load(cohort.split["train"][0])
    high = np.asarray(image.dataobj, np.float32)
    whole = high.shape[2] // SCALE[2] * SCALE[2]
    high, labels = high[..., :whole], labels[..., :whole]
    low = LowFieldSimulator(random_state=0).simulate([high], [labels]).low[0]
    shapes = np.floor_divide(size, SCALE), size
    return tuple(repeated(volume, shape) for volume, shape in zip((low, high), shapes, strict=True))


def repeated(volume, shape):
    """Repeat a volume along all axes to fill a shape."""
    copies = [-(-want // have) for want, have in zip(shape, volume.shape, strict=True)]
    return np.tile(volume, copies)[tuple(map(slice, shape))].astype(np.float32, order="C")


def stages(profile):
    """Return the seconds of each stage of a profile, the longest first."""
    profiled = pstats.Stats(profile).stats
    seconds = {}
    for function, stage in STAGES.items():
        code = inspect.unwrap(function).__code__
        key = code.co_filename, code.co_firstlineno, code.co_name
        if key in profiled:
            cumulative = profiled[key][3]
            seconds[stage] = seconds.get(stage, 0) + cumulative
    return dict(sorted(seconds.items(), key=lambda stage: -stage[1]))


def measure(function):
    """Call a function under the profiler; return its result, and its time and memory."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    memory_before, profile = process_memory("VmRSS"), cProfile.Profile(time.process_time)
    result, clock, processor = timed(lambda: profile.runcall(function))
    record = {"clock": clock, "processor": processor, "before": memory_before}
    return result, record | {"peak": peak_memory(), "stages": stages(profile)}


def make_estimator(name, jobs):
    """Return an estimator that uses a number of threads."""
    estimator = ESTIMATORS[name]
    if "n_jobs" in estimator.get_params():
        estimator.set_params(n_jobs=jobs)
    return estimator


def small_piece(low, scale=(1, 1, 1)):
    """Return slices of 32 x 32 x 8 low voxels, or of the same region of the high volume."""
    starts = [n // 4 for n in low.shape]
    return tuple(
        slice(start * factor, (start + size) * factor)
        for start, size, factor in zip(starts, (32, 32, 8), scale, strict=True)
    )


def fit(name, jobs, folder, model):
    """Fit an estimator on the pair in a folder and save the model to a file."""
    low, high = (np.load(folder / f"{kind}.npy") for kind in ("low", "high"))
    estimator = make_estimator(name, jobs)
    warm_up = [low[small_piece(low)]], [high[small_piece(low, SCALE)]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a small piece has too few patches for all atoms
        clone(estimator).fit(*warm_up)  # imports and compiles
    estimator, record = measure(lambda: estimator.fit([low], [high]))
    save_model(estimator, model, overwrite=True)
    return record | {"passed": low.nbytes + high.nbytes, "returned": 0}


def predict(model, jobs, folder, length=None):
    """Enhance the low volume in a folder, repeated or cut to a length in high voxels along k."""
    low = np.load(folder / "low.npy", mmap_mode="r")
    slices = low.shape[2] if length is None else length // SCALE[2]
    low = repeated(low, (*low.shape[:2], slices))
    model = load_model(model)
    if "n_jobs" in model.get_params():
        model.set_params(n_jobs=jobs)
        if length is not None:
            model.set_params(solver="batch_omp")
    model.predict([low[small_piece(low)]])
    (image,), record = measure(lambda: model.predict([low]))
    return record | {"passed": low.nbytes, "returned": image.nbytes}


def run_in_process(function, *arguments):
    """Call a function in a new process, so that its memory can be measured."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def extra_memory(record):
    """Return the peak memory without the memory in use before and the result, in GB."""
    return record["peak"] - record["before"] - record["returned"] / 2**30


def make_row(name, step, record):
    """Return a row of the table."""
    total = record["processor"]
    shown = [f"{stage} {s:.2f}" for stage, s in record["stages"].items() if s >= 0.005 * total]
    rest = total - sum(record["stages"].values())
    cells = name, step, f"{record['clock']:.1f}", f"{total:.1f}", f"{record['peak']:.2f}"
    cells += f"{extra_memory(record):.2f}", ", ".join([*shown, f"rest {rest:.2f}"])
    return format_row(cells)


TITLES = "processor time, s", "peak memory, GB", "extra memory, GB"


def along_k(names, jobs, folder, models, path):
    """Measure and plot the time and memory of prediction for volumes of increasing length."""
    curves = {}
    print(format_table(["estimator", "voxels along k", *TITLES]))
    for name in names:
        model = models / f"{name}.iqt"
        records = [run_in_process(predict, model, jobs, folder, length) for length in LENGTHS]
        curves[name] = [
            [r["processor"] for r in records],
            [r["peak"] for r in records],
            [extra_memory(r) for r in records],
        ]
        for length, *values in zip(LENGTHS, *curves[name], strict=True):
            print(format_row([name, length, *(f"{value:.2f}" for value in values)]), flush=True)
    draw(curves, [(r["passed"] + r["returned"]) / 2**30 for r in records], path)
    print(f"\nwrote {path}")


def draw(curves, volumes, path):
    """Plot time and memory against the length, and the memory of the volumes alone."""
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
    parser.add_argument("--cohort", required=True, help="folder of the cohort")
    parser.add_argument(
        "--estimator",
        nargs="+",
        choices=list(ESTIMATORS),
        default=SMALL,
        help="estimators to measure",
    )
    parser.add_argument(
        "--size", type=int, nargs=3, default=(260, 311, 260), help="of the high volume, in voxels"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of threads of the coder")
    parser.add_argument(
        "--along-k", action="store_true", help="plot time and memory against the length"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        default=Path("docs/images/performance/memory_along_k.png"),
        help="file of the plot",
    )
    parser.add_argument(
        "--models",
        type=Path,
        help="folder of fitted models, which are reused; temporary by default",
    )
    arguments = parser.parse_args(argv)
    names, jobs = arguments.estimator, arguments.jobs
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = arguments.models or folder
        models.mkdir(parents=True, exist_ok=True)
        pair = repeated_pair(load_cohort(arguments.cohort), arguments.size)
        for kind, volume in zip(("low", "high"), pair, strict=True):
            np.save(folder / f"{kind}.npy", volume)
        print(f"low {pair[0].shape}, high {pair[1].shape}, threads of the coder: {jobs}\n")
        header = ["estimator", "step", "s", "processor s", "peak, GB", "extra, GB", "stages, s"]
        print(format_table(header))
        for name in names:
            model = models / f"{name}.iqt"
            if not model.exists():
                record = run_in_process(fit, name, jobs, folder, model)
                print(make_row(name, "fit", record), flush=True)
            if not arguments.along_k:
                record = run_in_process(predict, model, jobs, folder)
                print(make_row(name, "predict", record), flush=True)
        if arguments.along_k:
            along_k(names, jobs, folder, models, arguments.plot)


if __name__ == "__main__":
    main()
