"""Where the HTML representation of an estimator finds its page of the documentation."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

_BUILT = Path(__file__).parents[1] / "docs" / "_build" / "html"


def documentation_url() -> str:
    """Return the address of the documentation, or an empty text if there is none.

    The environment variable ``SKLEARN_IQT_DOCS_URL`` comes first, then the address in the
    metadata of the package, then the folder of a checkout where ``make docs`` puts the pages.

    Returns
    -------
    str
        Address without a slash at its end.
    """
    address = os.environ.get("SKLEARN_IQT_DOCS_URL") or _published_url()
    if not address and (_BUILT / "api" / "index.html").is_file():
        address = _BUILT.as_uri()
    return address.rstrip("/")


def _published_url() -> str:
    try:
        urls = metadata.metadata("sklearn-iqt").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from its source
        return ""
    named = dict(entry.split(", ", 1) for entry in urls)
    return named.get("Documentation", "")


class DocLinkMixin:
    """Link the HTML representation of an estimator to its page, if there is documentation."""

    _doc_link_module = "sklearn_iqt"

    @property
    def _doc_link_template(self) -> str:
        base = documentation_url().replace("{", "{{").replace("}", "}}")
        return base and base + "/api/{estimator_module}.{estimator_name}.html"
