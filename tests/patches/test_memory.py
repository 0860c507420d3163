"""Rows that do not fit into memory are refused with their size and what to do."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sklearn_iqt import PatchTransformer, PatchwiseRegressor


def test_rows_larger_than_the_memory_are_refused_before_they_are_allocated():
    # 201 ** 3 patches of 50 ** 3 voxels are 3.7 TiB.
    volume = np.broadcast_to(np.float32(1), (250, 250, 250))
    patcher = PatchTransformer(50, stride=1).fit([volume])
    message = (
        r"PatchTransformer: 8120601 rows of 125000 voxels take 3.78e\+03 GiB, but this machine has "
        r".*larger stride"
    )
    with pytest.raises(MemoryError, match=message):
        patcher.transform([volume])


def test_samples_larger_than_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("sklearn_iqt.patches._memory._physical_memory", lambda: 1000.0)
    volume = np.random.default_rng(0).random((8, 8, 8))
    patcher = PatchTransformer(4).fit([volume], [volume])
    with pytest.raises(MemoryError, match=r"27 rows of 128 voxels.*max_patches"):
        patcher.sample([volume], [volume], [np.ones((8, 8, 8))])
    assert len(patcher.sample([volume], [volume], max_patches=1)[0]) == 1


def test_a_regressor_without_enough_memory_is_named():
    class Greedy(Ridge):
        def fit(self, X, y):
            raise MemoryError("Unable to allocate 233. GiB")

    volumes = np.random.default_rng(0).random((1, 8, 8, 8))
    model = PatchwiseRegressor(Greedy(), PatchTransformer(3), scale=1)
    with pytest.raises(MemoryError, match=r"Greedy.*27 inputs and 27 outputs.*smaller.*233\. GiB"):
        model.fit(volumes, volumes)
