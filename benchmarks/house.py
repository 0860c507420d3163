"""Measure the rooms of the package: files, lines, public names and the longest function.

    python -m benchmarks.house
    python -m benchmarks.house --root ../other-checkout

A room is a folder of the package, or a public module beside these folders. The other modules at the
top are the room "(top level)". Public names are the ``__all__`` of all public modules of a room.
The total leaves out the names of the top level, which are re-exported from the rooms. The length of
a function is its number of lines without the docstring. Files are only parsed, not imported, so
that any revision can be measured.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.tables import format_table

PACKAGE = "sklearn_iqt"
TOP = "(top level)"


def find_rooms(package: Path) -> dict[str, list[Path]]:
    """Return the Python files of each room, the rooms in alphabetical order."""
    rooms = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        rooms[TOP if room.startswith("_") else room].append(path)
    return dict(sorted(rooms.items()))


def public_names(path: Path) -> set[str]:
    """Return ``__all__`` of a public module or package, and an empty set for private ones."""
    if path.stem.startswith("_") and path.name != "__init__.py":
        return set()
    stub = path.with_suffix(".pyi")
    if stub.exists():  # its imports are the names that lazy_loader loads
        tree = ast.parse(stub.read_text(encoding="utf-8"))
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        return {alias.asname or alias.name for node in imports for alias in node.names}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return set(read_names(values.get("__all__"), values))


def read_names(node: ast.AST | None, values: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the strings of a list or of the keys of a dictionary, following names and ``*``."""
    if isinstance(node, ast.Constant):
        yield node.value
    elif isinstance(node, ast.Starred):
        yield from read_names(node.value, values)
    elif isinstance(node, ast.Name):
        yield from read_names(values[node.id], values)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for element in node.elts:
            yield from read_names(element, values)
    elif isinstance(node, ast.Dict):
        for key in node.keys:
            yield from read_names(key, values)
    elif node is not None:
        raise ValueError(f"__all__ must be a list of strings, got {ast.unparse(node)}.")


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the length and the place of each function of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                length -= docstring.end_lineno - docstring.lineno + 1
            yield length, f"`{node.name}`, {path.name}:{node.lineno}"


def measure(files: list[Path]) -> list[Any]:
    """Return the number of files, lines and public names, and the longest function."""
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    names = set().union(*(public_names(path) for path in files))
    found = (function for path in files for function in functions(path))
    length, place = max(found, default=(0, ""))
    return [len(files), lines, len(names), length, place]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help="checkout to measure"
    )
    arguments = parser.parse_args(argv)
    package = arguments.root / PACKAGE
    if not (package / "__init__.py").exists():
        parser.error(f"--root must be a checkout with {PACKAGE}/, got {arguments.root}.")
    rooms = find_rooms(package)
    rows = [[room, *measure(files)] for room, files in rooms.items()]
    total = [sum(column) for column in list(zip(*rows, strict=True))[1:4]]
    total[2] -= sum(row[3] for row in rows if row[0] == TOP)
    longest = max(rows, key=lambda row: row[4])
    rows.append(["total", *total, longest[4], longest[5]])
    header = ["room", "files", "lines", "public names", "longest function, lines", "which"]
    print(format_table(header, rows))


if __name__ == "__main__":
    main()
