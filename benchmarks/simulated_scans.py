"""Share of the time of a training that goes into drawing scans again.

    python -m benchmarks.simulated_scans --cohort ../shared/data/ds002748

A net is trained on a few people of a cohort, with scans that are drawn again in each epoch. The
script prints the CPU time of one draw and the share of all draws in the CPU time of the training,
without reading files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from unittest import mock

import sklearn_iqt
from sklearn_iqt.deep._pairs import DrawnPairs
from sklearn_iqt.simulation import SimulatedScans, SliceGeometry, get_simulator

SEED = 0


def main() -> None:
    """Train a net for each simulator, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", type=Path, required=True, help="folder with T1w and tissues")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--patches", type=int, default=160, help="patches of each person and epoch")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    highs = sorted(options.cohort.glob("*_T1w.nii.gz"))[: options.people]
    labels = [path.with_name(path.name.replace("T1w", "tissues")) for path in highs]
    # The second axis of ds002748 is not sharp.
    wide = get_simulator("wide", geometry=SliceGeometry(axes=(0, 2)))
    for name, simulator, scale in (("narrow", "narrow", (1, 1, 4)), ("wide", wide, 1)):
        scans = SimulatedScans(highs, labels, simulator, random_state=SEED)
        net = sklearn_iqt.AnisoUNetRegressor(
            n_filters=8,
            n_levels=4,
            scale=scale,
            batch_size=16,
            epoch_size=options.patches * options.people,
            max_epochs=options.epochs,
            random_state=SEED,
        )
        draw, drawing = DrawnPairs._draw, []

        def timed(self, number, epoch, draw=draw, drawing=drawing):
            start = time.process_time()
            pair = draw(self, number, epoch)
            drawing.append(time.process_time() - start)
            return pair

        for n in range(len(scans)):
            scans.read(n)  # files are read once in a training, however long it is
        start = time.process_time()
        with mock.patch.object(DrawnPairs, "_draw", timed):
            net.fit(scans, scans.targets)
        total = time.process_time() - start
        print(
            f"{name}: {sum(drawing) / len(drawing):.2f} s for one draw, {len(drawing)} draws, "
            f"{sum(drawing):.1f} of {total:.1f} s of CPU time: {sum(drawing) / total:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
