"""Download a file whose size and MD5 checksum are known.

pooch is not used, because it restarts an interrupted download, stores everything that a server
sends before it compares the checksum, and retries if a file does not exist. With our downloader
for these three cases, pooch would replace only the loop over attempts and the checksum, and add
three dependencies.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from sklearn_iqt._version import __version__

_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 4
_PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
_CHUNK = 1 << 16


class _DownloadError(Exception):
    """An attempt failed, but another one may succeed."""


def is_complete(path: Path, size: int, md5: str) -> bool:
    """Return whether a file exists and has this size and checksum."""
    try:
        return path.stat().st_size == size and _md5(path) == md5
    except FileNotFoundError:
        return False


def download(url: str, target: Path, size: int, md5: str, *, caller: str, bar: tqdm) -> None:
    """Download one file, in several attempts if necessary, and rename it once it is complete.

    Parameters
    ----------
    url : str
        Address of the file.
    target : pathlib.Path
        File to write. Until it is complete, its bytes are in a hidden file in the same folder. The
        next attempt or call continues this file.
    size : int
        Bytes that the file must have.
    md5 : str
        Checksum that the file must have, in hexadecimal digits.
    caller : str
        Function that messages name.
    bar : tqdm
        Progress bar, which is advanced by the bytes of this file.

    Raises
    ------
    OSError
        If the file cannot be downloaded.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    before = bar.n
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            for n_bytes in _resume(url, part, size):
                bar.update(before + n_bytes - bar.n)
            if _md5(part) != md5:
                part.unlink()
                raise _DownloadError("the checksum of the file is wrong")
            os.replace(part, target)
            return
        except urllib.error.HTTPError as error:
            raise OSError(
                f"{caller}: the server answers {error.code} {error.reason} to {url}. "
                "Check base_url."
            ) from error
        except _DownloadError as error:
            failure = error
    raise OSError(
        f"{caller}: {url} could not be downloaded in {_ATTEMPTS} attempts: {failure}. Complete "
        "files are kept. Call again to continue."
    )


def _md5(path: Path) -> str:
    checksum = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


def _resume(url: str, part: Path, size: int) -> Iterator[int]:
    """Append the missing bytes to a partial file, and yield how many bytes it has."""
    start = part.stat().st_size if part.exists() else 0
    if start > size:
        part.unlink()
        start = 0
    if start == size:
        yield size
        return
    request = urllib.request.Request(url, headers={"User-Agent": f"sklearn_iqt/{__version__}"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            start = _check_response(response, part, start, size)
            yield from _store(response, part, start, size)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the server cannot continue from this byte
            part.unlink(missing_ok=True)
        elif error.code != 429 and error.code < 500:
            raise
        raise _DownloadError(f"the server answers {error.code} {error.reason}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _DownloadError(f"{type(error).__name__}: {error}") from error


def _store(response: Any, part: Path, start: int, size: int) -> Iterator[int]:
    """Write a response to a partial file at a byte, and yield how many bytes the file has."""
    n_bytes = start
    with open(part, "r+b" if start else "wb") as stream:
        stream.seek(start)
        while block := response.read(min(_CHUNK, size - n_bytes + 1)):
            n_bytes += len(block)
            if n_bytes > size:
                raise _DownloadError(f"the server sent more than {size} bytes")
            stream.write(block)
            yield n_bytes
        stream.flush()
        os.fsync(stream.fileno())
    if n_bytes < size:
        raise _DownloadError(f"the server sent only {n_bytes} of {size} bytes")


def _check_response(response: Any, part: Path, start: int, size: int) -> int:
    """Return the byte at which the response starts, or refuse a response with another file."""
    length = response.headers.get("Content-Length")
    if response.status == 206 and start:
        sent = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", sent)
        right = match is not None and (
            int(match[1]) == start and int(match[2]) == size - 1 and match[3] in (str(size), "*")
        )
        if not right or length not in (None, str(size - start)):
            part.unlink()
            raise _DownloadError(
                f"asked for bytes from {start} of {size}, got {sent!r} of length {length}"
            )
        return start
    if response.status != 200:
        raise _DownloadError(f"the server answers {response.status} {response.reason}")
    if length not in (None, str(size)):
        part.unlink(missing_ok=True)
        raise _DownloadError(f"the server has a file of {length} bytes, not of {size}")
    return 0  # also when a server ignores the range and sends the whole file
