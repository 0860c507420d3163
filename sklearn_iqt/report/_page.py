"""Write the HTML of a report: text, style, script and voxels in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from importlib import resources
from string import Template
from typing import Any

from sklearn_iqt.plotting._slices import VIEWS
from sklearn_iqt.report._layers import Layer, describe, pack
from sklearn_iqt.report._sections import Section, Table

# The style of cells that may be broken between any two letters. Numbers may not.
_LONG = ' class="long"'


def make_page(
    title: str,
    layers: Sequence[Layer],
    reference: Layer,
    position: Sequence[float],
    sections: Sequence[Section],
) -> str:
    """Return the HTML of a report.

    Text from files is never run as code. Texts are escaped, numbers are JSON without the character
    that starts a tag, and the content security policy allows only the script with the given
    checksum.
    """
    style, script = _asset("page.css"), _asset("page.js")
    viewer = {
        "layers": [describe(layer, reference.scan) for layer in layers],
        "reference": [layer.name for layer in layers].index(reference.name),
        "affine": reference.scan.affine.tolist(),
        "position": [float(voxel) for voxel in position],
        "views": [{"name": n, "axis": axis, "letters": two} for n, (axis, two) in VIEWS.items()],
    }
    policy = (
        f"default-src 'none'; style-src {_checksum(style)}; script-src {_checksum(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        title=escape(title),
        policy=escape(policy, quote=False),
        style=style,
        script=script,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        choices="\n".join(
            f'<label><input type="radio" name="layer" value="{n}"'
            f"{' checked' if layer is reference else ''}> {escape(layer.label)}</label>"
            for n, layer in enumerate(layers)
        ),
        views="\n".join(map(_view, VIEWS)),
        sections="\n".join(map(_section, sections)),
        viewer=_json(viewer),
        voxels="\n".join(
            f'<script type="text/plain" id="voxels-{escape(layer.name)}">{pack(layer)}</script>'
            for layer in layers
        ),
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    """Return the checksum of an inline style or script, as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _view(name: str) -> str:
    left, right, bottom, top = list(VIEWS[name][1])
    return f"""<figure class="view" id="{name}">
<div class="picture"><canvas role="img" aria-label="{name} slice"></canvas>
<span class="side left">{left}</span><span class="side right">{right}</span>
<span class="side bottom">{bottom}</span><span class="side top">{top}</span></div>
<figcaption><label for="{name}-slice">{name}</label>
<input type="range" id="{name}-slice" min="0" step="1"><output for="{name}-slice"></output>
</figcaption>
</figure>"""


def _section(section: Section) -> str:
    parts = [f"<section><h2>{escape(section.heading)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.intro]
    parts += [_table(table) for table in section.tables]
    parts += [f'<p class="limit">{escape(text)}</p>' for text in section.limits]
    return "\n".join([*parts, "</section>"])


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.header)
    rows = [f"<thead><tr>{head}</tr></thead>" if head else "", "<tbody>"]
    for first, *cells in table.rows:
        tail = "".join(f"<td{_LONG * (len(cell) > 24)}>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{tail}</tr>')
    return f'<div class="scroll"><table>{"".join(rows)}</tbody></table></div>'
