"""Errors for missing optional dependencies, which name the extra to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn

from sklearn_iqt.exceptions import MissingExtraError


@contextmanager
def needs_extra(caller: str, extra: str, *packages: str) -> Iterator[None]:
    """Name the extra to install if an import of optional packages in this context fails.

    An error of a package that is installed but broken is raised unchanged.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise MissingExtraError(
            f"{caller} needs {' and '.join(packages)}, but {error.name} is not installed. "
            f'Run pip install "sklearn-iqt[{extra}]".'
        ) from error


@cache
def stand_in(name: str, message: str) -> type:
    """Return a class that can be imported and inspected, but raises the error when it is used."""

    def __new__(cls: type, *args: Any, **kwargs: Any) -> NoReturn:
        raise MissingExtraError(message)

    return type(name, (), {"__doc__": message, "__module__": "sklearn_iqt", "__new__": __new__})
