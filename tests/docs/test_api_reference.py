"""The API reference has a page for every public name, and the pages match the package."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import pytest

import sklearn_iqt

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference():
    """Return the module that writes the pages."""
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("api_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_every_public_module_has_a_section(reference):
    assert sorted(reference.SECTIONS) == sorted(reference.public_modules())


def test_every_public_name_has_a_page_and_a_line_of_text(reference, tmp_path):
    reference.write_pages(tmp_path)
    index = (tmp_path / "index.rst").read_text()
    for module in reference.public_modules():
        for name in reference.public_names(module):
            page = (tmp_path / f"{module}.{name}.rst").read_text()
            assert f"import {name}\n" in page
            assert f":: {name}\n" in page
            assert f"<{module}.{name}>`" in index
            assert reference._summary(module, name).endswith("."), f"{module}.{name}"


def test_every_name_of_the_top_level_has_a_page_of_its_module(reference):
    names = set(sklearn_iqt.__all__) - {"__version__"}
    assert {name for name in names if reference._home(name)} == names


def test_constants_are_distinguished_from_functions_and_classes(reference):
    constants = {
        f"{module}.{name}"
        for module in reference.public_modules()
        for name in reference.public_names(module)
        if not (
            inspect.isclass(thing := getattr(importlib.import_module(module), name))
            or inspect.isfunction(inspect.unwrap(thing))
        )
    }
    assert constants == set(reference.CONSTANTS)


def test_pages_of_estimators_list_inherited_methods_of_this_package(reference):
    page = reference._name_page("sklearn_iqt.dictionary", "CoupledDictionaryIQT")
    for method in ("fit", "predict", "score", "transform"):
        assert f".. automethod:: {method}\n" in page
    assert "get_metadata_routing" not in page


def test_pages_of_removed_names_are_deleted(reference, tmp_path):
    (tmp_path / "sklearn_iqt.gone.rst").write_text("gone")
    reference.write_pages(tmp_path)
    assert not (tmp_path / "sklearn_iqt.gone.rst").exists()


def test_every_command_is_on_the_page_of_the_command_line(reference, tmp_path):
    reference.write_pages(tmp_path)
    page = (tmp_path / "commands.md").read_text()
    assert {"simulate", "fit", "enhance", "evaluate", "bids", "demo"} <= set(reference.commands())
    for command in reference.commands():
        assert f"## {command}\n" in page
        assert f"usage: sklearn-iqt {command} " in page
