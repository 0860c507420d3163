"""Names of subjects and methods, from the paths of their files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from sklearn_iqt.cli._common import stem

_SUBJECT = re.compile(r"sub-[a-zA-Z0-9]+")
_SEPARATORS = "_-. "


def subjects_of(path: str | os.PathLike[str]) -> list[str]:
    """Return the BIDS labels of the subjects in the name of a file."""
    return _SUBJECT.findall(os.path.basename(path))


def name_subjects(truths: Sequence[str]) -> list[str]:
    """Return the BIDS labels of the files if all have one, and otherwise the parts that differ.

    Files of one subject have the same label. Without labels each file is a subject.
    """
    labels = [subjects_of(path) for path in truths]
    if all(len(set(found)) == 1 for found in labels):
        return [found[0] for found in labels]
    stems = [stem(path) for path in truths]
    end = _common_end(stems) if len(stems) > 1 else ""
    short = [name.removesuffix(end) or name for name in stems]
    for names in (short, stems, _parts_that_differ(truths)):
        if len(set(names)) == len(set(truths)):
            return names
    return list(truths)


def name_methods(estimates: Sequence[Sequence[str]]) -> list[str]:
    """Return the folder of each method, or the end of its file names, or its number."""
    folders = [os.path.commonpath([_folder(path) for path in files]) for files in estimates]
    stems = [[stem(path) for path in files] for files in estimates]
    ends = [s[0] if len(s) == 1 else _common_end(s).lstrip(_SEPARATORS) for s in stems]
    for names in (_parts_that_differ(folders), ends):
        if all(names) and len(set(names)) == len(estimates):
            return names
    return [str(n + 1) for n in range(len(estimates))]


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _parts_that_differ(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path, after the parts at the end that all have in common."""
    parts = [PurePath(os.path.abspath(path)).parts for path in paths]
    while all(parts) and len({own[-1] for own in parts}) == 1:
        parts = [own[:-1] for own in parts]
    return [own[-1] if own else "" for own in parts]


def _common_end(names: Sequence[str]) -> str:
    """Return the longest end that all names have in common and that starts with a separator."""
    first = names[0]
    ends = (first[n:] for n, character in enumerate(first) if character in _SEPARATORS)
    return next((end for end in ends if all(name.endswith(end) for name in names)), "")
