"""Take model files apart, change them and put them together again."""

import json

from safetensors.numpy import load, save


def split(content):
    """Return the header of a file and the bytes of its arrays."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
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
    return save({**load(content), **arrays}, metadata=header["__metadata__"])


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
