"""Compare cutting and joining patches with MONAI, TorchIO, scikit-learn and a plain copy.

    OMP_NUM_THREADS=1 python -m benchmarks.peers.patches --cohort ../shared/data/ds002748

A whole brain in patches of 7 voxels, 3 apart, on one thread each. Patches are cut and joined in
runs, as the estimators do; a plain copy moves as many bytes in the same runs. MONAI's splitter
hands out views, which are put together in batches as its inferer does; TorchIO's sampler is read
through a data loader and cuts only some of the patches, for it is slow. scikit-learn has patches
of every pixel of an image, so there the comparison is on a slice. Rates are patches for each second
of processor time, ratios those of alternating repetitions: median and range. The peers' patches
and volumes are checked against ours.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

import numpy as np
import torch
from monai.inferers import AvgMerger, SlidingWindowSplitter
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from torchio import GridAggregator, GridSampler, ScalarImage, Subject

from benchmarks.cohorts import load_cohort
from sklearn_iqt.patches import PatchGrid, PatchMerger, chunks, cut_patches

SIZE, STRIDE = 7, 3
RUN = 24_000
BATCH = 256
N_TORCHIO = 2_000


def fitting(volume):
    """Crop a volume to whole steps of the grid, so that nobody has to shift or pad."""
    return np.ascontiguousarray(
        volume[tuple(slice((n - SIZE) // STRIDE * STRIDE + SIZE) for n in volume.shape)], np.float32
    )


def cutters(volume, grid):
    """Return ways to cut, by name, each with how many patches it cuts."""
    runs = list(chunks(np.arange(grid.n_patches), RUN))
    source = np.random.default_rng(0).random((grid.n_patches, grid.n_voxels), np.float32)
    target = np.empty_like(source[:RUN])
    batched = torch.from_numpy(volume)[None, None]
    sampler = GridSampler(Subject(t1=ScalarImage(tensor=batched[0])), SIZE, SIZE - STRIDE)

    def copy(keep):
        for run in runs:
            np.copyto(target[: len(run)], source[run[0] : run[-1] + 1])

    def ours(keep):
        for run in runs:
            keep(cut_patches(volume, grid, run))

    def monai(keep):
        patches = SlidingWindowSplitter(SIZE, SIZE - STRIDE)(batched)
        while batch := [patch for patch, _ in islice(patches, BATCH)]:
            keep(torch.cat(batch))

    def torchio(keep):
        first = torch.utils.data.Subset(sampler, range(N_TORCHIO))
        for batch in torch.utils.data.DataLoader(first, BATCH):
            keep(batch["t1"]["data"])

    ways = {"sklearn_iqt": ours, "plain copy": copy, "MONAI SlidingWindowSplitter": monai}
    ways["TorchIO GridSampler"] = torchio
    return {
        name: (way, N_TORCHIO if way is torchio else grid.n_patches) for name, way in ways.items()
    }


def joiners(volume, grid):
    """Return ways to join, by name, each with how many patches it joins."""
    rows = cut_patches(volume, grid)
    patches = torch.from_numpy(rows).reshape(-1, 1, SIZE, SIZE, SIZE)
    starts = torch.from_numpy(grid.positions())
    places = torch.cat([starts, starts + SIZE], dim=1)
    sampler = GridSampler(
        Subject(t1=ScalarImage(tensor=torch.from_numpy(volume)[None])), SIZE, SIZE - STRIDE
    )

    def ours(keep):
        merger = PatchMerger(grid)
        for run in chunks(np.arange(grid.n_patches), RUN):
            merger.add(rows[run[0] : run[-1] + 1], run)
        keep(merger.finalize())

    def monai(keep):
        merger = AvgMerger((1, 1, *volume.shape))
        for patch, start in zip(patches, starts.tolist(), strict=True):
            merger.aggregate(patch[None], start)
        keep(merger.finalize()[0, 0])

    def torchio(keep):
        aggregator = GridAggregator(sampler, overlap_mode="average")
        for first in range(0, len(patches), BATCH):
            batch = slice(first, first + BATCH)
            aggregator.add_batch(patches[batch], places[batch])
        keep(aggregator.get_output_tensor()[0])

    ways = {"sklearn_iqt": ours, "MONAI AvgMerger": monai, "TorchIO GridAggregator": torchio}
    return {name: (way, grid.n_patches) for name, way in ways.items()}


def image_ways(image):
    """Return ways to cut and to join every patch of an image, as scikit-learn has them."""
    grid = PatchGrid((1, *image.shape), (1, SIZE, SIZE), 1)
    rows = cut_patches(image[None], grid)
    patches = extract_patches_2d(image, (SIZE, SIZE))

    def join(keep):
        merger = PatchMerger(grid)
        merger.add(rows, np.arange(grid.n_patches))
        keep(merger.finalize()[0])

    cutting = {
        "sklearn_iqt": lambda keep: keep(cut_patches(image[None], grid)),
        "scikit-learn extract_patches_2d": lambda keep: keep(
            extract_patches_2d(image, (SIZE, SIZE))
        ),
    }
    joining = {
        "sklearn_iqt": join,
        "scikit-learn reconstruct_from_patches_2d": lambda keep: keep(
            reconstruct_from_patches_2d(patches, image.shape)
        ),
    }
    n_patches = grid.n_patches
    return [{name: (way, n_patches) for name, way in ways.items()} for ways in (cutting, joining)]


def check(ways):
    """Refuse peers that do not give what we give."""
    for name, (way, n_items) in ways.items():
        found = []
        way(found.append)
        if name == "plain copy":
            continue
        values = np.concatenate([np.asarray(part).ravel() for part in found])
        if name == "sklearn_iqt":
            expected, per_item = values, values.size / n_items
        np.testing.assert_allclose(
            values, expected[: round(n_items * per_item)], rtol=1e-5, atol=1e-5 * expected.max()
        )


def compare(task, ways, repetitions):
    """Time ways in turn and print their rates."""
    check(ways)
    rates = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, (way, n_patches) in ways.items():
            start = time.process_time()
            way(lambda _: None)
            rates[name].append(n_patches / (time.process_time() - start))
    ours = np.array(rates["sklearn_iqt"])
    for name, values in rates.items():
        ratio = ours / values
        print(
            f"| {task} | {name} | {np.median(values):,.0f} | {np.median(ratio):.3g} "
            f"({ratio.min():.3g}-{ratio.max():.3g}) |",
            flush=True,
        )


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--voxels", type=int, default=1000, help="of the brain, along each axis")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    cohort = load_cohort(arguments.cohort)
    brain = np.asarray(cohort.load(cohort.split["train"][0])[0].dataobj)
    starts = [max(n - arguments.voxels, 0) // 2 for n in brain.shape]
    volume = fitting(brain[tuple(slice(start, start + arguments.voxels) for start in starts)])
    grid = PatchGrid(volume.shape, SIZE, STRIDE)
    print(f"{grid.n_patches} patches of a volume of {volume.shape}\n")
    print("| task | by | patches for a second of the processor | ours is faster by |")
    print("|---|---|---|---|")
    compare("cut", cutters(volume, grid), arguments.repetitions)
    compare("join", joiners(volume, grid), arguments.repetitions)
    image = np.ascontiguousarray(volume[:, :, volume.shape[2] // 2])
    for task, ways in zip(("cut", "join"), image_ways(image), strict=True):
        compare(f"{task}, an image, step 1", ways, arguments.repetitions)


if __name__ == "__main__":
    main()
