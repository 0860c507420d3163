"""Reading any bytes gives a valid volume or raises VolumeReadError."""

from __future__ import annotations

import gc
import os
import tracemalloc
import warnings

import numpy as np
import pytest
from nifti_bytes import gzipped, nifti_bytes, small_volume, zeros_gzipped

from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io import load_volume

NAN, INF = np.nan, np.inf
FLOATS = small_volume("<f4")


def with_voxel(value, dtype="<f4", count=1):
    voxels = small_volume(dtype)
    voxels.reshape(-1)[:count] = value
    return voxels


def singular():
    affine = np.eye(4)
    affine[:3, 2] = affine[:3, 1]
    return affine


def affine_with(value):
    affine = np.eye(4)
    affine[1, 1] = value
    return affine


def qform_only(**fields):
    return nifti_bytes(sform_code=0, qform_code=1, **fields)


def with_extension(*sizes, n_bytes=0, order="little", version=1, flag=1):
    """Return a file with extensions of these sizes, in `n_bytes` before the voxels."""
    header_end = {1: 348, 2: 540}[version]
    voxels = small_volume("<i2" if order == "little" else ">i2")
    content = nifti_bytes(voxels, version=version, vox_offset=header_end + 4 + n_bytes)
    extensions = bytearray(n_bytes)
    start = 0
    for size in sizes:
        extensions[start : start + 4] = size.to_bytes(4, order, signed=True)
        start += max(size, 8)
    flags = bytes([flag, 0, 0, 0])
    return content[:header_end] + flags + bytes(extensions)[:n_bytes] + content[header_end + 4 :]


GOOD = nifti_bytes()
GOOD_GZ = gzipped(GOOD)
NOISE = np.random.default_rng(0).bytes(4096)
SIGNALLING = bytearray(GOOD)
SIGNALLING[84:88] = b"\x00\x00\xa0\x7f"  # numpy warns as soon as this is copied to float64
FLIPPED = bytearray(GOOD_GZ)
FLIPPED[-8] ^= 0xFF

