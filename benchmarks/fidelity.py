"""Measure what follows from the ways in which IQT-SRep here differs from the paper.

    python -m benchmarks.fidelity --cohort ../shared/data/ds002748
    python -m benchmarks.fidelity --cohort ../shared/data/ds002748 --border-width 0

The variants are IQT-SRep with each of its features; with the principal components of the learned
low dictionary instead of those of the features; and with differences that are computed on whole
volumes instead of on patches with repeated edges. ``--border-width 0`` simulates with hard tissue
labels. Prints the means over subjects of NRMSE (eq. 7), of SSIM inside the brain, and of the
coherence above the Nyquist frequency of the low scan, along the thick axis. Models are
fitted to all training subjects but the last four, and scored on these and on the validation
subjects. Test subjects are not used.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
from scipy import linalg

from benchmarks.code import describe_code
from benchmarks.cohorts import load_cohort
from benchmarks.paper.pairs import TRAINING
from benchmarks.paper.shifts import SCALE, simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import CoupledDictionaryIQT, IntensityCurveIQT, InterpolationIQT
from sklearn_iqt.dictionary import ksvd, sparse_encode
from sklearn_iqt.dictionary._features import feature_operator, fit_projection
from sklearn_iqt.metrics import coherence, nrmse, ssim
from sklearn_iqt.patches import PatchMerger, PatchTransformer, chunks, cut_patches, share
from sklearn_iqt.patches._sampling import foreground_index, sample_index
from sklearn_iqt.preprocessing import foreground_mask, intensity_scale, upsample

TEST_SETS = ("ind1", "ind2", "low_contrast", "ulf_measured")
SIZE, STRIDE, KEPT, ALPHA = 7, 3, 0.9, 0.01


class PaperDictionary:
    """IQT-SRep with gradients, and two details as in the paper.

    Parameters
    ----------
    n_atoms, max_patches, random_state : int
        As in :class:`CoupledDictionaryIQT`.
    whole : bool
        Whether differences are computed on whole volumes, so that those at the border of a patch
        see the voxels beyond it. Otherwise the outermost voxels of the patch are repeated.
    reduce_atoms : bool
        Whether the atoms are learned from all features, and the principal components from the
        atoms. Otherwise the components are learned from the features of the patches, and the atoms
        from the components.
    """

    def __init__(self, n_atoms, max_patches, random_state, *, whole, reduce_atoms):
        self.n_atoms = n_atoms
        self.max_patches = max_patches
        self.random_state = random_state
        self.whole = whole
        self.reduce_atoms = reduce_atoms
        # Differences reach one low voxel beyond a patch.
        self.margin = SCALE if whole else (0, 0, 0)
        self.grid = PatchTransformer(SIZE, STRIDE).fit_geometry()
        around = tuple(SIZE + 2 * margin for margin in self.margin)
        self.wide_grid = PatchTransformer(around, STRIDE).fit_geometry()

    def _operators(self):
        around = self.wide_grid.patch_size_
        (gradient,) = feature_operator(around, SCALE, "gradient")
        inside = np.zeros(around, dtype=bool)
        inside[tuple(slice(m, m + SIZE) for m in self.margin)] = True
        gradient = gradient[np.tile(inside.ravel(), gradient.shape[0] // inside.size)]
        # fit_projection divides by the voxels of the wide patch. The norm of the features is a mean
        # over the voxels of the patch itself.
        return [gradient * np.sqrt(np.prod(around) / SIZE**3)]

    def _inputs(self, low):
        unit = intensity_scale(low, None)
        inputs = upsample((low / unit).astype(np.float32), SCALE)
        wide = np.pad(inputs, [(margin, margin) for margin in self.margin], mode="edge")
        return unit, inputs, wide

    def fit(self, lows, highs):
        """Learn the dictionaries from pairs of volumes."""
        rng = np.random.RandomState(self.random_state)
        features, targets = [], []
        for low, high, quota in zip(lows, highs, share(self.max_patches, len(lows)), strict=True):
            unit, inputs, wide = self._inputs(low)
            grid, target = self.grid.grid(inputs.shape), (high / unit).astype(np.float32)
            drawn = sample_index(
                grid, target, mask=None, n_patches=quota, background=0.8, random_state=rng
            )
            features.append(cut_patches(wide, self.wide_grid.grid(wide.shape), drawn))
            targets.append(cut_patches(target - inputs, grid, drawn))
        X, y = np.concatenate(features), np.concatenate(targets)
        self.projection_ = fit_projection(X, self._operators(), None if self.reduce_atoms else KEPT)
        self.low_, _ = ksvd(X @ self.projection_.T, self.n_atoms, random_state=self.random_state)
        if self.reduce_atoms:
            _, sizes, axes = linalg.svd(self.low_, full_matrices=False)
            kept = np.cumsum(sizes**2) / np.sum(sizes**2)
            axes = axes[: int(np.searchsorted(kept, KEPT)) + 1]
            self.projection_, self.low_ = axes @ self.projection_, self.low_ @ axes.T
        codes = sparse_encode(X @ self.projection_.T, self.low_, alpha=ALPHA)
        normal = (codes.T @ codes).toarray()
        normal[np.diag_indices_from(normal)] += 1e-8 * max(np.trace(normal) / len(normal), 1e-12)
        self.high_ = linalg.solve(normal, codes.T @ y, assume_a="pos").astype(np.float32)
        return self

    def predict(self, lows):
        """Enhance volumes."""
        return [self._predict(low) for low in lows]

    def _predict(self, low):
        unit, inputs, wide = self._inputs(low)
        grid, wide_grid = self.grid.grid(inputs.shape), self.wide_grid.grid(wide.shape)
        merger = PatchMerger(grid, "uniform", fill=inputs.copy(), overwrite_fill=True)
        for part in chunks(foreground_index(grid, foreground_mask(inputs), 0.8), 20_000):
            signals = cut_patches(wide, wide_grid, part) @ self.projection_.T
            codes = sparse_encode(np.ascontiguousarray(signals), self.low_, alpha=ALPHA)
            merger.add(codes @ self.high_ + cut_patches(inputs, grid, part), part)
        return merger.finalize() * np.float32(unit)


def list_methods(n_atoms, max_patches, seed):
    """Return the methods by name."""
    common = {"max_patches": max_patches, "random_state": seed}
    # Simulated pairs have one unit.
    unit = {"target_unit": "low"}

    def srep(**params):
        return CoupledDictionaryIQT(n_atoms, **common, **unit, **params)

    def paper(**params):
        return PaperDictionary(n_atoms, **common, **params)

    return {
        "interpolation": InterpolationIQT(),
        "intensity curve": IntensityCurveIQT(random_state=seed, **unit),
        "intensities": srep(),
        "texture": srep(features="texture"),
        "texture, plus the mean of the patch": srep(features="texture", target="mean_removed"),
        "gradients": srep(features="gradient", n_components=KEPT),
        "gradients of whole volumes": paper(whole=True, reduce_atoms=False),
        "gradients, components of the atoms": paper(whole=False, reduce_atoms=True),
        "gradients of whole volumes, components of the atoms": paper(whole=True, reduce_atoms=True),
    }


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True, help="folder of the cohort")
    parser.add_argument("--atoms", type=int, default=256)
    parser.add_argument("--patches", type=int, default=20_000)
    parser.add_argument("--border-width", type=float, default=1.5, help="0 for hard labels")
    parser.add_argument("--seed", type=int, default=200, help="of the simulation and the methods")
    parser.add_argument("--methods", nargs="+", help="all by default")
    arguments = parser.parse_args(argv)
    cohort = load_cohort(arguments.cohort)
    train = cohort.split["train"][:-4]
    held_out = [*cohort.split["train"][-4:], *cohort.split["validation"]]

    def simulate(simulated, subjects):
        pairs = [
            simulate_set(
                simulated,
                *cohort.load(subject),
                cohort=cohort.name,
                subject=subject,
                seed=arguments.seed,
                border_width=arguments.border_width,
            )
            for subject in subjects
        ]
        return [
            [np.asarray(p.low.dataobj) for p in pairs],
            [np.asarray(p.high.dataobj) for p in pairs],
        ]

    learned_from = simulate(TRAINING, train)
    tests = {name: simulate(name, held_out) for name in TEST_SETS}
    rows = []
    methods = list_methods(arguments.atoms, arguments.patches, arguments.seed)
    for name, method in methods.items():
        if arguments.methods and name not in arguments.methods:
            continue
        start = time.perf_counter()
        method.fit(*learned_from)
        row = [name]
        for low, high in tests.values():
            pairs = list(zip(high, method.predict(low), strict=True))
            error = np.mean([nrmse(truth, estimate) for truth, estimate in pairs])
            inside = np.mean([ssim(t, e, mask=t != 0) for t, e in pairs])
            added = np.mean([coherence(truth, estimate) for truth, estimate in pairs])
            row.append(f"{error:.4f} / {inside:.3f} / {added:.3f}")
        rows.append(row)
        print(*row, f"{time.perf_counter() - start:.0f} s", sep=" | ", file=sys.stderr, flush=True)
    code = describe_code()
    command = shlex.join(["python", "-m", "benchmarks.fidelity", *(argv or sys.argv[1:])])
    print(
        f"{command}\n{cohort.name}, {len(train)} subjects to learn from and {len(held_out)} to "
        f"score, seed {arguments.seed}, {code['date']}, source {code['source']}\n"
    )
    print(format_table(["method", *(f"`{name}`" for name in TEST_SETS)], rows))


if __name__ == "__main__":
    main()
