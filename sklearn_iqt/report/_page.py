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
from sklearn_iqt.report._layers import Layer, describe
from sklearn_iqt.report._sections import Section, Table
from sklearn_iqt.report._verdict import Verdict

# The style of cells that may be broken between any two letters. Numbers may not.
_LONG = ' class="long"'


def make_page(
    title: str,
    verdict: Verdict,
    layers: Sequence[Layer],
    packed: Sequence[str],
    step: float,
    *,
    reference: Layer,
    beside: Layer,
    position: Sequence[float],
    sections: Sequence[Section],
) -> str:
    """Return the HTML of a report.

    The viewer shows the reference, with the layer `beside` at its left. The texts in `packed` are
    the voxels of the layers, and `step` is their rounding, see :mod:`sklearn_iqt.report._layers`.

    Text from files is never run as code. Texts are escaped, numbers are JSON without the character
    that starts a tag, and the content security policy allows only the script with the given
    checksum.
    """
    style, script = _asset("page.css"), _asset("page.js")
    viewer = {
        "layers": [describe(layer, reference.scan, step) for layer in layers],
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
        besides="\n".join(
            ['<option value="-1">nothing</option>']
            + [
                f'<option value="{n}"{" selected" if layer is beside else ""}>'
                f"{escape(layer.label)}</option>"
                for n, layer in enumerate(layers)
            ]
        ),
        verdict=_verdict(verdict),
        views="\n".join(map(_view, VIEWS)),
        sections="\n".join(map(_section, sections)),
        viewer=_json(viewer),
        voxels="\n".join(
            f'<script type="text/plain" id="voxels-{escape(layer.name)}">{text}</script>'
            for layer, text in zip(layers, packed, strict=True)
        ),
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    """Return the checksum of an inline style or script, as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _verdict(verdict: Verdict) -> str:
    reasons = "".join(f"<li>{escape(text)}</li>" for text in verdict.reasons)
    return f"""<section class="verdict {verdict.kind}" aria-label="Verdict">
<p class="headline">{escape(verdict.headline)}</p>
<ul>{reasons}</ul>
<p class="limit">{escape(verdict.limit)}</p>
</section>"""


def _view(name: str) -> str:
    pictures = "\n".join(_picture(name, *kind) for kind in (("", ""), (" beside", ", beside")))
    return f"""<figure class="view" id="{name}">
<div class="pictures">
{pictures}
</div>
<figcaption><label for="{name}-slice">{name}</label>
<input type="range" id="{name}-slice" min="0" step="1"><output for="{name}-slice"></output>
</figcaption>
</figure>"""


def _picture(view: str, style: str, words: str) -> str:
    left, right, bottom, top = list(VIEWS[view][1])
    return f"""<div class="picture{style}">
<canvas role="img" aria-label="{view} slice{words}"></canvas>
<span class="side name"></span>
<span class="side left">{left}</span><span class="side right">{right}</span>
<span class="side bottom">{bottom}</span><span class="side top">{top}</span></div>"""


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