# name of the case -> (file name, bytes, part of the message)
HOSTILE = {
    # false sizes
    "dims 32767 cubed": ("a.nii", nifti_bytes(dim={1: 32767, 2: 32767, 3: 32767}), "max_voxels"),
    "dims 32767 cubed, gz": (
        "a.nii.gz",
        gzipped(nifti_bytes(dim={1: 32767, 2: 32767, 3: 32767})),
        "max_voxels",
    ),
    "more voxels than bytes": ("a.nii", nifti_bytes(dim={1: 200, 2: 200, 3: 200}), "truncated"),
    "more voxels than gz can hold": (
        "a.nii.gz",
        gzipped(nifti_bytes(dim={1: 500, 2: 500, 3: 500})),
        "cannot inflate",
    ),
    "more voxels than gz holds": ("a.nii.gz", gzipped(nifti_bytes(dim={3: 30})), "too early"),
    "nifti-2 dims 2^60": ("a.nii", nifti_bytes(version=2, dim={1: 2**60}), "max_voxels"),
    "nifti-2 dims overflow int64": (
        "a.nii",
        nifti_bytes(version=2, dim={1: 2**62, 2: 2**62, 3: 2**62}),
        "max_voxels",
    ),
    "wider dtype than bytes": ("a.nii", nifti_bytes(datatype=64, bitpix=64), "truncated"),
    # dimensions
    "ndim 0": ("a.nii", nifti_bytes(dim={0: 0}), "0 dimensions"),
    "ndim 8": ("a.nii", nifti_bytes(dim={0: 8}), "8 dimensions"),
    "ndim -1": ("a.nii", nifti_bytes(dim={0: -1}), "-1 dimensions"),
    "ndim 32767": ("a.nii", nifti_bytes(dim={0: 32767}), "dimensions"),
    "ndim 1": ("a.nii", nifti_bytes(dim={0: 1}), "3-D"),
    "ndim 2": ("a.nii", nifti_bytes(dim={0: 2}), "3-D"),
    "negative dim": ("a.nii", nifti_bytes(dim={2: -4}), "at least 1"),
    "freesurfer's -1 dim": ("a.nii", nifti_bytes(dim={1: -1, 2: 1, 3: 1}), "at least 1"),
    "zero dim": ("a.nii", nifti_bytes(dim={1: 0}), "at least 1"),
    "zero fourth dim": ("a.nii", nifti_bytes(dim={0: 4, 4: 0}), "at least 1"),
    "4-D": ("a.nii", nifti_bytes(small_volume(shape=(3, 3, 3, 2))), "single volumes"),
    "5-D vector": ("a.nii", nifti_bytes(small_volume(shape=(3, 3, 3, 1, 3))), "single volumes"),
    "7-D": ("a.nii", nifti_bytes(small_volume(shape=(2, 2, 2, 1, 1, 1, 2))), "single volumes"),
    # offsets
    "vox_offset NaN": ("a.nii", nifti_bytes(vox_offset=NAN), "vox_offset"),
    "vox_offset inf": ("a.nii", nifti_bytes(vox_offset=INF), "vox_offset"),
    "vox_offset negative": ("a.nii", nifti_bytes(vox_offset=-352), "vox_offset"),
    "vox_offset in the header": ("a.nii", nifti_bytes(vox_offset=100), "vox_offset"),
    "vox_offset not whole": ("a.nii", nifti_bytes(vox_offset=352.5), "vox_offset"),
    "vox_offset 1e30": ("a.nii", nifti_bytes(vox_offset=1e30), "vox_offset"),
    "vox_offset after the end": ("a.nii", nifti_bytes(vox_offset=4096), "truncated"),
    "vox_offset after the end, gz": ("a.nii.gz", gzipped(nifti_bytes(vox_offset=4096)), "early"),
    "nifti-2 vox_offset 2^62": ("a.nii", nifti_bytes(version=2, vox_offset=2**62), "vox_offset"),
    "nifti-2 vox_offset -1": ("a.nii", nifti_bytes(version=2, vox_offset=-1), "vox_offset"),
    # geometry
    "sform NaN": ("a.nii", nifti_bytes(affine=affine_with(NAN)), "affine holds NaN"),
    "sform inf": ("a.nii", nifti_bytes(affine=affine_with(INF)), "affine holds NaN"),
    "sform zero": ("a.nii", nifti_bytes(affine=np.zeros((4, 4))), "singular"),
    "sform singular": ("a.nii", nifti_bytes(affine=singular()), "singular"),
    "sform nearly singular": ("a.nii", nifti_bytes(affine=affine_with(1e-20)), "singular"),
    "sform overflows": ("a.nii", nifti_bytes(affine=np.eye(4) * 3e38), "affine"),
    "sform underflows": ("a.nii", nifti_bytes(affine=np.eye(4) * 1e-40), "affine"),
    "nifti-2 sform NaN": ("a.nii", nifti_bytes(version=2, affine=affine_with(NAN)), "affine"),
    "pixdim NaN": ("a.nii", nifti_bytes(pixdim={2: NAN}), "pixdim"),
    "pixdim inf": ("a.nii", nifti_bytes(pixdim={3: INF}), "pixdim"),
    "pixdim signalling NaN": ("a.nii", bytes(SIGNALLING), "pixdim"),
    "qfac NaN": ("a.nii", qform_only(pixdim={0: NAN}), "pixdim"),
    "quaternion NaN": ("a.nii", qform_only(quatern_b=NAN), "qform"),
    "quaternion too long": ("a.nii", qform_only(quatern_b=1, quatern_c=1), "qform"),
    "qform offset inf": ("a.nii", qform_only(qoffset_x=INF), "qform"),
    "qform voxel 1e-30": ("a.nii", qform_only(pixdim={1: 1e-30}), "qform"),
    # voxel types
    "complex64": ("a.nii", nifti_bytes(small_volume("<c8")), "complex64"),
    "complex128": ("a.nii", nifti_bytes(small_volume("<c16")), "complex128"),
    "RGB": ("a.nii", nifti_bytes(datatype=128, bitpix=24), "RGB"),
    "RGBA": ("a.nii", nifti_bytes(datatype=2304, bitpix=32), "RGBA"),
    "binary": ("a.nii", nifti_bytes(datatype=1, bitpix=1), "binary"),
    "float128": ("a.nii", nifti_bytes(datatype=1536, bitpix=128), "float128"),
    "datatype unknown": ("a.nii", nifti_bytes(datatype=0), "none"),
    "datatype 3": ("a.nii", nifti_bytes(datatype=3), "code 3"),
    "datatype -1": ("a.nii", nifti_bytes(datatype=-1), "code -1"),
    # voxels
    "one NaN voxel": ("a.nii", nifti_bytes(with_voxel(NAN)), "1 of 60 voxels"),
    "seven NaN voxels": ("a.nii", nifti_bytes(with_voxel(NAN, count=7)), "7 of 60 voxels"),
    "inf voxel": ("a.nii.gz", gzipped(nifti_bytes(with_voxel(-INF))), "1 of 60 voxels"),
    "beyond float32": ("a.nii", nifti_bytes(with_voxel(1e300, "<f8")), "float32 range"),
    "slope overflows": ("a.nii", nifti_bytes(FLOATS, scl_slope=3e38), "float32 range"),
    "scl_inter NaN": ("a.nii", nifti_bytes(scl_inter=NAN), "scl_inter"),
    "scl_inter inf": ("a.nii", nifti_bytes(scl_inter=INF), "scl_inter"),
    # containers
    "empty": ("a.nii", b"", "empty"),
    "empty gz": ("a.nii.gz", b"", "empty"),
    "gz without content": ("a.nii.gz", gzipped(b""), "too early"),
    "one byte": ("a.nii", b"\x5c", "too early"),
    "header cut": ("a.nii", GOOD[:200], "too early"),
    "nifti-2 header cut": ("a.nii", nifti_bytes(version=2)[:400], "too early"),
    "header only": ("a.nii", GOOD[:352], "truncated"),
    "last byte missing": ("a.nii", GOOD[:-1], "truncated"),
    "gz cut in the header": ("a.nii.gz", GOOD_GZ[:30], ""),
    "gz cut in the voxels": ("a.nii.gz", GOOD_GZ[:-20], "too early"),
    "gz checksum cut": ("a.nii.gz", GOOD_GZ[:-4], "too early"),
    "gz checksum wrong": ("a.nii.gz", bytes(FLIPPED), "damaged"),
    "gz magic only": ("a.nii.gz", b"\x1f\x8b", "too early"),
    "gz reserved method": ("a.nii.gz", b"\x1f\x8b\x07" + GOOD_GZ[3:], "damaged"),
    "gz of gz": ("a.nii.gz", gzipped(GOOD_GZ + NOISE), "NIfTI header"),
    "not gz": ("a.nii.gz", GOOD, "not gzip-compressed"),
    "gz named nii": ("a.nii", GOOD_GZ, "gzip-compressed"),
    "random bytes": ("a.nii", NOISE, "NIfTI header"),
    "random gz": ("a.nii.gz", b"\x1f\x8b" + NOISE, ""),
    "random bytes, gz": ("a.nii.gz", gzipped(NOISE), "NIfTI header"),
    "text": ("a.nii", b"subject,age\n" * 100, "NIfTI header"),
    "header pair": ("a.nii", nifti_bytes(magic=b"ni1"), "pair"),
    "analyze": ("a.nii", nifti_bytes(magic=b""), "magic"),
    "magic n+3": ("a.nii", nifti_bytes(magic=b"n+3"), "magic"),
    "sizeof_hdr 0": ("a.nii", nifti_bytes(sizeof_hdr=0), "NIfTI header"),
    "nifti-2 size, nifti-1 body": ("a.nii", nifti_bytes(sizeof_hdr=540) + bytes(400), "magic"),
    "foreign extension": ("a.nrrd", GOOD_GZ, "'.nii'"),
    "no extension": ("a", GOOD, "'.nii'"),
    "img": ("a.img", GOOD, "'.nii'"),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_raises_an_error_with_a_reason(case, tmp_path):
    file_name, content, reason = HOSTILE[case]
    path = tmp_path / file_name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError) as caught:
            load_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(path) in message
    assert reason in message
    # At least two sentences: the reason, and what to do.
    assert message.rstrip(".").count(". ") >= 1
    assert peak < 200e6


