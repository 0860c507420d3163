"""Damage bytes as disks, networks and attackers do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]

PAGE = 4096


def _overwritten(content: bytes, start: int, block: bytes) -> bytes:
    return content[:start] + block[: len(content) - start] + content[start + len(block) :]


def flipped_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for position in rng.integers(len(content), size=rng.integers(1, 9)):
        changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def zeroed_tail(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace the end by zeros, as in a download that broke off on a preallocated file."""
    start = int(rng.integers(1, len(content)))
    return content[:start] + bytes(len(content) - start)


def erased_tail(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace the end by 0xff, as in erased flash memory."""
    start = int(rng.integers(1, len(content)))
    return content[:start] + b"\xff" * (len(content) - start)


def zeroed_page(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one page by zeros."""
    start = PAGE * int(rng.integers(-(-len(content) // PAGE)))
    return _overwritten(content, start, bytes(PAGE))


def repeated_page(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one page by another one."""
    n_pages = -(-len(content) // PAGE)
    source, target = PAGE * rng.integers(n_pages, size=2)
    return _overwritten(content, int(target), content[source : source + PAGE])


def random_page(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace up to one page by random bytes."""
    start = int(rng.integers(len(content)))
    return _overwritten(content, start, rng.bytes(int(rng.integers(1, PAGE))))


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Remove the end."""
    return content[: int(rng.integers(len(content)))]


def missing_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Remove a part from the middle."""
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, PAGE)) :]


def inserted_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Insert random bytes."""
    start = int(rng.integers(len(content) + 1))
    return content[:start] + rng.bytes(int(rng.integers(1, PAGE))) + content[start:]


def moved_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Move a part to another place."""
    start, length = int(rng.integers(len(content))), int(rng.integers(1, PAGE))
    block, rest = content[start : start + length], content[:start] + content[start + length :]
    place = int(rng.integers(len(rest) + 1))
    return rest[:place] + block + rest[place:]


def appended(content: bytes, rng: np.random.Generator) -> bytes:
    """Append random bytes, or the file itself."""
    return content + (content if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, PAGE))))


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        flipped_bits,
        zeroed_tail,
        erased_tail,
        zeroed_page,
        repeated_page,
        random_page,
        cut,
        missing_block,
        inserted_bytes,
        moved_block,
        appended,
    )
}
