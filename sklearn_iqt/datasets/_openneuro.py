"""Brains of OpenNeuro, which are downloaded once into a folder and checked in every call."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from sklearn.utils import Bunch
from tqdm.auto import tqdm

from sklearn_iqt.datasets._download import download, is_complete
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
published, without any processing. Strip skulls before you estimate tissues or simulate low-field
scans. The functional scans are not downloaded.

Licence: {_LICENSE}. Source: https://openneuro.org/datasets/ds002748.
"""


def fetch_ds002748(
    subjects: Sequence[str | int] | None = None,
    *,
    data_home: str | os.PathLike[str] | None = None,
    base_url: str = _URL,
    verbose: int = 0,
) -> Bunch:
    """Fetch T1-weighted brains of OpenNeuro ds002748, which may be used for any purpose.

    Complete files are not downloaded again, and an interrupted download continues where it
    stopped.

    Parameters
    ----------
    subjects : sequence of str or int, default=None
        Labels such as ``"sub-01"``, ``"01"`` or ``1``, from ``sub-01`` to ``sub-72``. All subjects
        by default, which are 241 MB.
    data_home : path, default=None
        Folder in which the folder ``ds002748`` is created. By default the folder in the environment
        variable ``SKLEARN_IQT_DATA`` if it is set, otherwise ``~/sklearn_iqt_data``.
    base_url : str, default="https://s3.amazonaws.com/openneuro.org"
        Address, http or https, of a copy of OpenNeuro's public bucket.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    sklearn.utils.Bunch
        ``images``, a list of paths of NIfTI files, one for each subject in the order of
        ``subjects``; ``subjects``, a list of their labels; ``license``; ``description``; and
        ``data_dir``, the folder, which is a BIDS dataset.

    Raises
    ------
    ValueError
        If there is no such subject, or the address is not http or https.
    OSError
        If a file cannot be downloaded or differs from the published file. Complete files are
        kept, and the next call continues from there.

    Notes
    -----
    A file gets its final name only if its size and MD5 checksum are the same as in the repository
    of the data set. Every call checks this, also for files that were downloaded before. MD5 detects
    damage, but not a file that someone has manipulated; https protects against this. Two processes
    should not download the same file into one folder at the same time, because they damage the
    download of each other, though not the result.

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
        raise ValueError(f"{_CALLER}: subjects must be a sequence. Pass [{subjects!r}].")
    labels = list(FILES) if subjects is None else [_label(subject) for subject in subjects]
    home = data_home or os.environ.get("SKLEARN_IQT_DATA") or "~/sklearn_iqt_data"
    data_dir = Path(home).expanduser() / "ds002748"
    names = [f"{label}/anat/{label}_T1w.nii.gz" for label in labels]
    missing = {
        name: FILES[label]
        for name, label in zip(names, labels, strict=True)
        if not is_complete(data_dir / name, *FILES[label])
    }
    total = sum(size for size, _ in missing.values())
    with tqdm(
        total=total, desc=_CALLER, unit="B", unit_scale=True, disable=not (verbose and missing)
    ) as bar:
        for name, (size, md5) in missing.items():
            url = f"{base_url.rstrip('/')}/ds002748/{name}"
            download(url, data_dir / name, size, md5, caller=_CALLER, bar=bar)
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
            f"{_CALLER}: subjects must be labels or numbers from sub-01 to sub-72, got {subject!r}."
        )
    return label


def _describe(data_dir: Path) -> None:
    """Write the description that makes the folder a valid BIDS dataset."""
    path = data_dir / "dataset_description.json"
    if path.exists():
        return
    fields = {
        "Name": _TITLE,
        "BIDSVersion": "1.0.2",
        "License": _LICENSE,
        "Authors": _AUTHORS,
        "ReferencesAndLinks": ["https://openneuro.org/datasets/ds002748"],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as stream:
        stream.write(json.dumps(fields, indent=2).encode())
