"""Benchmarks of cutting and merging patches."""

import numpy as np

from sklearn_iqt.patches import PatchGrid, PatchMerger, cut_patches

from .volumes import make_pair


class Patches:
    """All patches of 7 voxels with a stride of 3."""

    def setup(self):
        _, self.volume = make_pair()
        self.grid = PatchGrid(self.volume.shape, 7, 3)
        self.index = np.arange(self.grid.n_patches)
        self.rows = cut_patches(self.volume, self.grid)
        self.time_join()  # compiles

    def time_cut(self):
        cut_patches(self.volume, self.grid)

    def peakmem_cut(self):
        cut_patches(self.volume, self.grid)

    def time_join(self):
        merger = PatchMerger(self.grid)
        merger.add(self.rows, self.index)
        return merger.finalize()

    def peakmem_join(self):
        return self.time_join()

    def time_fraction_of_foreground(self):
        self.grid.fraction(self.volume > 0)
