"""Brains of OpenNeuro, fetched once into a folder of the user's and checked whenever used.

Not with pooch: it starts an interrupted file anew, stores as much as a server sends before it
looks at the checksum, and asks again for what is not there. With a downloader of our own that does
these three, pooch would save the loop over attempts and the checksum, and add three dependencies.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch
from tqdm.auto import tqdm

from sklearn_iqt._version import __version__
from sklearn_iqt.datasets._ds002748 import FILES
from sklearn_iqt.io import replaced_file

__all__ = ["fetch_ds002748"]

_CALLER = "fetch_ds002748"
_URL = "https://s3.amazonaws.com/openneuro.org"
_LICENSE = "CC0"
_AUTHORS = ("Bezmaternykh DD", "Melnikov ME", "Savelov AA", "Petrovskii ED")
_TITLE = "Resting state with closed eyes for patients with depression and healthy participants"
_DESCRIPTION = f"""\
OpenNeuro ds002748: {_TITLE}, by {", ".join(_AUTHORS)}. T1-weighted scans at 3 T of 72 adults, as
published, with nothing done to them; strip skulls before tissues are estimated or low-field scans
are simulated. The functional scans are not fetched.

Licence: {_LICENSE}. Source: https://openneuro.org/datasets/ds002748.
"""
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 4
_PAUSE = 1.0  # seconds before the second attempt, doubled for each one after
_CHUNK = 1 << 16


class _DownloadError(OSError):
    """An attempt failed in a way that another one may mend."""


def fetch_ds002748(
    subjects: Sequence[str | int] | None = None,
    *,
    data_home: str | os.PathLike[str] | None = None,
    base_url: str = _URL,
    verbose: int = 0,
) -> Bunch:
    """Fetch T1-weighted brains of OpenNeuro ds002748, which may be used for any purpose.

    What is there is not fetched again, and a download that was interrupted goes on where it
    stopped.

    Parameters
    ----------
    subjects : sequence of str or int, default=None
        Labels such as ``"sub-01"``, ``"01"`` or ``1``, of ``sub-01`` to ``sub-72``. All by
        default, which are 241 MB.
    data_home : path, default=None
        Folder that gets the folder ``ds002748``. By default that of the environment variable
        ``SKLEARN_IQT_DATA``, or else ``~/sklearn_iqt_data``.
    base_url : str, default="https://s3.amazonaws.com/openneuro.org"
        Address, http or https, of a copy of OpenNeuro's public bucket.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    sklearn.utils.Bunch
        ``images``, a list of paths of NIfTI files, one for each subject in the order asked for;
        ``subjects``, a list of their labels; ``license``; ``description``; and ``data_dir``, the
        folder, which is a BIDS dataset.

    Raises
    ------
    ValueError
        If there is no such subject, or the address is not http or https.
    OSError
        If a file cannot be fetched or is not the one that was published. Files that were complete
        before stay, and the next call goes on from there.

    Notes
    -----
    Every file must have the size and the MD5 checksum that the data set's own repository has for
    it; only then does it get its name. This is checked at every call, also for files fetched
    before. MD5 shows damage and changes by mistake; against one who can craft files the
    protection is that of https. Two processes should not fetch the same file into one folder at
    the same time: they would spoil each other's download, though never the result.

    References
    ----------
    .. [1] D. D. Bezmaternykh, M. E. Melnikov, A. A. Savelov, E. D. Petrovskii, "Resting state with
       closed eyes for patients with depression and healthy participants", OpenNeuro, 2021,
       https://openneuro.org/datasets/ds002748.

    Examples
    --------
    >>> from sklearn_iqt.datasets import fetch_ds002748
    >>> brains = fetch_ds002748(["sub-01", "sub-02"])  # doctest: +SKIP
    >>> brains.subjects  # doctest: +SKIP
    ['sub-01', 'sub-02']
    """
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"{_CALLER}: base_url must be an http or https address, got {base_url!r}.")
    if isinstance(subjects, (str, int)):
        raise ValueError(f"{_CALLER}: subjects must be a sequence; pass [{subjects!r}].")
    labels = list(FILES) if subjects is None else [_label(subject) for subject in subjects]
    home = data_home or os.environ.get("SKLEARN_IQT_DATA") or "~/sklearn_iqt_data"
    data_dir = Path(home).expanduser() / "ds002748"
    names = [f"{label}/anat/{label}_T1w.nii.gz" for label in labels]
    missing = {
        name: FILES[label]
        for name, label in zip(names, labels, strict=True)
        if not _is_whole(data_dir / name, *FILES[label])
    }
    total = sum(size for size, _ in missing.values())
    with tqdm(
        total=total, desc=_CALLER, unit="B", unit_scale=True, disable=not (verbose and missing)
    ) as bar:
        for name, (size, md5) in missing.items():
            url = f"{base_url.rstrip('/')}/ds002748/{name}"
            _fetch(url, data_dir / name, size, md5, bar)
    _describe(data_dir)
    return Bunch(
        images=[str(data_dir / name) for name in names],
        subjects=labels,
        license=_LICENSE,
        description=_DESCRIPTION,
        data_dir=str(data_dir),
    )


def _label(subject: str | int) -> str:
    number = str(subject).removeprefix("sub-")
    label = f"sub-{number.zfill(2)}"
    if label not in FILES:
        raise ValueError(
            f"{_CALLER}: subjects are sub-01 to sub-72, as labels or numbers, got {subject!r}."
        )
    return label


def _describe(data_dir: Path) -> None:
    """Make the folder a BIDS dataset, which other tools take as it is."""
    path = data_dir / "dataset_description.json"
    if path.exists():
        return
    told = {
        "Name": _TITLE,
        "BIDSVersion": "1.0.2",
        "License": _LICENSE,
        "Authors": _AUTHORS,
        "ReferencesAndLinks": ["https://openneuro.org/datasets/ds002748"],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(told, indent=2).encode())


def _is_whole(path: Path, size: int, md5: str) -> bool:
    try:
        return path.stat().st_size == size and _md5(path) == md5
    except FileNotFoundError:
        return False


def _md5(path: Path) -> str:
    checksum = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


def _fetch(url: str, target: Path, size: int, md5: str, bar: Any) -> None:
    """Fetch one file, in several attempts if need be, and give it its name once it is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    before = bar.n
    pause = _PAUSE
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause)
            pause *= 2
        try:
            for n_bytes in _resume(url, part, size):
                bar.update(before + n_bytes - bar.n)
            if _md5(part) != md5:
                part.unlink()
                raise _DownloadError("what came is damaged, by its checksum")
            os.replace(part, target)
            return
        except _DownloadError as error:
            failure = error
    raise OSError(
        f"{_CALLER}: {url} could not be fetched in {_ATTEMPTS} attempts: {failure}. Files that "
        "were complete are kept; call again to go on."
    )


