"""Links from the HTML representation of an estimator to its page of the documentation."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

_BUILT = Path(__file__).parents[1] / "docs" / "_build" / "html"


def documentation_url() -> str:
    """Return the address of the documentation, or an empty string if there is no documentation.

    The address is the environment variable ``SKLEARN_IQT_DOCS_URL`` if it is set. Otherwise it is
    the address in the metadata of the package, or the folder in which ``make docs`` builds the
    pages.

    Returns
    -------
    str
        Address without a trailing slash.
    """
    address = os.environ.get("SKLEARN_IQT_DOCS_URL") or _published_url()
    if not address and (_BUILT / "api" / "index.html").is_file():
        address = _BUILT.as_uri()
    return address.rstrip("/")


def _published_url() -> str:
    try:
        urls = metadata.metadata("sklearn-iqt").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from the source without an installation
        return ""
    by_label = dict(entry.split(", ", 1) for entry in urls)
    return by_label.get("Documentation", "")


class DocLinkMixin:
    """Add a link to the documentation, if available, to the HTML representation of an estimator."""

    _doc_link_module = "sklearn_iqt"

    @property
    def _doc_link_template(self) -> str:
        base = documentation_url().replace("{", "{{").replace("}", "}}")
        return base and base + "/api/{estimator_module}.{estimator_name}.html"
