"""Compare cutting and merging patches with MONAI, TorchIO, scikit-learn and a plain copy.

    OMP_NUM_THREADS=1 python -m benchmarks.peers.patches --cohort ../shared/data/ds002748

A whole brain is cut into patches of 7 voxels with a stride of 3, on one thread. Patches are cut and
merged in chunks, as the estimators do, and a plain copy moves the same number of bytes in the same
chunks. The splitter of MONAI returns views, which are concatenated in batches, as its inferer does.
The sampler of TorchIO is read through a data loader and cuts only some of the patches, because it
is slow. scikit-learn cuts a patch at every pixel of an image, so it is compared on a slice. Rates
are patches per second of processor time. Ratios are the median and the range of alternating
repetitions. The results of all peers are checked against those of this package.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import islice

import numpy as np
import torch
from monai.inferers import AvgMerger, SlidingWindowSplitter
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from torchio import GridAggregator, GridSampler, ScalarImage, Subject

from benchmarks.cohorts import crop_middle, load_cohort
from benchmarks.cost import timed
from benchmarks.tables import format_row, format_spread, format_table
from sklearn_iqt.patches import PatchGrid, PatchMerger, chunks, cut_patches

SIZE, STRIDE = 7, 3
CHUNK = 24_000
BATCH = 256
N_TORCHIO = 2_000


def crop_to_grid(volume):
    """Crop a volume to whole strides, so that no library has to shift or pad patches."""
    return np.ascontiguousarray(
        volume[tuple(slice((n - SIZE) // STRIDE * STRIDE + SIZE) for n in volume.shape)], np.float32
    )


def cutters(volume, grid):
    """Return functions that cut patches, by name, and how many patches each cuts."""
    parts = list(chunks(np.arange(grid.n_patches), CHUNK))
    source = np.random.default_rng(0).random((grid.n_patches, grid.n_voxels), np.float32)
    target = np.empty_like(source[:CHUNK])
    batched = torch.from_numpy(volume)[None, None]
    sampler = GridSampler(Subject(t1=ScalarImage(tensor=batched[0])), SIZE, SIZE - STRIDE)

    def copy(keep):
        for part in parts:
            np.copyto(target[: len(part)], source[part[0] : part[-1] + 1])

    def ours(keep):
        for part in parts:
            keep(cut_patches(volume, grid, part))

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


def mergers(volume, grid):
    """Return functions that merge patches, by name, and how many patches each merges."""
    rows = cut_patches(volume, grid)
    patches = torch.from_numpy(rows).reshape(-1, 1, SIZE, SIZE, SIZE)
    starts = torch.from_numpy(grid.positions())
    locations = torch.cat([starts, starts + SIZE], dim=1)
    sampler = GridSampler(
        Subject(t1=ScalarImage(tensor=torch.from_numpy(volume)[None])), SIZE, SIZE - STRIDE
    )

    def ours(keep):
        merger = PatchMerger(grid)
        for part in chunks(np.arange(grid.n_patches), CHUNK):
            merger.add(rows[part[0] : part[-1] + 1], part)
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
            aggregator.add_batch(patches[batch], locations[batch])
        keep(aggregator.get_output_tensor()[0])

    ways = {"sklearn_iqt": ours, "MONAI AvgMerger": monai, "TorchIO GridAggregator": torchio}
    return {name: (way, grid.n_patches) for name, way in ways.items()}


def image_ways(image):
    """Return functions that cut, and that merge, a patch at every pixel of an image."""
    grid = PatchGrid((1, *image.shape), (1, SIZE, SIZE), 1)
    rows = cut_patches(image[None], grid)
    patches = extract_patches_2d(image, (SIZE, SIZE))

    def merge(keep):
        merger = PatchMerger(grid)
        merger.add(rows, np.arange(grid.n_patches))
        keep(merger.finalize()[0])

    cutting = {
        "sklearn_iqt": lambda keep: keep(cut_patches(image[None], grid)),
        "scikit-learn extract_patches_2d": lambda keep: keep(
            extract_patches_2d(image, (SIZE, SIZE))
        ),
    }
    merging = {
        "sklearn_iqt": merge,
        "scikit-learn reconstruct_from_patches_2d": lambda keep: keep(
            reconstruct_from_patches_2d(patches, image.shape)
        ),
    }
    n_patches = grid.n_patches
    return [{name: (way, n_patches) for name, way in ways.items()} for ways in (cutting, merging)]


def check(ways):
    """Check that all peers have the same results as this package."""
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
    """Time functions in turn and print their rates."""
    check(ways)
    rates = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, (way, n_patches) in ways.items():
            _, _, seconds = timed(partial(way, lambda _: None))
            rates[name].append(n_patches / seconds)
    ours = np.array(rates["sklearn_iqt"])
    for name, values in rates.items():
        ratio = format_spread(ours / values, ".3g")
        print(format_row([task, name, f"{np.median(values):,.0f}", ratio]), flush=True)


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", required=True, help="folder of the cohort")
    parser.add_argument(
        "--voxels", type=int, default=1000, help="largest size of the volume along each axis"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="of each function")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    cohort = load_cohort(arguments.cohort)
    brain = np.asarray(cohort.load(cohort.split["train"][0])[0].dataobj)
    volume = crop_to_grid(crop_middle(brain, 3 * [arguments.voxels]))
    grid = PatchGrid(volume.shape, SIZE, STRIDE)
    print(f"{grid.n_patches} patches of a volume of {volume.shape}\n")
    header = ["task", "by", "patches per second of processor time", "sklearn_iqt is faster by"]
    print(format_table(header))
    compare("cut", cutters(volume, grid), arguments.repetitions)
    compare("merge", mergers(volume, grid), arguments.repetitions)
    image = np.ascontiguousarray(volume[:, :, volume.shape[2] // 2])
    for task, ways in zip(("cut", "merge"), image_ways(image), strict=True):
        compare(f"{task}, image, stride 1", ways, arguments.repetitions)


if __name__ == "__main__":
    main()
