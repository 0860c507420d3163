"""Read an exact number of bytes from a plain or gzip-compressed file, never more than asked."""

from __future__ import annotations

import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

# Small enough that many tiny gzip members in one chunk cost little to hand on.
_CHUNK = 1 << 16
# One byte of deflate cannot stand for more than this many bytes.
MAX_DEFLATE_RATIO = 1032


class TruncatedStreamError(Exception):
    """The stream ends before the bytes that were asked for."""


class ByteReader:
    """Sequential reader that inflates on the fly and never inflates past what is asked for.

    Unlike ``gzip.GzipFile`` it leaves bytes behind the last member alone, yet still has zlib
    check the checksum of a member that is read to its end.
    """

    def __init__(self, stream: BinaryIO, compressed: bool) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(wbits=31) if compressed else None
        self._pending = b""

    def readinto(self, buffer: NDArray[np.uint8]) -> None:
        """Fill `buffer`, or raise TruncatedStreamError."""
        view = buffer.data
        filled = 0
        while filled < len(view):
            chunk = self._some(min(len(view) - filled, 1 << 20))
            if not chunk:
                raise TruncatedStreamError
            view[filled : filled + len(chunk)] = chunk
            filled += len(chunk)

    def read(self, n_bytes: int) -> bytes:
        """Return exactly `n_bytes` bytes, or raise TruncatedStreamError."""
        buffer = np.empty(n_bytes, dtype=np.uint8)
        self.readinto(buffer)
        return buffer.tobytes()

    def skip(self, n_bytes: int) -> None:
        """Pass over `n_bytes` bytes, or raise TruncatedStreamError."""
        while n_bytes:
            step = min(n_bytes, 1 << 20)
            self.read(step)
            n_bytes -= step

    def check_end(self) -> None:
        """Have zlib compare the checksum if the member ends here; more bytes are left unread."""
        while self._inflater is not None and not self._inflater.eof:
            self._pending = self._pending or self._stream.read(_CHUNK)
            if not self._pending:
                raise TruncatedStreamError
            if self._inflater.decompress(self._pending, 1):
                return
            self._pending = self._inflater.unconsumed_tail

    def _some(self, at_most: int) -> bytes:
        """Return between 1 and `at_most` bytes, or none at the end of the stream."""
        if self._inflater is None:
            return self._stream.read(at_most)
        while True:
            if self._inflater.eof:
                following = self._inflater.unused_data or self._stream.read(_CHUNK)
                if not following:
                    return b""
                self._inflater = zlib.decompressobj(wbits=31)
                self._pending = following
            if not self._pending:
                self._pending = self._stream.read(_CHUNK)
            exhausted = not self._pending
            chunk = self._inflater.decompress(self._pending, at_most)
            self._pending = self._inflater.unconsumed_tail
            if chunk:
                return chunk
            if exhausted and not self._inflater.eof:
                return b""
