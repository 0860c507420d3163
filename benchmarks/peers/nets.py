"""Speed of the nets against the machine's matrix products and MONAI's sliding windows.

``python -m benchmarks.peers.nets`` prints Markdown tables. Seconds of the clock suffer from other
jobs; fractions of the peak are of processor time on a CPU (set ``OMP_WAIT_POLICY=passive``, or
threads that wait count as work), and of the clock on a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sklearn_iqt import AnisoUNetRegressor, DDLRegressor
from sklearn_iqt.deep._inference import Predictor, lay_channels_last
from sklearn_iqt.deep._tiles import predict_tiles
from sklearn_iqt.deep.modules import BaseNet

NETS = {
    "U-Net 16/5": AnisoUNetRegressor(16, 5, global_skip=False),
    "U-Net 8/4": AnisoUNetRegressor(8, 4, global_skip=False),
    "DDL-16": DDLRegressor(16, global_skip=False),
    "DDL-8": DDLRegressor(8, global_skip=False),
}
PATCH = (32, 32, 8)
SCALE = (1, 1, 4)
# Ways to enhance a volume: our tiles, or MONAI's windows with their size and overlap.
WAYS: dict[str, tuple[tuple[int, int, int], float] | None] = {
    "ours": None,
    "MONAI, 32x32x8, half overlapping": (PATCH, 0.5),
    "MONAI, 96x96x24, a quarter overlapping": ((96, 96, 24), 0.25),
}


def make_net(name: str) -> BaseNet:
    """Build a net with random weights on the device."""
    torch.manual_seed(0)
    return NETS[name]._build_net(SCALE, PATCH).to(device())


def device() -> str:
    """Return where to measure."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds of the clock and of the processor, or of the clock twice on a GPU."""
    on_gpu = device() == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    clock, processor = time.perf_counter(), time.process_time()
    function()
    if on_gpu:
        torch.cuda.synchronize()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return clock, clock if on_gpu else processor


def peak(n: int = 1536, repeats: int = 3) -> float:
    """Return operations per second of a matrix product, the best of some."""
    a, b = torch.rand(2, n, n, device=device())
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b)[1] for _ in range(repeats))


def operations(function: Callable[[], Any]) -> int:
    """Count the operations of convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def throughput(name: str, batch_size: int, repeats: int) -> list[str]:
    """Measure training and inference on patches, alternating with the peak."""
    net = make_net(name)
    if device() == "cpu":
        lay_channels_last(net)
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.rand(batch_size, 1, *PATCH, device=device())
    y = torch.rand(batch_size, 1, *np.multiply(PATCH, SCALE), device=device())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(net.train()(x), y).backward()
        optimizer.step()

    predictor = Predictor(net, np.dtype(np.float32), mixed_precision=False)

    def infer() -> None:
        with torch.inference_mode():
            predictor.net(x)

    cells = [name]
    for function in (step, infer):
        work = operations(function)
        runs = [(*seconds(function), peak()) for _ in range(repeats)]
        clock = [batch_size / run[0] for run in runs]
        fraction = [work / run[1] / run[2] for run in runs]
        cells += [f"{median(clock):.1f} ({min(clock):.1f}-{max(clock):.1f})", spread(fraction)]
    return cells


def spread(fractions: list[float]) -> str:
    """Format a median with its range."""
    return f"{median(fractions):.0%} ({min(fractions):.0%}-{max(fractions):.0%})"


def volume(name: str, way: str, shape: tuple[int, int, int]) -> tuple[float, float, float, float]:
    """Enhance one volume; return seconds of the clock, of the processor, gigabytes, and of peak."""
    net = make_net(name).eval()
    low = np.random.default_rng(0).random(shape, np.float32)
    if (window := WAYS[way]) is None:
        estimator = NETS[name].__class__(**NETS[name].get_params())
        estimator.scale_, estimator.net_ = SCALE, argparse.Namespace(module_=net)
        baseline = np.zeros(np.multiply(shape, SCALE), np.float32)
        predictor = Predictor(net, low.dtype, mixed_precision=False)

        def enhance() -> Any:
            return predict_tiles(
                lambda tile, _: predictor(tile[None, None])[0, 0],
                low,
                baseline,
                scale=SCALE,
                **estimator._tiling(shape),
            )
    else:
        from monai.inferers import sliding_window_inference

        size, overlap = window
        x = torch.from_numpy(low)[None, None].to(device())

        def enhance() -> Any:
            with torch.inference_mode():
                return sliding_window_inference(x, size, 4, net, overlap=overlap)

    make_net(name).eval()(torch.zeros(1, 1, 32, 32, 8, device=device()))  # what is made only once
    before = memory("VmRSS")
    clock, processor = seconds(enhance)
    on_gpu = device() == "cuda"
    most = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else memory("VmHWM") - before
    # Counting slows some operations down.
    return clock, processor, most, operations(enhance) / processor / peak()


def memory(field: str) -> float:
    """Return a field of Linux's account of this process, in gigabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e6


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--shape", type=int, nargs=3, default=(260, 311, 65))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="of batches of patches")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--volumes", type=int, default=3, help="repetitions with whole volumes")
    arguments = parser.parse_args()
    print(f"{device()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"peak {peak() / 1e9:.0f} GFLOP per second of processor time\n")
    head = ["net", "training, patches/s", "of peak", "inference, patches/s", "of peak"]
    if arguments.repeats:
        sizes = arguments.batch_size, arguments.repeats
        table(head, [throughput(name, *sizes) for name in arguments.nets])
    rows = []
    # A process for each run, so that memory is its own.
    context = multiprocessing.get_context("spawn")
    for name in arguments.nets:
        runs: dict[str, list] = {way: [] for way in arguments.ways}
        for _ in range(arguments.volumes):
            for way in arguments.ways:
                with context.Pool(1) as pool:
                    runs[way].append(pool.apply(volume, (name, way, tuple(arguments.shape))))
        for way, results in runs.items():
            columns = list(zip(*results, strict=True))
            clock, processor, gigabytes = map(median, columns[:3])
            first = [run[1] for run in runs[arguments.ways[0]]]
            ratios = [run[1] / other for run, other in zip(results, first, strict=True)]
            ratio = f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
            fraction = spread(list(columns[3]))
            cells = f"{clock:.1f}", f"{processor:.1f}", ratio, fraction, f"{gigabytes:.2f}"
            rows.append([name, way, *cells])
    table(["net", "way", "s", "processor s", "to the first", "of peak", "GB"], rows)


if __name__ == "__main__":
    main()
