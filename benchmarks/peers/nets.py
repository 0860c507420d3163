"""Compare the speed of the nets with matrix products and with the sliding windows of MONAI.

    OMP_WAIT_POLICY=passive python -m benchmarks.peers.nets

The peak is the rate of a large matrix product on the same machine. Fractions of it are of processor
time on a CPU, and of elapsed time on a GPU. Elapsed times are longer when other programs run.
Without ``OMP_WAIT_POLICY=passive``, waiting threads add to the processor time.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cost import process_memory, timed
from benchmarks.tables import format_spread, format_table
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
# Ways to enhance a volume: tiles of this package, or windows of MONAI with a size and an overlap.
WAYS: dict[str, tuple[tuple[int, int, int], float] | None] = {
    "sklearn_iqt": None,
    "MONAI, 32x32x8, overlap 50 %": (PATCH, 0.5),
    "MONAI, 96x96x24, overlap 25 %": ((96, 96, 24), 0.25),
}


def make_net(name: str) -> BaseNet:
    """Return a net with random weights on the device."""
    torch.manual_seed(0)
    return NETS[name]._build_net(SCALE, PATCH).to(device())


def device() -> str:
    """Return the device to measure."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the elapsed and the processor time, or twice the elapsed time on a GPU."""
    if device() == "cpu":
        return timed(function)[1:]
    torch.cuda.synchronize()
    _, clock, _ = timed(lambda: (function(), torch.cuda.synchronize()))
    return clock, clock


def peak(n: int = 1536, repeats: int = 3) -> float:
    """Return the best rate of a matrix product, in operations per second."""
    a, b = torch.rand(2, n, n, device=device())
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b)[1] for _ in range(repeats))


def operations(function: Callable[[], Any]) -> int:
    """Return the number of operations in convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def throughput(name: str, batch_size: int, repeats: int) -> list[str]:
    """Measure training and inference on patches, in turn with the peak."""
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
        cells += [format_spread(clock), format_spread(fraction, ".0%")]
    return cells


def enhance_volume(
    name: str, way: str, shape: tuple[int, int, int]
) -> tuple[float, float, float, float]:
    """Enhance a volume; return elapsed time, processor time, memory in GB, fraction of the peak."""
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

    make_net(name).eval()(torch.zeros(1, 1, 32, 32, 8, device=device()))  # loads libraries
    before = process_memory("VmRSS")
    clock, processor = seconds(enhance)
    on_gpu = device() == "cuda"
    allocated = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0
    memory = allocated if on_gpu else process_memory("VmHWM") - before
    # The operations are counted in another call, because counting takes time.
    return clock, processor, memory, operations(enhance) / processor / peak()


def main(argv: list[str] | None = None) -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--nets", nargs="+", choices=list(NETS), default=list(NETS), help="nets to measure"
    )
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=(260, 311, 65),
        help="shape of the low volume, in voxels",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="patches in a batch")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions with a batch")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=list(WAYS),
        default=list(WAYS),
        help="ways to enhance a volume",
    )
    parser.add_argument("--volumes", type=int, default=3, help="repetitions with a whole volume")
    arguments = parser.parse_args(argv)
    print(f"{device()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"peak {peak() / 1e9:.0f} GFLOP per second of processor time\n")
    head = ["net", "training, patches/s", "of peak", "inference, patches/s", "of peak"]
    if arguments.repeats:
        sizes = arguments.batch_size, arguments.repeats
        rows = [throughput(name, *sizes) for name in arguments.nets]
        print(format_table(head, rows), end="\n\n", flush=True)
    rows = []
    # Each run has a new process, so that its memory can be measured.
    context = multiprocessing.get_context("spawn")
    for name in arguments.nets:
        runs: dict[str, list] = {way: [] for way in arguments.ways}
        for _ in range(arguments.volumes):
            for way in arguments.ways:
                with context.Pool(1) as pool:
                    runs[way].append(
                        pool.apply(enhance_volume, (name, way, tuple(arguments.shape)))
                    )
        for way, results in runs.items():
            columns = list(zip(*results, strict=True))
            clock, processor, gigabytes = map(median, columns[:3])
            first = [run[1] for run in runs[arguments.ways[0]]]
            ratios = [run[1] / other for run, other in zip(results, first, strict=True)]
            cells = f"{clock:.1f}", f"{processor:.1f}", format_spread(ratios)
            cells += format_spread(columns[3], ".0%"), f"{gigabytes:.2f}"
            rows.append([name, way, *cells])
    head = ["net", "way", "s", "processor s", "relative to the first", "of peak", "GB"]
    print(format_table(head, rows))


if __name__ == "__main__":
    main()
