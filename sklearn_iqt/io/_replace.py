"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from typing import BinaryIO

from sklearn_iqt.io._open import open_regular

try:
    import fcntl
except ImportError:  # on Windows, an open file cannot be removed, which protects it as well
    fcntl = None  # type: ignore[assignment]

__all__ = ["replaced_file"]


@contextlib.contextmanager
def replaced_file(target: str | os.PathLike) -> Iterator[BufferedWriter]:
    """Open a temporary file in the same folder, and rename it to the target once it is complete.

    A failed or interrupted write leaves only the old file. A write that is killed also leaves its
    temporary file, which the next write of the same target removes. Symbolic links are followed,
    and the new file gets the mode of the old one.

    Parameters
    ----------
    target : path
        File to write or replace.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    OSError
        If the target cannot be written, or exists and is not a regular file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replaced_file(Path(folder, "notes.txt")) as stream:
    ...         _ = stream.write(b"kept")
    ...     Path(folder, "notes.txt").read_bytes()
    b'kept'
    """
    final = Path(os.path.realpath(target))
    mode = _mode(final)
    part, stream = _temporary_file(final)
    try:
        # The lock is released with the file, which on Windows must be closed before it is renamed.
        with stream if fcntl is None else contextlib.nullcontext():
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if mode is not None:
            os.chmod(part, mode)
        os.replace(part, final)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        with contextlib.suppress(OSError):
            stream.close()


def _mode(final: Path) -> int | None:
    """Return the mode of an existing file, or None if there is no file."""
    try:
        mode = os.lstat(final).st_mode  # links were followed, unless they form a loop
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(f"{str(final)!r} is not a regular file, so it is not replaced.")
    return stat.S_IMODE(mode)


def _temporary_file(final: Path) -> tuple[Path, BufferedWriter]:
    """Create a temporary file with a lock on it, and remove those of writes that were killed."""
    # A hash, because a name may be as long as names of files can be.
    prefix = f".{hashlib.sha256(os.fsencode(final.name)).hexdigest()[:16]}"
    for number in itertools.count():
        part = final.with_name(f"{prefix}.{number}.part")
        _remove_abandoned(part)
        with contextlib.suppress(FileExistsError):
            stream = open(part, "xb")  # noqa: SIM115
            if _lock(stream, wait=True):
                break
            stream.close()
    for following in itertools.count(number + 1):
        other = final.with_name(f"{prefix}.{following}.part")
        if not other.exists():
            break
        _remove_abandoned(other)
    return part, stream


def _remove_abandoned(part: Path) -> None:
    """Remove a temporary file if it exists and no write is using it."""
    with contextlib.suppress(OSError):
        stream, status = open_regular(part)
        with stream:
            if _lock(stream) and os.path.samestat(status, os.stat(part)):
                part.unlink()


def _lock(stream: BinaryIO, *, wait: bool = False) -> bool:
    """Lock a file, and return False if another process removed it before that."""
    if fcntl is not None:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            # In use, or on a file system without locks, where temporary files are kept.
            if not wait:
                raise
    return fcntl is None or os.fstat(stream.fileno()).st_nlink > 0
