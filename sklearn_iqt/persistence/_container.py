"""Read and write the file: a safetensors container whose metadata is one JSON document."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as format_tensors

from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.io import replaced_file

KEY = "sklearn_iqt"
MAX_HEADER = 2**22
MAX_BYTES = 2**32
_DTYPES = {"F16", "F32", "F64", "BOOL", *(f"{kind}{n}" for kind in "IU" for n in (8, 16, 32, 64))}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([./][A-Za-z0-9_]+)*\Z")


def write_container(target: Path, document: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a file. An error leaves an existing file unchanged."""
    bad = [name for name in arrays if not _NAME.match(name)]
    if bad:
        raise TypeError(
            f"save_model: {bad[:3]} are not valid names of arrays. Use letters, digits, '.', '_' "
            "and '/'."
        )
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    content = format_tensors(arrays, metadata={KEY: text})
    if int.from_bytes(content[:8], "little") > MAX_HEADER or len(content) > MAX_BYTES:
        raise ValueError(
            f"save_model: the file would have {len(content)} bytes, but load_model reads at most "
            f"{MAX_BYTES}, with at most {MAX_HEADER} for the parameters."
        )
    with replaced_file(target) as stream:
        stream.write(content)


def read_header(stream: BinaryIO) -> tuple[dict, dict[str, dict]]:
    """Return the document and the table of arrays. Only the header is read."""
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedModelError("it is not a regular file.")
    if status.st_size > MAX_BYTES:
        raise UntrustedModelError(f"it has {status.st_size} bytes, more than {MAX_BYTES}.")
    prefix = stream.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= min(MAX_HEADER, status.st_size - 8):
        raise UntrustedModelError("it is not a model file of sklearn_iqt, or it is truncated.")
    table = _parse_json(stream.read(length))
    metadata = table.pop("__metadata__", None)
    if not (isinstance(metadata, dict) and set(metadata) == {KEY}):
        raise UntrustedModelError(
            "it is not a model file of sklearn_iqt, because its metadata is missing."
        )
    if not isinstance(metadata[KEY], str):
        raise UntrustedModelError("its metadata is not text.")
    for name, entry in table.items():
        if not _NAME.match(name):
            raise UntrustedModelError(f"{name[:80]!r} is not a valid name of an array.")
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
            raise UntrustedModelError(f"the array {name[:80]!r} has an unknown type.")
    return _parse_json(metadata[KEY].encode()), table


def read_container(path: str | os.PathLike[str]) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the document and the arrays, which are finite and writable."""
    with open(path, "rb") as stream:
        document, table = read_header(stream)
        stream.seek(0)
        content = stream.read(MAX_BYTES)
    try:
        # safetensors checks that shapes, types and offsets agree, and that every byte belongs to
        # one array.
        arrays = {name: np.array(array) for name, array in parse_tensors(content).items()}
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise UntrustedModelError(f"its arrays are damaged: {error}") from error
    if set(arrays) != set(table):
        raise UntrustedModelError("its arrays differ from the list in its header.")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UntrustedModelError(f"the array {name[:80]!r} holds NaN or infinite values.")
    return document, arrays


def _parse_json(content: bytes) -> dict:
    try:
        parsed = json.loads(
            content.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, UntrustedModelError):
            raise
        raise UntrustedModelError(f"its header is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise UntrustedModelError("its header is not a JSON object.")
    return parsed


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise UntrustedModelError("its header contains the same name twice.")
    return keys


def _refuse_constant(name: str) -> Any:
    raise UntrustedModelError(f"its header contains {name}.")