def test_the_table_has_at_least_60_cases():
    assert len(HOSTILE) >= 60


def bomb(n_bytes, dtype_code, bitpix, dims):
    leading = nifti_bytes(
        small_volume("<u1", (1, 1, 1)),
        datatype=dtype_code,
        bitpix=bitpix,
        dim={1: dims[0], 2: dims[1], 3: dims[2]},
    )[:352]
    return zeros_gzipped(leading, n_bytes)


@pytest.mark.parametrize(
    ("n_bytes", "dtype_code", "bitpix", "dims"),
    [
        (2**28, 16, 32, (512, 512, 256)),
        (2**28, 2, 8, (1024, 512, 512)),
        (2**26, 16, 32, (1024, 1024, 1024)),
    ],
    ids=["honest float32", "honest uint8", "declares more than it holds"],
)
def test_a_decompression_bomb_is_refused_after_its_header(
    n_bytes, dtype_code, bitpix, dims, tmp_path
):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(bomb(n_bytes, dtype_code, bitpix, dims))
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError):
            load_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_few_bytes_after_the_declared_voxels_are_inflated(tmp_path):
    path = tmp_path / "tail.nii.gz"
    path.write_bytes(zeros_gzipped(GOOD, 2**26))
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError, match="more bytes follow"):
            load_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_many_empty_gzip_members_are_refused(tmp_path):
    path = tmp_path / "members.nii.gz"
    path.write_bytes(gzipped(b"") * 20_000)
    with pytest.raises(VolumeReadError, match="members are empty"):
        load_volume(path)


