"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

__all__ = ["replaced_file"]


@contextlib.contextmanager
def replaced_file(target: str | os.PathLike) -> Iterator[BufferedWriter]:
    """Open a temporary file in the same folder, and rename it to the target once it is complete.

    A failed or interrupted write leaves only the old file. Symbolic links are followed, and the
    new file gets the mode of the old one.

    Parameters
    ----------
    target : path
        File to write or replace.

    Yields
    ------
    binary file
        Open for writing.

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
    part = final.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if final.is_file():
            shutil.copymode(final, part)
        os.replace(part, final)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
