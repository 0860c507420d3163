"""Configuration of Sphinx: ``make docs`` builds the site, and warnings are errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_reference  # noqa: E402

from sklearn_iqt import __version__  # noqa: E402

# Representations of estimators in the examples link to their pages, beside the gallery.
os.environ["SKLEARN_IQT_DOCS_URL"] = ".."

project = "sklearn_iqt"
author = "The sklearn_iqt developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "mathml",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "auto_examples/**/*.ipynb",
    "**/GALLERY_HEADER.rst",
    "api/commands.md",
]
default_role = "literal"

# Links to the documentation of other projects need a network.
if os.environ.get("SKLEARN_IQT_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "nibabel": ("https://nipy.org/nibabel", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    }

autodoc_typehints = "none"  # docstrings state types, with shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False

html_math_renderer = "mathml"
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"sklearn_iqt {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sklearn_iqt"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_prev_next": True,
    "navigation_with_keys": False,
}
html_sidebars = {page: [] for page in ("changelog", "contributing", "performance", "results")}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("sklearn_iqt",),
    "reference_url": {"sklearn_iqt": None},
    "within_subsection_order": "gallery_order.GalleryOrder",
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "default_thumb_file": str(HERE / "images" / "demo.png"),
    "min_reported_time": 60,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "plot_gallery": True,
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
}

api_reference.write_pages(HERE / "api")
