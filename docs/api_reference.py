"""Write the pages of the API reference, one for each public name.

Names come from the ``__all__`` of every public module, so a new name gets a page when it is
exported. This file contains only the titles of modules and the descriptions of constants.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
from pathlib import Path
from unittest import mock

import sklearn_iqt
from sklearn_iqt.cli import main
from sklearn_iqt.metrics._scorers import METRICS

# Titles of the modules, in the order of the index.
SECTIONS = {
    "sklearn_iqt.dictionary": "Coupled dictionaries",
    "sklearn_iqt.compose": "Baseline, and any regressor",
    "sklearn_iqt.deep": "Nets",
    "sklearn_iqt.patches": "Patches",
    "sklearn_iqt.simulation": "Simulation",
    "sklearn_iqt.preprocessing": "Intensities and grids",
    "sklearn_iqt.prepare": "Pairs from real scans",
    "sklearn_iqt.metrics": "Metrics",
    "sklearn_iqt.datasets": "Brains to try things on",
    "sklearn_iqt.plotting": "Plots",
    "sklearn_iqt.checks": "Checks of a scan",
    "sklearn_iqt.report": "Report on a scan",
    "sklearn_iqt.persistence": "Model files",
    "sklearn_iqt.io": "Volumes and files",
    "sklearn_iqt.base": "The template of all estimators",
    "sklearn_iqt.exceptions": "Errors and warnings",
    "sklearn_iqt.cli": "Command line",
    "sklearn_iqt.deep.modules": "Nets in plain torch",
}

# Constants do not have docstrings.
CONSTANTS = {
    **{
        f"sklearn_iqt.metrics.{name}_scorer": (
            f"Scorer of {'minus ' if name.startswith('neg_') else ''}:func:`{metric.__name__}`, "
            "for ``scoring=`` of scikit-learn's model selection."
        )
        for name, metric in METRICS.items()
    },
    "sklearn_iqt.simulation.SNR_PRESETS": (
        "Distributions of signal-to-noise ratios by name; :func:`get_snr` describes each."
    ),
}

EXAMPLES = Path(__file__).parents[1] / "examples"

INDEX = """\
.. _api:

=============
API reference
=============

All public names, by module. Names in the first table can also be imported from ``sklearn_iqt``
itself. This is cheap, because a module is loaded when one of its names is first used. Only
``sklearn_iqt.deep`` loads torch.

.. toctree::
   :hidden:

{toctree}

