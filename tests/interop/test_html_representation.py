"""The HTML representation of an estimator links to its page of the documentation."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from instances import regressors, scalers
from sklearn.pipeline import make_pipeline

from sklearn_iqt import (
    CoupledDictionaryIQT,
    LowFieldSimulator,
    PatchTransformer,
    TissueScaler,
    _doc_link,
)
from sklearn_iqt.base import BaseIQTRegressor

DOCS = Path(__file__).parents[2] / "docs"
SITE = "https://iqt.example/stable"
# One of each class.
ESTIMATORS = list(
    {
        type(estimator): estimator
        for estimator in [
            *regressors(),
            *scalers(),
            LowFieldSimulator(),
            PatchTransformer(),
        ]
    }.values()
)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("SKLEARN_IQT_DOCS_URL", SITE + "/")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Names of the pages of the documentation."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        importlib.import_module("api_reference").write_pages(folder)
    return {path.stem for path in folder.glob("*.rst")}


def links(estimator):
    """Pages that the representation links to, without the position in the page."""
    found = re.findall(r'href="([^"#]*)', estimator._repr_html_())
    return {link for link in found if link}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_an_estimator_links_to_a_page_that_exists(site, pages, estimator):
    ours = {link for link in links(estimator) if "scikit-learn.org" not in link}
    name = type(estimator).__name__
    assert any(link.endswith(f".{name}.html") for link in ours)
    for link in ours:
        assert re.sub(r"\.html$", "", link.removeprefix(f"{SITE}/api/")) in pages


def test_in_a_pipeline_each_step_has_its_own_link(site):
    pipeline = make_pipeline(TissueScaler(), CoupledDictionaryIQT())
    assert {
        f"{SITE}/api/sklearn_iqt.preprocessing.TissueScaler.html",
        f"{SITE}/api/sklearn_iqt.dictionary.CoupledDictionaryIQT.html",
    } <= links(pipeline)


def test_pages_in_the_checkout_are_linked(monkeypatch, tmp_path):
    page = tmp_path / "a folder" / "api" / "sklearn_iqt.preprocessing.TissueScaler.html"
    page.parent.mkdir(parents=True)
    for name in ("index.html", page.name):
        page.with_name(name).write_text("<html></html>")
    monkeypatch.delenv("SKLEARN_IQT_DOCS_URL", raising=False)
    monkeypatch.setattr(_doc_link, "_published_url", lambda: "")
    monkeypatch.setattr(_doc_link, "_BUILT", tmp_path / "a folder")
    assert links(TissueScaler()) == {page.as_uri()}


def test_without_documentation_there_is_no_link(monkeypatch, tmp_path):
    monkeypatch.delenv("SKLEARN_IQT_DOCS_URL", raising=False)
    monkeypatch.setattr(_doc_link, "_published_url", lambda: "")
    monkeypatch.setattr(_doc_link, "_BUILT", tmp_path)
    assert not links(TissueScaler())
    assert "TissueScaler" in TissueScaler()._repr_html_()


def test_the_published_address_comes_from_the_metadata(monkeypatch):
    class Metadata:
        def get_all(self, name):
            return {"Project-URL": ["Source, https://code.example", f"Documentation, {SITE}"]}[name]

    monkeypatch.delenv("SKLEARN_IQT_DOCS_URL", raising=False)
    monkeypatch.setattr(_doc_link.metadata, "metadata", lambda name: Metadata())
    assert links(TissueScaler()) == {f"{SITE}/api/sklearn_iqt.preprocessing.TissueScaler.html"}


def test_an_estimator_of_another_package_does_not_link_to_our_pages(site):
    class Mine(BaseIQTRegressor):
        def __init__(self, patcher=None):
            self.patcher = patcher

    assert not links(Mine())
