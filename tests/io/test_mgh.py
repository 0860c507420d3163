"""Files of FreeSurfer are read like NIfTI files, and refused like them if they are damaged."""

import gzip
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest
from nibabel.freesurfer.mghformat import MGHImage

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.cli import main
from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import Cohort, as_volumes, load_volume, read_geometry, save_volume

AFFINE = np.array([[-1.0, 0, 0.1, 20], [0, 0, 3.0, -30], [0, -1.5, 0, 40], [0, 0, 0, 1]])


def volume(dtype="float32", shape=(5, 4, 3)):
    return (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)


def mgh_bytes(voxels, affine=AFFINE, **fields):
    """Return an MGH file, with some fields of the header overwritten."""
    image = MGHImage(voxels, affine)
    for field, value in fields.items():
        image.header[field] = value
    return image.to_bytes()


def patch(content, offset, form, *values):
    """Return the bytes of a file with other values in its header."""
    new = struct.pack(f">{form}", *values)
    return content[:offset] + new + content[offset + len(new) :]


VERSION, DIMS, TYPE, GOOD, DELTA, COSINES = 0, 4, 20, 28, 30, 42


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
@pytest.mark.parametrize("suffix", [".mgh", ".mgz", ".MGZ"])
def test_nibabel_reads_the_same_voxels_and_affine(dtype, suffix, tmp_path):
    path = tmp_path / f"brain{suffix}"
    content = mgh_bytes(volume(dtype))
    path.write_bytes(content if suffix == ".mgh" else gzip.compress(content))
    theirs = MGHImage.from_bytes(content)
    image = load_volume(path)
    assert type(image) is nibabel.Nifti1Image
    np.testing.assert_array_equal(image.dataobj, volume("float32"))
    np.testing.assert_allclose(image.affine, theirs.affine, atol=1e-5)
    np.testing.assert_allclose(image.header.get_zooms(), theirs.header.get_zooms(), rtol=1e-5)
    shape, affine = read_geometry(path)
    assert shape == (5, 4, 3)
    np.testing.assert_array_equal(affine, image.affine)
    # Written as NIfTI, the image lies in the same place.
    again = load_volume(save_volume(image, tmp_path / "brain.nii.gz"))
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-5)
    np.testing.assert_array_equal(again.dataobj, image.dataobj)


def test_a_file_without_a_place_has_the_orientation_of_freesurfer(tmp_path):
    path = tmp_path / "brain.mgh"
    path.write_bytes(patch(mgh_bytes(volume()), GOOD, "h", 0))
    np.testing.assert_allclose(load_volume(path).affine, nibabel.load(path).affine)


BOMB = gzip.compress(patch(mgh_bytes(volume())[:284], DIMS, "3i", 500, 500, 500) + bytes(2**20))
VALID = mgh_bytes(volume())
DAMAGED = {
    "empty": ("a.mgh", b"", "empty"),
    "truncated header": ("a.mgh", VALID[:100], "truncated"),
    "truncated voxels": ("a.mgh", VALID[:400], "truncated|has 400 bytes"),
    "truncated gzip": ("a.mgz", gzip.compress(VALID)[:-30], "truncated|damaged"),
    "wrong checksum": ("a.mgz", gzip.compress(VALID)[:-8] + bytes(8), "damaged"),
    "another version": ("a.mgh", patch(VALID, VERSION, "i", 7), "MGH header"),
    "NIfTI inside": ("a.mgh", nibabel.Nifti1Image(volume(), AFFINE).to_bytes(), "MGH header"),
    "MGH inside": ("a.nii", VALID, "NIfTI header"),
    "not compressed": ("a.mgz", VALID, r"rename it to end in '\.mgh'"),
    "compressed": ("a.mgh", gzip.compress(VALID), r"rename it to end in '\.mgz'"),
    "negative size": ("a.mgh", patch(VALID, DIMS, "3i", -5, 4, 3), "without voxels"),
    "zero size": ("a.mgh", patch(VALID, DIMS, "3i", 0, 4, 3), "without voxels"),
    "several frames": ("a.mgh", patch(VALID, DIMS, "4i", 5, 4, 1, 3), "one 3-D volume"),
    "absurd size": ("a.mgh", patch(VALID, DIMS, "3i", 30000, 30000, 1000), "max_voxels"),
    "more voxels than bytes": ("a.mgh", patch(VALID, DIMS, "3i", 50, 40, 30), "header is wrong"),
    "a bomb": ("a.mgz", BOMB, "header is wrong|bomb|cannot inflate"),
    "tensors": ("a.mgh", patch(VALID, TYPE, "i", 6), "voxel type"),
    "no voxel type": ("a.mgh", patch(VALID, TYPE, "i", -1), "voxel type"),
    "NaN size of voxels": ("a.mgh", patch(VALID, DELTA, "f", np.nan), "affine holds NaN"),
    "no size of voxels": ("a.mgh", patch(VALID, DELTA, "f", 0), "affine is singular"),
    "parallel axes": ("a.mgh", patch(VALID, COSINES, "6f", 1, 0, 0, 1, 0, 0), "affine is singular"),
    "NaN voxels": ("a.mgh", mgh_bytes(np.full((2, 2, 2), np.nan, np.float32)), "NaN"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_refused(damage, tmp_path):
    name, content, match = DAMAGED[damage]
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(VolumeReadError, match=match):
        load_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_commands_and_collections_read_mgz(tmp_path, capsys):
    fine = np.random.default_rng(0).random((8, 8, 16), dtype=np.float32) + 1
    coarse = fine.reshape(8, 8, 4, 4).mean(axis=-1)
    scan = tmp_path / "sub-1.mgz"
    scan.write_bytes(gzip.compress(mgh_bytes(coarse, np.diag([1.0, 1, 4, 1]))))
    grid = Cohort([scan]).low.grid(0).scaled((1, 1, 4), "center")
    high = save_volume(fine, tmp_path / "high.nii.gz", affine=grid.affine)
    model = tmp_path / "cubic.iqt"
    arguments = ["--low", scan, "--high", high, "--method", "interpolation", "--output", model]
    assert main(["fit", *map(str, arguments), "--quiet"]) == 0
    out = tmp_path / "out"
    arguments = [scan, "--model", model, "--output-dir", out, "--quiet"]
    assert main(["enhance", *map(str, arguments)]) == 0
    enhanced = load_volume(out / "sub-1_enhanced.nii.gz")
    expected = InterpolationIQT().fit([scan]).predict([scan])[0]
    np.testing.assert_allclose(enhanced.dataobj, expected.dataobj, atol=1e-6)
    np.testing.assert_allclose(enhanced.affine, read_geometry(high)[1], atol=1e-5)
    np.testing.assert_array_equal(as_volumes([scan])[0], coarse)


def test_only_nifti_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.nii' or '\.nii\.gz'"):
        save_volume(volume(), tmp_path / "brain.mgz")
