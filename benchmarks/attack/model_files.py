"""Take model files apart, change them and put them together again, as an attacker can."""

import hashlib
import json

from safetensors.numpy import load, save


def split(content):
    """Return the header of a file and the bytes of its arrays."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header, body):
    """Return the bytes of a file. A header that is a dict gets the right checksum."""
    text = header
    if not isinstance(header, bytes):
        table = dict(header)
        metadata = dict(table.pop("__metadata__"))
        signed = json.dumps([metadata["sklearn_iqt"], table], sort_keys=True, separators=(",", ":"))
        metadata["sha256"] = hashlib.sha256(signed.encode() + body).hexdigest()
        text = json.dumps({"__metadata__": metadata, **table}).encode()
    return len(text).to_bytes(8, "little") + text + body


def change(content, edit):
    """Return the bytes of a file after an edit of its document."""
    header, body = split(content)
    document = json.loads(header["__metadata__"]["sklearn_iqt"])
    edit(document)
    header["__metadata__"]["sklearn_iqt"] = json.dumps(document)
    return join(header, body)


def swap(content, **arrays):
    """Return the bytes of a file with other arrays."""
    header, _ = split(content)
    return join(*split(save({**load(content), **arrays}, metadata=header["__metadata__"])))


def at(*keys, value):
    """Return an edit of the document that sets one value."""

    def edit(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return edit


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value
