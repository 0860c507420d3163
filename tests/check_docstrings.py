"""Check the docstring of every public name with numpydoc, by the settings in pyproject.toml.

Every default must be documented as ``name : type, default=value``, and equal the default in the
signature.

The hook of numpydoc reads files. This script checks the objects that a user can import: the names
in ``__all__`` of public modules, and the public methods and properties of their classes, including
those inherited from private modules of the package.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from numpydoc.docscrape import NumpyDocString
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate

import sklearn_iqt

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = (staticmethod, classmethod, property, cached_property)


def public_modules() -> Iterator[ModuleType]:
    """Yield the package and every module without an underscore that exports names."""
    yield sklearn_iqt
    for found in pkgutil.walk_packages(sklearn_iqt.__path__, "sklearn_iqt."):
        if "._" not in found.name:
            module = importlib.import_module(found.name)
            if hasattr(module, "__all__"):
                yield module


def public_names() -> Iterator[str]:
    """Yield the dotted name of every object that must have a docstring, once for each object."""
    seen = set()
    for module in public_modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isroutine(inspect.unwrap(thing))):
                continue  # a constant
            home = thing.__module__, thing.__qualname__
            if home in seen:
                continue
            seen.add(home)
            yield f"{module.__name__}.{name}"
            if inspect.isclass(thing):
                yield from (f"{module.__name__}.{name}.{m}" for m in members(thing))


def members(cls: type) -> Iterator[str]:
    """Yield the names of the methods and properties of a class that this package defines."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "sklearn_iqt":
            for name in vars(base):
                member = inspect.getattr_static(cls, name)  # a subclass may make it a constant
                if inspect.isfunction(member) or isinstance(member, MEMBERS):
                    names[name] = None
    yield from names


def wrong_defaults(thing: Any) -> Iterator[str]:
    """Yield a message for each default that differs between docstring and signature."""
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, BaseException)):
        return
    defaults = {p.name: p.default for p in inspect.signature(thing).parameters.values()}
    for documented in NumpyDocString(inspect.getdoc(thing) or "")["Parameters"]:
        if documented.type == "None":  # unused, for the conventions of scikit-learn
            continue
        _, stated, text = documented.type.partition(", default=")
        for name in documented.name.split(", "):
            default = defaults.get(name, inspect.Parameter.empty)
            if default is inspect.Parameter.empty:
                if stated:
                    yield f"{name} has no default, but its documentation has {text}"
            elif not stated:
                yield f"{name} has the default {default!r}, which is not documented"
            elif not _is_written(default, text):
                yield f"{name} has the default {default!r}, but its documentation has {text}"


def _is_written(value: Any, text: str) -> bool:
    try:
        stated = eval(text, {"__builtins__": {}})  # a constant, such as 2**29
    except NameError:  # a function or a type
        return text == getattr(value, "__name__", repr(value))
    return repr(stated) == repr(value)


def main() -> int:
    """Print all errors, and return the exit status."""
    config = parse_config(ROOT)
    names = [name for name in public_names() if not config["exclude"].search(name)]
    n_errors = 0
    for name in names:
        result = validate(name)
        for code, message in result["errors"]:
            if code in config["checks"]:
                n_errors += 1
                print(f"{result['file']}:{result['file_line']}: {name}: {code} {message}")
        for message in wrong_defaults(pydoc.locate(name)):
            n_errors += 1
            print(f"{result['file']}:{result['file_line']}: {name}: {message}")
    print(f"{n_errors} errors in the docstrings of {len(names)} public names.")
    return int(n_errors > 0)


if __name__ == "__main__":
    sys.exit(main())
