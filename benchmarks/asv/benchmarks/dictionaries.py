"""Benchmarks of the sparse coder, K-SVD and IQT-SRep."""

import numpy as np

from sklearn_iqt import CoupledDictionaryIQT
from sklearn_iqt.dictionary import ksvd, sparse_encode
from sklearn_iqt.patches import PatchGrid, cut_patches

from .volumes import make_pair


class Coder:
    """Coding of signals with 100 features. The atoms are other signals."""

    params = [256, 1024]
    param_names = ["n_atoms"]

    def setup(self, n_atoms):
        _, high = make_pair()
        grid = PatchGrid(high.shape, 7, 3)
        rng = np.random.default_rng(0)
        rows = cut_patches(high, grid, np.sort(rng.permutation(grid.n_patches)[:12_000]))
        rows = rows[rows.min(axis=1) > 0]
        _, _, axes = np.linalg.svd(rows[:2000], full_matrices=False)
        signals = rows @ axes[:100].T / np.sqrt(rows.shape[1])
        self.atoms = signals[:n_atoms] / np.linalg.norm(signals[:n_atoms], axis=1, keepdims=True)
        self.signals = np.ascontiguousarray(signals[n_atoms : n_atoms + 2000])
        sparse_encode(self.signals[:16], self.atoms, alpha=0.01)  # compiles
        sparse_encode(self.signals[:16], self.atoms, solver="batch_omp", n_nonzero_coefs=3)

    def time_lasso(self, n_atoms):
        sparse_encode(self.signals, self.atoms, alpha=0.01)

    def peakmem_lasso(self, n_atoms):
        sparse_encode(self.signals, self.atoms, alpha=0.01)

    def time_omp(self, n_atoms):
        sparse_encode(self.signals, self.atoms, solver="batch_omp", n_nonzero_coefs=3)

    def time_ksvd(self, n_atoms):
        ksvd(self.signals, n_atoms, max_iter=3, tol=0, random_state=0)

    def peakmem_ksvd(self, n_atoms):
        ksvd(self.signals, n_atoms, max_iter=3, tol=0, random_state=0)


class Srep:
    """IQT-SRep with 256 atoms on one volume."""

    timeout = 300

    def setup_cache(self):
        low, high = make_pair()
        model = CoupledDictionaryIQT(256, max_patches=10_000, max_iter=4, random_state=0)
        return model.fit([low], [high])

    def setup(self, model):
        self.low, self.high = make_pair()
        model.predict([self.low[:48, :48]])  # compiles

    def time_predict(self, model):
        model.predict([self.low])

    def peakmem_predict(self, model):
        model.predict([self.low])

    def time_fit(self, model):
        model.fit([self.low], [self.high])

    def peakmem_fit(self, model):
        model.fit([self.low], [self.high])
