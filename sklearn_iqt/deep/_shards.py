"""Many tensors and a document in a folder of small files, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors

from sklearn_iqt._strict_json import canonical_json, parse_json
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.io import replaced_file
from sklearn_iqt.io._open import read_small

__all__ = ["MANIFEST", "SHARD_BYTES", "read_shards", "write_shards"]

# Services that move files between machines often refuse more than 16 MiB.
SHARD_BYTES = 15 * 2**20
MANIFEST = "manifest.json"
FORMAT = {"format": "sklearn-iqt checkpoint", "version": 3}
# Bytes of the list of shards and the document, which has a few numbers for each epoch.
_MAX_MANIFEST = 2**26
_SHARD = re.compile(r"[0-9a-f]{64}\.shard\Z")


def write_shards(
    folder: Path, tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any]
) -> None:
    """Write a state next to the one that the folder holds, then switch to it.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    tensors : mapping of str to Tensor
        On any device.
    document : mapping
        Anything that JSON can say.

    Notes
    -----
    The tensors make one safetensors file, cut into shards that are named by their SHA-256. The
    manifest lists them and holds the document; replacing it is the switch. Shards of the old state
    go only after that, so whenever the writing is killed, the manifest has all its shards.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_shards(Path(folder), {"weight": torch.ones(2)}, {"step": 3})
    ...     read_shards(Path(folder))
    ({'weight': tensor([1., 1.])}, {'step': 3})
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = memoryview(
        format_tensors({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    )
    shards = []
    for start in range(0, len(whole), SHARD_BYTES):
        part = whole[start : start + SHARD_BYTES]
        shards.append(f"{hashlib.sha256(part).hexdigest()}.shard")
        with replaced_file(folder / shards[-1]) as stream:
            stream.write(part)
    with replaced_file(folder / MANIFEST) as stream:
        manifest = {**FORMAT, "shards": shards, "document": document}
        manifest["sha256"] = hashlib.sha256(canonical_json(manifest)).hexdigest()
        stream.write(json.dumps(manifest, indent=1).encode())
    for pattern in ("*.shard", ".*.part"):
        for path in folder.glob(pattern):
            if path.name not in shards:
                path.unlink(missing_ok=True)


def read_shards(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the state that a folder holds.

    Parameters
    ----------
    folder : Path
        What :func:`write_shards` wrote.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU.
    document : dict
        As it was written, but for tuples, which are lists now.

    Raises
    ------
    UntrustedModelError
        If a file is missing, damaged or of another version.
    OSError
        If a file cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = parse_json(read_small(path, _MAX_MANIFEST), finite=False)
    except ValueError as error:
        raise _damaged(path, f"it cannot be read, because {error}") from error
    known = {key: manifest.get(key) for key in FORMAT}
    if known != FORMAT:
        raise UntrustedModelError(
            f"{path} says {known}, but this version of sklearn_iqt reads {FORMAT}. Continue with "
            "the version that wrote it, or choose another folder to start a new training."
        )
    digest = manifest.pop("sha256", None)
    if hashlib.sha256(canonical_json(manifest)).hexdigest() != digest:
        raise _damaged(path, "its checksum differs from its content")
    shards, document = manifest.get("shards"), manifest.get("document")
    if not (
        set(manifest) == {*FORMAT, "shards", "document"}
        and isinstance(document, dict)
        and isinstance(shards, list)
        and all(isinstance(name, str) and _SHARD.match(name) for name in shards)
    ):
        raise _damaged(path, "it does not describe a checkpoint")
    whole = bytearray()
    for name in shards:
        path = folder / name
        try:
            part = read_small(path, SHARD_BYTES)
        except FileNotFoundError:
            raise _damaged(path, "the file is missing") from None
        except ValueError as error:
            raise _damaged(path, str(error)) from error
        if f"{hashlib.sha256(part).hexdigest()}.shard" != name:
            raise _damaged(path, "its checksum differs from its content")
        whole += part
    try:
        tensors = parse_tensors(bytes(whole))
    except Exception as error:  # SafetensorError is not a subclass of a standard error
        raise _damaged(folder, f"its tensors cannot be read ({error})") from error
    return tensors, document


def _damaged(path: Path, fault: str) -> UntrustedModelError:
    return UntrustedModelError(
        f"{path}: {fault}, so training cannot continue from this checkpoint. Copy the whole folder "
        "again, or choose another folder to start a new training."
    )
