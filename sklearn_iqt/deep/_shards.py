"""Many tensors and a document in a folder of small files, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors

from sklearn_iqt.io import replaced_file

__all__ = ["MANIFEST", "SHARD_BYTES", "read_shards", "write_shards"]

# Services that move files between machines often refuse more than 16 MiB.
SHARD_BYTES = 15 * 2**20
MANIFEST = "manifest.json"
FORMAT = {"format": "sklearn-iqt checkpoint", "version": 2}


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
    ValueError
        If a file is missing or not what was written.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        known = {key: manifest.get(key) for key in FORMAT}
        shards, document = list(manifest["shards"]), dict(manifest["document"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"cannot be read ({error!r})") from error
    if known != FORMAT:
        raise ValueError(
            f"{path} says {known}, but this version of sklearn_iqt reads {FORMAT}. Continue with "
            "the version that wrote it, or choose another folder to start a new training."
        )
    whole = bytearray()
    for name in shards:
        path = folder / Path(str(name)).name
        if not path.is_file():
            raise _damaged(path, "is missing")
        part = path.read_bytes()
        if f"{hashlib.sha256(part).hexdigest()}.shard" != name:
            raise _damaged(path, "is not what was written")
        whole += part
    return parse_tensors(bytes(whole)), document


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path}: {what}, so training cannot continue from this checkpoint. Copy the whole folder "
        "again, or choose another folder to start a new training."
    )
