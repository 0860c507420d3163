"""Reading a scan takes little more memory than its voxels, and hostile files take little."""

import gzip
import tracemalloc

import nibabel
import numpy as np
import pytest

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import load_volume


def peak_of(path):
    tracemalloc.start()
    try:
        image = load_volume(path)
        return tracemalloc.get_traced_memory()[1], np.asarray(image.dataobj)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1024, 1024, 1), (2**20, 1, 1), (64, 128, 128)])
@pytest.mark.parametrize("dtype", ["u1", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slices_of_any_size_take_the_memory_of_the_volume(
    shape, dtype, suffix, tmp_path, monkeypatch
):
    monkeypatch.setattr("sklearn_iqt.io._nifti._SLAB_BYTES", 2**16)
    voxels = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
    content = nibabel.Nifti2Image(voxels, np.eye(4)).to_bytes()
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(gzip.compress(content, 1) if suffix == ".nii.gz" else content)
    peak, read = peak_of(path)
    np.testing.assert_array_equal(read, voxels)
    assert peak < 1.5 * 4 * voxels.size


@pytest.mark.parametrize("n_zeros", [2**22, 2**26])
def test_zeros_after_the_voxels_take_no_memory(n_zeros, tmp_path):
    content = nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)).to_bytes()
    path = tmp_path / "scan.nii"
    with open(path, "wb") as stream:
        stream.write(content)
        stream.truncate(len(content) + n_zeros)
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError, match="more bytes follow"):
            load_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
