"""Behaviour of the report in a browser."""

import re
from pathlib import Path

import numpy as np
import pytest
from report_page import EVIL, VIEW_AXES, Page, make_card

from sklearn_iqt.io import save_volume
from sklearn_iqt.plotting._slices import upright
from sklearn_iqt.report import write_report


@pytest.fixture
def visit(new_tab):
    """Open a page, and check afterwards that it made no request and reported no error."""
    messages, requests, opened = [], [], []

    def open_page(path: Path, **options):
        tab = new_tab(**options)
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        opened.append(path)
        tab.wait_for_selector("body[data-ready]")
        return tab

    yield open_page
    assert messages == []
    assert len(requests) == len(opened)
    assert all(url.startswith("file://") for url in requests)


def pixels(tab, view, shape):
    """Return the red channel of the main canvas at the centres of voxels, axes (right, up)."""
    flat = tab.evaluate(
        """([view, wide, high]) => {
            const canvas = document.querySelector(`#${view} canvas`);
            const { width, height } = canvas;
            const copy = Object.assign(document.createElement("canvas"), { width, height });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const read = context.getImageData(0, 0, width, height).data;
            const red = [];
            for (let x = 0; x < wide; x++)
                for (let y = 0; y < high; y++) {
                    const column = Math.floor(((x + 0.5) * width) / wide);
                    const row = Math.floor((1 - (y + 0.5) / high) * height);
                    red.push(read[4 * (row * width + column)]);
                }
            return red;
        }""",
        [view, *shape],
    )
    return np.array(flat).reshape(shape)


def test_browser_shows_the_slices_of_the_volumes(visit, page, pair):
    tab = visit(page)
    tab.uncheck("#cross")
    first, last = Page(page).setup["layers"][0]["window"]
    volumes = {
        "scan": np.repeat(np.asarray(pair.low.dataobj), 4, axis=2),
        "truth": np.asarray(pair.high.dataobj),
    }
    shown = {view: int(tab.input_value(f"#{view}-slice")) for view in VIEW_AXES}
    for label, voxels in volumes.items():
        tab.get_by_label(label, exact=True).check()
        turned = upright(voxels, pair.high.affine).voxels
        expected = np.clip((turned - first) / (last - first) * 255, 0, 255)
        for view, axis in VIEW_AXES.items():
            slice_ = np.take(expected, shown[view], axis=axis)
            np.testing.assert_allclose(pixels(tab, view, slice_.shape), slice_, atol=3)


@pytest.mark.parametrize("view", VIEW_AXES)
def test_browser_moves_through_slices_by_keyboard(visit, page, pair, view):
    tab = visit(page)
    tab.uncheck("#cross")
    tab.get_by_label("truth", exact=True).check()
    first, last = Page(page).setup["layers"][0]["window"]
    voxels = upright(np.asarray(pair.high.dataobj), pair.high.affine).voxels
    expected = np.clip((voxels - first) / (last - first) * 255, 0, 255)
    slider = tab.locator(f"#{view}-slice")
    slider.focus()
    seen = []
    for key, move in (("ArrowRight", 1), ("End", None), ("Home", None), ("PageUp", None)):
        before = int(slider.input_value())
        tab.keyboard.press(key)
        after = int(slider.input_value())
        assert move is None or after == before + move
        slice_ = np.take(expected, after, axis=VIEW_AXES[view])
        np.testing.assert_allclose(pixels(tab, view, slice_.shape), slice_, atol=3)
        assert f"slice {after + 1} of " in tab.locator(f"#{view} output").inner_text()
        seen.append(slice_.sum())
    assert len(set(seen)) > 2


def test_browser_switches_and_reads_values(visit, page, pair):
    tab = visit(page)
    layers = Page(page).setup["layers"]
    picture = pixels(tab, "axial", (40, 48))
    for n, layer in enumerate(layers):
        tab.keyboard.press(str(n + 1))
        assert tab.get_by_label(layer["label"], exact=True).is_checked()
        assert tab.inner_text("#note") == layer["note"]
        assert float(tab.inner_text("#last")) == pytest.approx(layer["window"][1], rel=0.01)
        assert (pixels(tab, "axial", (40, 48)) != picture).any() == (layer["name"] != "enhanced")
    voxels = upright(np.asarray(pair.high.dataobj), pair.high.affine).voxels
    cross = tuple(int(tab.input_value(f"#{view}-slice")) for view in reversed(VIEW_AXES))
    (shown,) = re.findall(r"truth [^0-9]*([\d.]+)", tab.inner_text("#readout"))
    assert float(shown) == pytest.approx(voxels[cross], abs=layers[0]["window"][1] / 100)