def _resume(url: str, part: Path, size: int) -> Iterator[int]:
    """Append what is missing to a partial file, and yield how many bytes it has."""
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
            start = _check_answer(response, part, start, size)
            with open(part, "r+b" if start else "wb") as stream:
                stream.seek(start)
                n_bytes = start
                while block := response.read(min(_CHUNK, size - n_bytes + 1)):
                    n_bytes += len(block)
                    if n_bytes > size:
                        raise _DownloadError(f"more than {size} bytes came")
                    stream.write(block)
                    yield n_bytes
                stream.flush()
                os.fsync(stream.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing to go on from
            part.unlink(missing_ok=True)
        if error.code == 416 or error.code == 429 or error.code >= 500:
            raise _DownloadError(f"the server says {error.code} {error.reason}") from error
        raise OSError(
            f"{_CALLER}: the server says {error.code} {error.reason} to {url}. Check base_url."
        ) from error
    except (http.client.HTTPException, OSError) as error:
        if isinstance(error, _DownloadError):
            raise
        raise _DownloadError(f"{type(error).__name__}: {error}") from error
    if n_bytes < size:
        raise _DownloadError(f"only {n_bytes} of {size} bytes came")


def _check_answer(response: Any, part: Path, start: int, size: int) -> int:
    """Return where in the file the answer starts, or refuse an answer that is another file's."""
    length = response.headers.get("Content-Length")
    if response.status == 206 and start:
        told = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", told)
        right = match is not None and (
            int(match[1]) == start and int(match[2]) == size - 1 and match[3] in (str(size), "*")
        )
        if not right or length not in (None, str(size - start)):
            part.unlink()
            raise _DownloadError(
                f"asked for bytes from {start} of {size}, got {told!r} of length {length}"
            )
        return start
    if response.status != 200:
        raise _DownloadError(f"the server says {response.status} {response.reason}")
    if length not in (None, str(size)):
        part.unlink(missing_ok=True)
        raise _DownloadError(
            f"the file has {length} bytes there, and {size} where it was published"
        )
    return 0  # also when a server does not know ranges and starts anew
