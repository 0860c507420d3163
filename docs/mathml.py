"""Write equations as MathML, which browsers render without scripts and without a network."""

from __future__ import annotations

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

_TAG = re.compile(r"\\tag\{([^}]*)\}")


def _inline(self, node):
    self.body.append(convert(node.astext()))
    raise SkipNode


def _display(self, node):
    latex = node.astext()
    tag = _TAG.search(latex)
    number = f'<span class="eqno">({tag[1]})</span>' if tag else ""
    equation = convert(_TAG.sub("", latex), display="block")
    self.body.append(f'<div class="math">{number}{equation}</div>')
    raise SkipNode


def setup(app):
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