def test_browser_moves_the_cross_by_a_click(visit, page):
    tab = visit(page)
    box = tab.locator("#axial canvas").first.bounding_box()
    before = pixels(tab, "coronal", (40, 36))
    tab.mouse.click(box["x"] + 0.26 * box["width"], box["y"] + 0.26 * box["height"])
    # There are 40 voxels to the right, and 48 from the back to the front, which is the top.
    assert int(tab.input_value("#sagittal-slice")) == 10
    assert int(tab.input_value("#coronal-slice")) == 35
    assert (pixels(tab, "coronal", (40, 36)) != before).any()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_width_and_the_colour_scheme_of_the_browser(visit, page, width, scheme):
    tab = visit(page, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [tab.locator(f"#{view} canvas").first.bounding_box() for view in VIEW_AXES]
    # The head is 40 mm wide, 72 mm long and 72 mm high.
    for box, ratio in zip(boxes, (40 / 72, 40 / 72, 1), strict=True):
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.02)
    side_by_side = boxes[0]["y"] + boxes[0]["height"] == pytest.approx(
        boxes[1]["y"] + boxes[1]["height"]
    )
    assert side_by_side == (width > 700)
    background, text = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((color) => Number(color.match(/\\d+/)[0]))"
    )
    assert (background > text) == (scheme == "light")


def test_browser_runs_no_code_from_hostile_texts(visit, pair, model, tmp_path):
    card = make_card(EVIL, notes={EVIL: EVIL})
    scan = tmp_path / "<img src=x onerror=window.caught=1>.nii"
    save_volume(pair.low, scan)
    tab = visit(write_report(model, scan, tmp_path / "r.html", card=card, title=EVIL))
    assert tab.evaluate("window.caught") is None
    assert tab.locator("img").count() == 0
    assert tab.title() == " ".join(EVIL.split())


def test_browser_stops_injected_scripts_and_requests(new_tab, page, tmp_path):
    broken = page.read_text(encoding="utf-8").replace(
        "<main>",
        "<main><script>window.caught=1</script><img src='http://127.0.0.1:9/x' "
        "onerror='window.caught=2'>",
    )
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    tab = new_tab()
    sent = []
    tab.on("requestfinished", lambda request: sent.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector("body[data-ready]")
    assert tab.evaluate("window.caught") is None
    assert sent == [path.as_uri()]


def test_browser_shows_two_volumes_side_by_side_at_the_same_place(visit, page, pair):
    tab = visit(page)
    tab.uncheck("#cross")
    main, left = (tab.locator("#axial .picture").nth(n) for n in range(2))
    assert [picture.locator(".name").inner_text() for picture in (left, main)] == [
        "interpolation",
        "enhanced",
    ]
    boxes = [picture.bounding_box() for picture in (left, main)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[0]["y"] == boxes[1]["y"]
    # The same volume at both sides gives the same picture, and one at the left moves both.
    tab.select_option("#beside", label="truth")
    tab.get_by_label("truth", exact=True).check()
    same = """() => { const [a, b] = document.querySelectorAll('#coronal canvas');
        return a.toDataURL() === b.toDataURL() && a.toDataURL(); }"""
    before = tab.evaluate(same)
    assert before
    box = tab.locator("#axial .beside canvas").bounding_box()
    tab.mouse.click(box["x"] + 0.26 * box["width"], box["y"] + 0.3 * box["height"])
    assert int(tab.input_value("#sagittal-slice")) == 10
    after = tab.evaluate(same)
    assert after
    assert after != before
    tab.select_option("#beside", label="nothing")
    assert not tab.locator("#axial .beside").is_visible()


def test_browser_computes_the_errors_from_the_volumes(visit, page, pair, model):
    tab = visit(page)
    tab.uncheck("#cross")
    tab.get_by_label("error", exact=True).check()
    (window,) = (
        layer["window"] for layer in Page(page).setup["layers"] if layer["label"] == "error"
    )
    error = np.abs(np.asarray(model.predict([pair.low])[0].dataobj) - np.asarray(pair.high.dataobj))
    turned = upright(error, pair.high.affine).voxels
    cross = tuple(int(tab.input_value(f"#{view}-slice")) for view in reversed(VIEW_AXES))
    (shown,) = re.findall(r"; error (?:≥ )?([\d.]+)", tab.inner_text("#readout"))
    assert float(shown) == pytest.approx(min(turned[cross], window[1]), abs=6)
