"""A damaged compressed scan is refused, and never read with other voxels."""

import gzip

import nibabel
import numpy as np
import pytest

from benchmarks.attack.damage import DAMAGES
from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import as_volumes, load_volume, save_volume

SHAPE = (64, 64, 72)
FOOTER = 2**20
PADDING = 2**16


@pytest.fixture(scope="module")
def scans():
    """Voxels with air and noise, and their compressed bytes as NIfTI and MGH."""
    rng = np.random.default_rng(0)
    voxels = np.abs(rng.normal(100, 30, SHAPE)).astype(np.float32)
    voxels[: SHAPE[0] // 4] = 0
    files = {
        suffix: gzip.compress(kind(voxels, np.eye(4)).to_bytes(), 1)
        for suffix, kind in ((".nii.gz", nibabel.Nifti1Image), (".mgz", nibabel.MGHImage))
    }
    return voxels, files


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
@pytest.mark.parametrize("name", DAMAGES)
def test_no_damaged_file_is_read_with_other_voxels(name, suffix, scans, tmp_path):
    voxels, files = scans
    rng = np.random.default_rng(list(DAMAGES).index(name))
    path = tmp_path / f"scan{suffix}"
    n_refused = 0
    for _ in range(20):
        path.write_bytes(DAMAGES[name](files[suffix], rng))
        try:
            read = load_volume(path).dataobj
        except VolumeReadError:
            n_refused += 1
        else:
            np.testing.assert_array_equal(read, voxels)
    assert n_refused >= 10


def test_images_of_nibabel_on_damaged_files_are_refused(scans, tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(scans[1][".nii.gz"])
    np.testing.assert_array_equal(as_volumes([nibabel.load(path)])[0], scans[0])
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the checksum
    path.write_bytes(content)
    image = nibabel.load(path)
    with pytest.raises(VolumeReadError, match=r"X\[0\].*damaged or missing"):
        as_volumes([image])[0]
    with pytest.raises(VolumeReadError, match=r"save_volume: the image.*damaged or missing"):
        save_volume(image, tmp_path / "copy.nii")
    assert not (tmp_path / "copy.nii").exists()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.MGHImage])
@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_after_the_voxels_are_refused_unless_they_fill_a_block(kind, compressed, tmp_path):
    content = kind(np.ones((5, 4, 3), np.float32), np.eye(4)).to_bytes()
    allowed = PADDING + (FOOTER if kind is nibabel.MGHImage else 0)
    end = 284 + 240 if kind is nibabel.MGHImage else len(content)
    suffix = {nibabel.Nifti1Image: ".nii", nibabel.MGHImage: ".mgh"}[kind]
    if compressed:
        suffix = {".nii": ".nii.gz", ".mgh": ".mgz"}[suffix]
    path = tmp_path / f"scan{suffix}"
    for tail, is_read in (
        (bytes(512), True),
        (bytes(allowed), True),
        (bytes(allowed + 1), False),
        (bytes(allowed - 1) + b"\1", False),
    ):
        longer = content[:end] + tail
        path.write_bytes(gzip.compress(longer) if compressed else longer)
        if is_read:
            assert load_volume(path).shape == (5, 4, 3)
        else:
            with pytest.raises(VolumeReadError, match="more bytes follow"):
                load_volume(path)


def members(content, size):
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(map(gzip.compress, parts))


GOOD = nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(5, 4, 3), np.eye(4)).to_bytes()
COMPRESSED = {
    "several members": (members(GOOD, 100), True),
    "a last member without content": (members(GOOD, 100) + gzip.compress(b""), True),
    "zeros after the last member": (gzip.compress(GOOD) + bytes(PADDING), True),
    "a name and a comment": (
        b"\x1f\x8b\x08\x18" + bytes(6) + b"scan\0comment\0" + gzip.compress(GOOD)[10:],
        True,
    ),
    "more zeros": (gzip.compress(GOOD) + bytes(PADDING + 1), False),
    "another byte after the zeros": (gzip.compress(GOOD) + bytes(512) + b"\1", False),
    "half a magic number": (gzip.compress(GOOD) + b"\x1f", False),
    "a second file": (gzip.compress(GOOD) * 2, False),
    "a second member that is cut": (members(GOOD, 100)[:-3], False),
    "a member between zeros": (gzip.compress(GOOD[:300]) + bytes(8) + gzip.compress(GOOD), False),
    "a checksum of another member": (gzip.compress(GOOD)[:-8] + gzip.compress(b"")[-8:], False),
    "a wrong length": (gzip.compress(GOOD)[:-4] + bytes(4), False),
    "a header that does not end": (b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 5000, False),
    "reserved flags": (b"\x1f\x8b\x08\xe0" + gzip.compress(GOOD)[4:], False),
    "many members without content": (gzip.compress(GOOD) + gzip.compress(b"") * 20_000, False),
}


@pytest.mark.parametrize("case", COMPRESSED)
def test_gzip_files_are_read_to_their_end(case, tmp_path):
    content, is_read = COMPRESSED[case]
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    if is_read:
        np.testing.assert_array_equal(load_volume(path).dataobj.ravel(), np.arange(60))
        as_volumes([nibabel.load(path)])[0]
    else:
        with pytest.raises(VolumeReadError):
            load_volume(path)


@pytest.mark.parametrize("shape", [(2, 3, 4), (70, 1, 1), (1, 70, 2), (5, 7, 11), (40, 2, 3)])
@pytest.mark.parametrize("n_voxels", [1, 4, 14, 36, 500])
def test_voxels_are_read_in_parts_of_any_size(shape, n_voxels, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_iqt.io._nifti._SLAB_BYTES", 2 * n_voxels)
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    path = save_volume(voxels, tmp_path / "scan.nii.gz", dtype="int16")
    np.testing.assert_array_equal(load_volume(path).dataobj, voxels)
