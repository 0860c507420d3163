"""Read and write the file: a safetensors container whose metadata is one JSON document."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save as format_tensors

from sklearn_iqt._strict_json import canonical_json, parse_json
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.io import replaced_file
from sklearn_iqt.io._open import open_regular

# Increased by one when older versions cannot read new files, or new versions old files.
FORMAT = 4
KEY = "sklearn_iqt"
DIGEST = "sha256"
MAX_HEADER = 2**22
MAX_BYTES = 2**32
_MAX_AXES = 32
_DTYPES = {
    "BOOL": "?",
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([./][A-Za-z0-9_]+)*\Z")

Table = dict[str, dict[str, Any]]


def write_container(target: Path, document: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a file. An error leaves an existing file unchanged."""
    bad = [name for name in arrays if not _NAME.match(name)]
    if bad:
        raise TypeError(
            f"save_model: {bad[:3]} are not valid names of arrays. Use letters, digits, '.', '_' "
            "and '/'."
        )
    content = memoryview(format_tensors(arrays))
    length = int.from_bytes(content[:8], "little")
    table, body = json.loads(bytes(content[8 : 8 + length])), content[8 + length :]
    text = json.dumps({"format": FORMAT, **document}, allow_nan=False, separators=(",", ":"))
    digest = _begin_digest(text, table)
    digest.update(body)
    metadata = {KEY: text, DIGEST: digest.hexdigest()}
    header = json.dumps({"__metadata__": metadata, **table}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that arrays are aligned in the file
    n_bytes = 8 + len(header) + len(body)
    if len(header) > MAX_HEADER or n_bytes > MAX_BYTES:
        raise ValueError(
            f"save_model: the file would have {n_bytes} bytes, but load_model reads at most "
            f"{MAX_BYTES}, with at most {MAX_HEADER} for the parameters."
        )
    with replaced_file(target) as stream:
        for part in (len(header).to_bytes(8, "little"), header, body):
            stream.write(part)


def read_container(path: str | os.PathLike[str]) -> tuple[dict, Table, dict[str, np.ndarray]]:
    """Return the document, the table of arrays and the arrays, after comparing the digest.

    Arrays are finite and writable. Sizes are compared with the size of the file before memory is
    allocated.
    """
    stream, status = open_regular(path)
    with stream:
        metadata, table, n_bytes = _read_header(stream, status.st_size)
        document = _parse(metadata[KEY].encode())
        _check_format(document)
        dtypes = _check_table(table, n_bytes)
        digest = _begin_digest(metadata[KEY], table)
        arrays = {}
        for name, dtype in dtypes.items():
            arrays[name] = np.empty(table[name]["shape"], dtype)
            block = _bytes_of(arrays[name])
            if stream.readinto(block) != block.size:  # type: ignore[attr-defined]
                raise UntrustedModelError("it is truncated.")
            digest.update(block.data)
    if digest.hexdigest() != metadata.get(DIGEST):
        raise UntrustedModelError(
            "its content is not what save_model wrote, because its checksum differs. The file is "
            "damaged. Copy it again."
        )
    for name, array in arrays.items():
        if array.dtype == bool and _bytes_of(array).max(initial=0) > 1:
            raise UntrustedModelError(f"the array {name[:80]!r} holds other values than booleans.")
        if not np.isfinite(array).all():
            raise UntrustedModelError(f"the array {name[:80]!r} holds NaN or infinite values.")
    return document, table, arrays


def _begin_digest(text: str, table: Table) -> hashlib._Hash:
    """Return the SHA-256 of the document and the table. The bytes of the arrays follow."""
    return hashlib.sha256(canonical_json([text, table]))


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _read_header(stream: BinaryIO, n_bytes: int) -> tuple[dict[str, str], Table, int]:
    """Return the metadata, the table of arrays, and how many bytes follow the header."""
    if n_bytes > MAX_BYTES:
        raise UntrustedModelError(f"it has {n_bytes} bytes, more than {MAX_BYTES}.")
    prefix = stream.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= min(MAX_HEADER, n_bytes - 8):
        raise UntrustedModelError("it is not a model file of sklearn_iqt, or it is truncated.")
    table = _parse(stream.read(length))
    metadata = table.pop("__metadata__", None)
    if not (isinstance(metadata, dict) and KEY in metadata and set(metadata) <= {KEY, DIGEST}):
        raise UntrustedModelError(
            "it is not a model file of sklearn_iqt, because its metadata is missing."
        )
    if not all(isinstance(entry, str) for entry in metadata.values()):
        raise UntrustedModelError("its metadata is not text.")
    return metadata, table, n_bytes - 8 - length


def _check_format(document: dict) -> None:
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise UntrustedModelError(f"its format {str(version)[:40]!r} is not a version number.")
    if version < FORMAT:
        raise UntrustedModelError(
            f"its format {version} is from an older version of sklearn_iqt, which stored other "
            f"parameters. This version reads format {FORMAT}. Fit the model again."
        )
    if version > FORMAT:
        raise UntrustedModelError(
            f"its format {version} is newer than {FORMAT}, the format of this version of "
            "sklearn_iqt. Upgrade sklearn_iqt."
        )


def _check_table(table: Table, n_bytes: int) -> dict[str, np.dtype]:
    """Return the types of arrays in the order of the file; every byte must belong to one array."""
    ends = {}
    for name, entry in table.items():
        if not _NAME.match(name):
            raise UntrustedModelError(f"{name[:80]!r} is not a valid name of an array.")
        where = f"the array {name[:80]!r}"
        if not (isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}):
            raise UntrustedModelError(f"the description of {where} is damaged.")
        kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not (isinstance(kind, str) and kind in _DTYPES):
            raise UntrustedModelError(f"{where} has an unknown type.")
        if not (_are_sizes(shape) and len(shape) <= _MAX_AXES):
            raise UntrustedModelError(f"the shape of {where} is damaged.")
        if not (_are_sizes(place) and len(place) == 2):
            raise UntrustedModelError(f"the place of {where} is damaged.")
        ends[name] = place
    dtypes, start = {}, 0
    for name in sorted(ends, key=ends.__getitem__):
        dtypes[name] = np.dtype(_DTYPES[table[name]["dtype"]])
        end = start + math.prod(table[name]["shape"]) * dtypes[name].itemsize
        if ends[name] != [start, end]:
            raise UntrustedModelError(f"the place of the array {name[:80]!r} is damaged.")
        start = end
    if start != n_bytes:
        raise UntrustedModelError(
            f"its arrays are damaged: they take {start} bytes, but the file has {n_bytes} for them."
        )
    return dtypes


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= MAX_BYTES for n in value)


def _parse(content: bytes) -> dict:
    try:
        return parse_json(content)
    except ValueError as error:
        raise UntrustedModelError(f"its header is not valid JSON: {error}.") from error
