"""Read single volumes from untrusted NIfTI and MGH files.

nibabel parses the fields of a header, and zlib decompresses. ``nibabel.load`` and its array proxy
are not used for the rest, because they repair headers without a warning, drop a transform with an
unknown code, and never compare the checksum of a compressed file. They also raise many different
errors for truncated files, and hold a scaled volume in memory as float64 before it becomes float32.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from numbers import Integral
from typing import Protocol

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from sklearn_iqt._file_names import MGH, NIFTI, SUFFIXES
from sklearn_iqt.exceptions import VolumeReadError
from sklearn_iqt.io._carry import warn_repairs
from sklearn_iqt.io._gate import (
    MAX_VOXELS,
    Nan,
    check_nan,
    check_size,
    fill_nan,
    refuse_intensities,
)
from sklearn_iqt.io._header import VolumeHeader, extension_repairs, header_size, parse_header
from sklearn_iqt.io._mgh import MGH_HEADER_SIZE, parse_mgh_header
from sklearn_iqt.io._open import GZIP_MAGIC, PADDING, InflatedFile, open_regular

# Voxels are converted from file order to C order in slabs of at most this many bytes.
_SLAB_BYTES = 1 << 24


class ByteStream(Protocol):
    """Bytes of a file, inflated if it is compressed."""

    def read(self, n_bytes: int, /) -> bytes: ...


def load_volume(
    path: str | os.PathLike[str], *, max_voxels: int = MAX_VOXELS, nan: str = "refuse"
) -> nibabel.Nifti1Image:
    """Read one 3-D volume from an untrusted NIfTI or MGH file.

    Parameters
    ----------
    path : str or path-like
        File that ends in ``.nii`` or ``.nii.gz``: NIfTI-1 or NIfTI-2, either byte order, integer
        or float voxels with or without intensity scaling. Or a file of FreeSurfer that ends in
        ``.mgh`` or ``.mgz``.
    max_voxels : int, default=2**29
        Largest number of voxels to accept. A volume takes 4 bytes per voxel in memory.
    nan : {"refuse", "background"}, default="refuse"
        Whether a file with NaN is refused, or NaN is replaced by 0, as for scans with NaN outside
        the field of view. Infinite voxels are always refused.

    Returns
    -------
    nibabel.Nifti1Image
        Image in memory: finite float32 voxels of shape (i, j, k) in C order, a finite
        invertible affine and the cleaned header. The largest absolute intensity is 0 or between
        1e-12 and 1e12. Trailing axes of length one are dropped. For a
        NIfTI-2 file it is a Nifti2Image, a subclass. An MGH file becomes a NIfTI image with the
        affine of the file as qform and sform.

    Raises
    ------
    VolumeReadError
        If anything is wrong with the file; the message names the file and a remedy.

    Warns
    -----
    UserWarning
        Once for a file whose header had to be repaired, with the list of repairs.

    Notes
    -----
    Sizes are checked against the bytes on disk before memory is allocated. A compressed file is
    read to its end and its checksum is compared, so that damage is always found. It is refused if
    it inflates to more bytes than its header declares, except for up to 64 KiB of zeros, or 1 MiB
    after the voxels of an MGH file. A file that is not compressed has no checksum, so that damaged
    voxels are only found if the file has another length. Extensions of the header are skipped.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_iqt.io import load_volume, save_volume
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = save_volume(np.ones((2, 3, 4)), Path(folder.name) / "ones.nii.gz")
    >>> image = load_volume(path)
    >>> image.shape, image.get_data_dtype().name
    ((2, 3, 4), 'float32')
    >>> folder.cleanup()
    """
    if not isinstance(max_voxels, Integral) or max_voxels < 1:
        raise ValueError(f"load_volume: max_voxels must be a positive integer, got {max_voxels!r}.")
    return read_image(path, max_voxels=int(max_voxels), nan=check_nan(nan, "load_volume"))


def read_image(
    path: str | os.PathLike[str], *, max_voxels: int = MAX_VOXELS, nan: Nan = "refuse"
) -> nibabel.Nifti1Image:
    """Read a file as :func:`load_volume` does; NaN may be background in some voxels only."""
    name = os.fspath(path)
    with open_scan(name) as (stream, size_on_disk, compressed):
        checked = read_header(stream, name)
        check_size(checked, size_on_disk, compressed, max_voxels, name)
        between = _read_exactly(stream, checked.offset - checked.size)
        repairs = checked.repairs + extension_repairs(between, checked)
        volume = _read_voxels(stream, checked)
        _check_end(stream, checked, name)
    volume = fill_nan(volume, nan)
    refuse_intensities(volume, name)
    warn_repairs(repairs, name)
    return as_image(volume, checked.affine, checked.header)


def read_geometry(
    path: str | os.PathLike[str],
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Read the shape and the affine of a file, without its voxels.

    Parameters
    ----------
    path : str or path-like
        File that :func:`load_volume` reads.

    Returns
    -------
    shape : tuple of 3 ints
        Voxels along each axis.
    affine : ndarray of shape (4, 4), float64
        Voxel to mm, as :func:`load_volume` would return it.

    Raises
    ------
    VolumeReadError
        If there is no such file or its header does not describe a volume.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_iqt.io import read_geometry, save_volume
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_volume(np.ones((2, 3, 4)), Path(folder) / "ones.nii.gz", affine=np.eye(4))
    ...     shape, affine = read_geometry(path)
    >>> shape
    (2, 3, 4)
    """
    name = os.fspath(path)
    with open_scan(name) as (stream, _, _):
        checked = read_header(stream, name)
    return checked.shape, checked.affine