def test_missing_files_directories_and_impossible_paths_are_refused(tmp_path):
    with pytest.raises(VolumeReadError, match="no such file"):
        load_volume(tmp_path / "nothing.nii")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(VolumeReadError, match="directory"):
        load_volume(tmp_path / "folder.nii")
    with pytest.raises(VolumeReadError, match="no such file"):
        load_volume(tmp_path / "nothing.nii" / "deeper.nii")
    with pytest.raises(VolumeReadError):
        load_volume(str(tmp_path / "nul\0byte.nii"))
    with pytest.raises(VolumeReadError):
        load_volume(tmp_path / ("long" * 100 + ".nii"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(VolumeReadError, match="regular file"):
        load_volume(tmp_path / "pipe.nii")


def test_the_user_can_set_max_voxels(tmp_path):
    path = tmp_path / "small.nii"
    path.write_bytes(GOOD)
    assert load_volume(path, max_voxels=60).shape == (5, 4, 3)
    with pytest.raises(VolumeReadError, match="max_voxels=59"):
        load_volume(path, max_voxels=59)
    for wrong in (0, -1, 1.5, "many"):
        with pytest.raises(ValueError, match="max_voxels"):
            load_volume(path, max_voxels=wrong)


REPAIRED = {
    "vox_offset 0": (nifti_bytes(vox_offset=0), "vox_offset 0"),
    "nifti-2 vox_offset 0": (nifti_bytes(version=2, vox_offset=0), "vox_offset 0"),
    "pixdim 0": (nifti_bytes(pixdim={1: 0}), "pixdim 0"),
    "pixdim negative": (nifti_bytes(pixdim={3: -4}), "negative pixdim"),
    "slope 0": (nifti_bytes(scl_slope=0), "scl_slope 0"),
    "slope NaN": (nifti_bytes(scl_slope=NAN, scl_inter=NAN), "scl_slope nan"),
    "slope inf": (nifti_bytes(scl_slope=INF), "scl_slope inf"),
    "sform code unknown": (nifti_bytes(sform_code=77), "sform_code 77"),
    "qform code negative": (nifti_bytes(qform_code=-3), "qform_code -3"),
    "units unknown": (nifti_bytes(xyzt_units=7), "xyzt_units"),
    "qform bad, sform good": (nifti_bytes(qform_code=1, quatern_b=NAN), "qform dropped"),
    "bitpix of another type": (nifti_bytes(bitpix=8), "bitpix 8 read as 16"),
    "bitpix 0": (nifti_bytes(bitpix=0), "bitpix 0 read as 16"),
    "flag of a missing extension": (with_extension(), "flag of an extension"),
    "extension into the voxels": (with_extension(48, n_bytes=32), "extension of 48 bytes"),
    "second extension too long": (with_extension(16, 32, n_bytes=32), "extension of 32 bytes"),
    "extension of 2 GB": (with_extension(2**31 - 1, n_bytes=32), "extension of 2147483647"),
    "extension of -16 bytes": (with_extension(-16, n_bytes=32), "extension of -16 bytes"),
    "extension of 4 bytes": (with_extension(4, n_bytes=32), "extension of 4 bytes"),
    "nifti-2 extension": (with_extension(48, n_bytes=32, version=2), "extension of 48 bytes"),
    "two faults": (nifti_bytes(vox_offset=0, scl_slope=NAN), "vox_offset 0"),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_harmless_faults_are_repaired_with_one_warning(case, tmp_path):
    content, reason = REPAIRED[case]
    path = tmp_path / "repaired.nii"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = load_volume(path)
    messages = [str(entry.message) for entry in caught]
    assert len(messages) == 1
    assert str(path) in messages[0]
    assert reason in messages[0]
    np.testing.assert_array_equal(image.get_fdata(), small_volume())
    np.testing.assert_allclose(image.affine, np.diag([1, 1.5, 4, 1]))
    assert min(image.header.get_zooms()) > 0
    # nibabel accepts the repaired header.
    again = type(image).from_bytes(image.to_bytes())
    np.testing.assert_array_equal(again.affine, image.affine)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("sizes", [(32,), (16, 16), (16,), (16, 0), ()])
def test_extensions_before_the_voxels_are_skipped(sizes, order, version, tmp_path):
    path = tmp_path / "extended.nii"
    path.write_bytes(with_extension(*sizes, n_bytes=32, order=order, version=version))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(load_volume(path).dataobj, small_volume())


def mutate(content, rng):
    """Damage a file as disks, networks and attackers do."""
    content = bytearray(content)
    kind = rng.integers(7)
    if kind == 0:  # bits anywhere
        for position in rng.integers(len(content), size=rng.integers(1, 9)):
            content[position] ^= 1 << rng.integers(8)
    elif kind == 1:  # bytes of the header
        for position in rng.integers(min(352, len(content)), size=rng.integers(1, 17)):
            content[position] = rng.integers(256)
    elif kind == 2:  # extreme 16-bit fields
        position = 2 * rng.integers(min(176, len(content) // 2))
        content[position : position + 2] = (
            rng.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF]).astype("<u2").tobytes()
        )
    elif kind == 3:  # extreme floats
        position = 4 * rng.integers(min(88, len(content) // 4))
        content[position : position + 4] = rng.choice(
            np.array([NAN, INF, -INF, 0, -1, 1e38, -1e38, 1e-40], "<f4")
        ).tobytes()
    elif kind == 4:  # cut
        del content[rng.integers(len(content)) :]
    elif kind == 5:  # a block moved
        start, length = rng.integers(len(content)), rng.integers(1, 64)
        block = content[start : start + length]
        del content[start : start + length]
        place = rng.integers(len(content) + 1)
        content[place:place] = block
    else:  # junk put in
        place = rng.integers(len(content) + 1)
        content[place:place] = rng.bytes(rng.integers(1, 64))
    return bytes(content)


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_file_gives_a_valid_volume_or_volume_read_error(seed, tmp_path):
    rng = np.random.default_rng(seed)
    originals = [
        nifti_bytes(),
        nifti_bytes(small_volume(">f4")),
        nifti_bytes(small_volume("<f8"), version=2),
        nifti_bytes(small_volume("u1"), sform_code=0, qform_code=1, quatern_c=0.6),
    ]
    n_valid = 0
    for number in range(400):
        content = originals[number % len(originals)]
        if number % 8 < 4:  # damage without compression, before it or after it
            path, content = tmp_path / "m.nii", mutate(content, rng)
        elif rng.random() < 0.5:
            path, content = tmp_path / "m.nii.gz", gzipped(mutate(content, rng))
        else:
            path, content = tmp_path / "m.nii.gz", mutate(gzipped(content), rng)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                warnings.simplefilter("error", RuntimeWarning)
                image = load_volume(path)
        except VolumeReadError:
            continue
        n_valid += 1
        voxels = np.asarray(image.dataobj)
        assert voxels.ndim == 3
        assert voxels.dtype == np.float32
        assert np.isfinite(voxels).all()
        assert np.isfinite(image.affine).all()
        assert np.isfinite(np.linalg.inv(image.affine)).all()
        assert (np.array(image.header.get_zooms()) > 0).all()
        type(image).from_bytes(image.to_bytes())
    # Some files were accepted and some were refused.
    assert 40 < n_valid < 360
