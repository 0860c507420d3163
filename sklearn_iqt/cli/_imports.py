"""Import modules that the user names, so that models may contain the classes in them."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path


def add_imports(parser: argparse.ArgumentParser) -> None:
    """Add the option on modules with classes of the user."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module or Python file that registers a class of your own; repeat for each. Its code "
        "is run",
    )


def import_modules(names: Iterable[str]) -> None:
    """Import modules by name, and files that end in .py by path."""
    for name in names:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            importlib.import_module(name)


def _import_file(path: Path) -> None:
    known = sys.modules.get(path.stem)
    if known is not None:
        source = getattr(known, "__file__", None)
        if source is not None and os.path.realpath(source) == os.path.realpath(path):
            return
        raise ValueError(f"--import: there is another module {path.stem!r}. Rename {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"--import: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