def is_compressed(name: str) -> bool | None:
    """Return whether a file has the name of a compressed NIfTI file, or None if not of NIfTI."""
    return _by_suffix(name, NIFTI)


def _by_suffix(name: str, suffixes: dict[str, bool]) -> bool | None:
    lower = name.lower()
    return next((gz for suffix, gz in suffixes.items() if lower.endswith(suffix)), None)


def _suffixes_like(name: str) -> dict[str, bool]:
    """Return the suffixes of the format that the name of a file has."""
    return NIFTI if is_compressed(name) is not None else MGH


@contextlib.contextmanager
def open_scan(name: str) -> Iterator[tuple[ByteStream, int, bool]]:
    """Open a file for reading, and turn every error in the block into a VolumeReadError."""
    compressed = _by_suffix(name, SUFFIXES)
    if compressed is None:
        raise VolumeReadError(
            f"{name}: the name of the file must end in '.nii', '.nii.gz', '.mgh' or '.mgz'. "
            "Convert the scan to NIfTI."
        )
    try:
        if os.path.isdir(name):
            raise VolumeReadError(f"{name}: the path is a directory. Pass the path of a file.")
        file, status = open_regular(name)
        with file:
            if status.st_size == 0:
                raise VolumeReadError(f"{name}: the file is empty. Copy or convert the scan again.")
            gzipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            if gzipped != compressed:
                fact = "gzip-compressed" if gzipped else "not gzip-compressed"
                right = next(s for s, c in _suffixes_like(name).items() if c == gzipped)
                raise VolumeReadError(
                    f"{name}: the file is {fact}, but its name says otherwise. If it is a scan, "
                    f"rename it to end in {right!r}."
                )
            file.seek(0)
            yield InflatedFile(file) if compressed else file, status.st_size, compressed
    except VolumeReadError:
        raise
    except FileNotFoundError as fault:
        raise VolumeReadError(f"{name}: there is no such file. Check the path.") from fault
    except EOFError as fault:
        raise VolumeReadError(
            f"{name}: the file ends too early. It is truncated. Copy it again."
        ) from fault
    except zlib.error as fault:
        raise VolumeReadError(
            f"{name}: the compressed bytes are damaged ({fault}). Copy the file again."
        ) from fault
    except (OSError, ValueError, MemoryError, OverflowError) as fault:
        raise VolumeReadError(
            f"{name}: the file cannot be read ({type(fault).__name__}: {fault}). Check the file, "
            "its permissions and the free memory."
        ) from fault


def read_header(stream: ByteStream, name: str) -> VolumeHeader:
    """Read and check the header at the beginning of a stream."""
    if _suffixes_like(name) is not NIFTI:
        with np.errstate(all="ignore"):
            return parse_mgh_header(_read_exactly(stream, MGH_HEADER_SIZE), name)
    leading = _read_exactly(stream, 348)
    leading += _read_exactly(stream, header_size(leading) - 348)
    # parse_header checks for NaN and overflows itself, so numpy should not warn about them.
    with np.errstate(all="ignore"):
        return parse_header(leading, name)


def as_image(
    volume: NDArray, affine: NDArray[np.float64], header: Nifti1Header
) -> nibabel.Nifti1Image:
    """Return an image of the class that belongs to the header."""
    klass = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    return klass(volume, affine, header)


def _read_voxels(stream: ByteStream, checked: VolumeHeader) -> NDArray[np.float32]:
    """Read slab by slab, so that reordering the voxels does not take a second volume of memory."""
    shape, dtype = checked.shape, checked.voxel_dtype
    volume = np.empty(shape, dtype=np.float32)
    scaled = (checked.slope, checked.intercept) != (1.0, 0.0)
    for place in _slabs(shape, max(1, _SLAB_BYTES // dtype.itemsize)):
        part = volume[place]
        slab = np.frombuffer(_read_exactly(stream, part.size * dtype.itemsize), dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if scaled:
                slab = slab * np.float64(checked.slope) + checked.intercept
            slab = slab.astype(np.float32)
        part[...] = slab.reshape(part.shape, order="F")
    return volume


def _slabs(shape: tuple[int, int, int], n_voxels: int) -> Iterator[tuple[slice | int, ...]]:
    """Cut a volume into parts that are contiguous in a file, of at most `n_voxels`, in order."""
    axis, size = 0, 1
    while axis < 2 and size * shape[axis] <= n_voxels:
        size *= shape[axis]
        axis += 1
    step = n_voxels // size
    # The last of these axes changes first.
    for outer in np.ndindex(*reversed(shape[axis + 1 :])):
        for start in range(0, shape[axis], step):
            yield (*[slice(None)] * axis, slice(start, start + step), *reversed(outer))


def _read_exactly(stream: ByteStream, n_bytes: int) -> bytes:
    content = stream.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError
    return content


def _check_end(stream: ByteStream, checked: VolumeHeader, name: str) -> None:
    """Read the file to its end, which compares its checksum, and refuse more voxels."""
    allowed = PADDING + checked.footer
    rest = stream.read(allowed + 1)
    if len(rest) > allowed or any(rest[checked.footer :]):
        raise VolumeReadError(
            f"{name}: more bytes follow than the {checked.n_bytes} of the voxels that the header "
            "declares. The file is damaged or its header is wrong. Copy or convert the scan again."
        )
