"""Open untrusted files: only regular ones, and compressed ones up to their last checksum."""

from __future__ import annotations

import codecs
import os
import stat
import zlib
from typing import Any, BinaryIO, cast

from sklearn_iqt._strict_json import parse_json

__all__ = [
    "GZIP_MAGIC",
    "MAX_FOOTER",
    "PADDING",
    "InflatedFile",
    "compare_checksum",
    "open_regular",
    "read_json_file",
    "read_small",
]

GZIP_MAGIC = b"\x1f\x8b"
# Zeros at the end of a file, which tapes, archives and disks add to fill a block.
PADDING = 2**16
# Parameters of the scanner and tags of FreeSurfer after the voxels.
MAX_FOOTER = 2**20
# Members without content that may follow each other. Some programs write one at the end.
_MAX_EMPTY = 2**8
_MAX_JSON = 2**26
_CHUNK = 2**16
# Gzip header and checksum.
_GZIP = 16 + zlib.MAX_WBITS


def open_regular(path: str | os.PathLike[str]) -> tuple[BinaryIO, os.stat_result]:
    """Open a regular file for reading, without waiting for the other end of a pipe.

    Parameters
    ----------
    path : str or path-like
        File to open. Links are followed.

    Returns
    -------
    stream : binary file
        Open for reading.
    status : os.stat_result
        Status of the open file, which cannot be exchanged for another one any more.

    Raises
    ------
    OSError
        If the path cannot be opened or is not a regular file, such as a pipe or a device.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     stream, status = open_regular(file.name)
    >>> status.st_size
    0
    >>> stream.close()
    """
    stream = cast(BinaryIO, open(path, "rb", opener=_without_waiting))  # noqa: SIM115
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        stream.close()
        raise OSError(f"the path is not a regular file: {os.fspath(path)!r}")
    return stream, status


def read_small(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a whole regular file.

    Parameters
    ----------
    path : str or path-like
        File to read.
    limit : int
        Largest number of bytes to read.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    ValueError
        If the file has more bytes than the limit.
    OSError
        If the path cannot be opened or is not a regular file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     read_small(file.name, 100)
    b''
    """
    stream, status = open_regular(path)
    with stream:
        # A file that is growing is not read beyond the limit either.
        content = b"" if status.st_size > limit else stream.read(limit + 1)
    if max(status.st_size, len(content)) > limit:
        raise ValueError(f"it has {status.st_size} bytes, more than {limit}")
    return content


def read_json_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON object in a small regular file, such as a sidecar.

    Parameters
    ----------
    path : str or path-like
        File in UTF-8, with or without a byte order mark.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    ValueError
        If the file has more than 64 MiB or does not hold a JSON object.
    OSError
        If the path cannot be opened or is not a regular file.
    """
    return parse_json(read_small(path, _MAX_JSON).removeprefix(codecs.BOM_UTF8), finite=False)


def compare_checksum(path: str | os.PathLike[str], n_bytes: int) -> None:
    """Read a file to its end if it is compressed, because other readers stop before the checksum.

    Parameters
    ----------
    path : str or path-like
        File that another library reads.
    n_bytes : int
        Number of inflated bytes that it reads.

    Raises
    ------
    EOFError, zlib.error
        If the file is damaged.
    OSError
        If the path cannot be opened or is not a regular file.
    """
    file, _ = open_regular(path)
    with file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return
        file.seek(0)
        inflated = InflatedFile(file)
        inflated.seek(n_bytes)
        if len(inflated.read(MAX_FOOTER + 1)) > MAX_FOOTER:
            raise zlib.error("more bytes follow than the header declares")


class InflatedFile:
    """Read a gzip file from its first byte to its last, and compare every checksum.

    Unlike :class:`gzip.GzipFile`, it takes memory and time in proportion to the bytes that are
    read, and refuses other bytes than some zeros after the last member.

    Parameters
    ----------
    file : binary file
        File that begins with a gzip member.

    Examples
    --------
    >>> import gzip, io
    >>> file = InflatedFile(io.BytesIO(gzip.compress(b"voxels") + bytes(512)))
    >>> file.read(3), file.read(100)
    (b'vox', b'els')
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = b""
        self._member = zlib.decompressobj(_GZIP)
        self._position = 0

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes; fewer if the file ends.

        Parameters
        ----------
        n_bytes : int
            Number of bytes.

        Returns
        -------
        bytes
            If they are fewer than ``n_bytes``, all checksums of the file are right.

        Raises
        ------
        EOFError
            If the file ends inside a member.
        zlib.error
            If the file is damaged.
        """
        parts: list[bytes] = []
        missing = n_bytes
        while missing and (part := self._some(missing)):
            parts.append(part)
            missing -= len(part)
        self._position += n_bytes - missing
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, position: int) -> None:
        """Skip the bytes before a later position.

        Parameters
        ----------
        position : int
            Position from the beginning of the inflated bytes.

        Raises
        ------
        EOFError
            If the file ends before the position.
        """
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                raise EOFError

    def _some(self, limit: int) -> bytes:
        """Return at least one byte and at most `limit`, or no bytes at the end of the file."""
        part = b""
        n_empty = 0
        while not part:
            if self._member.eof:
                n_empty += 1
                if n_empty > _MAX_EMPTY:
                    raise zlib.error(f"more than {_MAX_EMPTY} members are empty")
                if not self._find_member():
                    return b""
            self._input = self._input or self._file.read(_CHUNK)
            if not self._input:
                raise EOFError
            part = self._member.decompress(self._input, limit)
            self._input = self._member.unused_data or self._member.unconsumed_tail
        return part

    def _find_member(self) -> bool:
        """Begin the next member, or return False if at most some zeros follow."""
        if len(self._input) < len(GZIP_MAGIC):
            self._input += self._file.read(_CHUNK)
        if self._input.startswith(GZIP_MAGIC):
            self._member = zlib.decompressobj(_GZIP)
            return True
        self._input += self._file.read(PADDING + 1)
        if len(self._input) > PADDING or any(self._input):
            raise zlib.error("bytes that are not compressed follow")
        return False


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