"""


def public_modules() -> list[str]:
    """Return the public modules of the package that export names."""
    found = pkgutil.walk_packages(sklearn_iqt.__path__, "sklearn_iqt.")
    return [
        info.name
        for info in found
        if not any(part.startswith("_") for part in info.name.split("."))
        and hasattr(importlib.import_module(info.name), "__all__")
    ]


def public_names(module: str) -> list[str]:
    """Return the names that a module exports."""
    return list(importlib.import_module(module).__all__)


def commands() -> list[str]:
    """Return the commands of ``sklearn-iqt``."""
    return re.findall(r"^    (\w+) ", _help(), flags=re.MULTILINE)


def write_pages(folder: Path) -> None:
    """Write the index, a page for every module and one for every name; remove outdated pages."""
    pages = {"index.rst": _index()}
    for module, title in SECTIONS.items():
        pages[f"{module}.rst"] = _module_page(module, title)
        for name in public_names(module):
            pages[f"{module}.{name}.rst"] = _name_page(module, name)
    pages["commands.md"] = _commands_page()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for filename, text in pages.items():
        path = folder / filename
        # Sphinx does not build unchanged pages again.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _help(*arguments: str) -> str:
    """Return the output of ``sklearn-iqt ... --help``."""
    width = mock.patch.dict(os.environ, COLUMNS="88")
    with width, contextlib.redirect_stdout(io.StringIO()) as printed:
        main([*arguments, "--help"])
    return printed.getvalue()


def _commands_page() -> str:
    return "\n".join(f"## {name}\n\n```text\n{_help(name)}```\n" for name in commands())


def _index() -> str:
    parts = [INDEX.format(toctree="\n".join(f"   {module}" for module in SECTIONS))]
    top = [(module, name) for name in sklearn_iqt.__all__ if (module := _home(name))]
    parts += [_heading("From sklearn_iqt", "-"), _table(top)]
    for module, title in SECTIONS.items():
        parts += [_heading(f"{title}: {module}", "-"), _table_of(module)]
    return "\n".join(parts)


def _home(name: str) -> str | None:
    """Return the module that documents a name of the top level."""
    return next((module for module in SECTIONS if name in public_names(module)), None)


def _heading(title: str, underline: str) -> str:
    return f"{title}\n{underline * len(title)}\n"


def _module_page(module: str, title: str) -> str:
    toctree = "\n".join(f"   {module}.{name}" for name in public_names(module))
    return (
        f"{_heading(f'{title}: {module}', '=')}\n{_docstring(module)}\n\n"
        f".. toctree::\n   :hidden:\n\n{toctree}\n\n{_table_of(module)}"
    )


def _docstring(module: str) -> str:
    return inspect.getdoc(importlib.import_module(module)) or ""


def _table_of(module: str) -> str:
    return _table([(module, name) for name in public_names(module)])


def _table(names: list[tuple[str, str]]) -> str:
    rows = [".. list-table::", "   :widths: 35 65", "   :class: api-table", ""]
    for module, name in names:
        rows += [f"   * - :doc:`{name} <{module}.{name}>`", f"     - {_summary(module, name)}"]
    return "\n".join(rows) + "\n"


def _summary(module: str, name: str) -> str:
    constant = CONSTANTS.get(f"{module}.{name}")
    if constant:
        return constant.replace("`", "``").replace(":func:", "")
    doc = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    return doc.strip().split("\n\n")[0].replace("\n", " ").replace("`", "``").replace("````", "``")


def _name_page(module: str, name: str) -> str:
    thing = getattr(importlib.import_module(module), name)
    home = "sklearn_iqt" if name in sklearn_iqt.__all__ else module
    head = (
        f"{_heading(name, '=')}\n.. code-block:: python\n\n   from {home} import {name}\n\n"
        f".. currentmodule:: {module}\n\n"
    )
    if f"{module}.{name}" in CONSTANTS:
        return f"{head}.. py:data:: {name}\n\n   {CONSTANTS[f'{module}.{name}']}\n"
    if inspect.isclass(thing):
        members = "\n".join(
            f"   .. auto{'method' if callable(getattr(thing, member)) else 'property'}:: {member}\n"
            for member in _members(thing)
        )
        body = f".. autoclass:: {name}\n\n{members}"
        if hasattr(thing, "get_params"):
            body += (
                "\n   ``get_params``, ``set_params``, ``set_output`` and the requests of metadata "
                "routing work as in\n   every estimator of scikit-learn.\n"
            )
    else:
        body = f".. autofunction:: {name}\n"
    if _is_in_gallery(name):
        body += f"\n.. minigallery:: {home}.{name}\n   :add-heading: Examples\n"
    return head + body


def _is_in_gallery(name: str) -> bool:
    return any(re.search(rf"\b{name}\b", path.read_text()) for path in EXAMPLES.glob("plot_*.py"))


def _members(thing: type) -> list[str]:
    """Return the public methods and properties that are defined in this package."""
    names = []
    for name in dir(thing):
        member = inspect.getattr_static(thing, name)
        if name.startswith("_") or name == "set_params":
            continue
        function = getattr(member, "__func__", getattr(member, "fget", None)) or member
        function = getattr(function, "func", function)  # cached_property
        if getattr(function, "__module__", "").startswith("sklearn_iqt") and callable(function):
            names.append(name)
    return names
