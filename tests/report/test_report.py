"""The page on one scan: what it says, what it shows in a browser, and what cannot get into it."""

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_iqt import InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.persistence import ModelCard, TrainingCard
from sklearn_iqt.plotting._slices import Scan, upright
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.report import write_report
from sklearn_iqt.report._layers import Layer, describe, pack
from sklearn_iqt.report._quality import (
    _white_matter_noise,
    estimate_quality,
    measure_consistency,
)
from sklearn_iqt.report._shift import shift_section
from sklearn_iqt.simulation import LowFieldSimulator, degrade

# Left, superior and posterior: turning it upright flips two axes and swaps two.
AFFINE = np.array([[-1.0, 0, 0, 12], [0, 0, -1.5, 20], [0, 2.0, 0, -8], [0, 0, 0, 1]])
VIEW_AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
EVIL = '"\'><img src=x onerror="window.caught=1"></script><script>window.caught=1</script>&lt;'


def make_labels(shape=(40, 36, 48)):
    """Return a label map of shells, thick enough to hold pure voxels."""
    i, j, k = np.indices(shape) - (np.reshape(shape, (3, 1, 1, 1)) - 1) / 2
    radius = np.sqrt((i / shape[0]) ** 2 + (j / shape[1]) ** 2 + (k / shape[2]) ** 2)
    return np.digitize(-radius, [-0.46, -0.41, -0.3])


def make_card(version="0", **training):
    """Return the card of a model file."""
    return ModelCard(
        class_name="PatchwiseRegressor",
        params={},
        version=version,
        training=TrainingCard(**training),
        format=2,
        arrays={},
    )


@pytest.fixture(scope="module")
def pair():
    """A simulated scan, its truth, and the pair of signal-to-noise ratios."""
    labels = make_labels()
    high = np.array([0, 50.0, 200, 300])[labels].astype(np.float32)
    image = nibabel.Nifti1Image(high, AFFINE)
    drawn = LowFieldSimulator(random_state=0).simulate([image], [labels], snr=[(60, 40)])
    return SimpleNamespace(low=drawn.low[0], high=drawn.high[0], snr=drawn.snr[0])


@pytest.fixture(scope="module")
def model(pair):
    return PatchwiseRegressor(max_patches=2000, random_state=0).fit([pair.low], [pair.high])


@pytest.fixture(scope="module")
def page(pair, model, tmp_path_factory):
    """Path of a page with everything in it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    card = make_card(version="1", snr_presets=["t1w_036t"], spacing_low_mm=[1, 2, 6])
    return write_report(model, pair.low, path, truth=pair.high, card=card)


class Page(HTMLParser):
    """The tags and the text of a page, as a browser splits them."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.blocks, self.cells, self._open = [], {}, [], None
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs).get("id"))
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self._open and self._open[0] in ("th", "td"):
            self.cells[-1] += data
        self.blocks[self._open] = self.blocks.get(self._open, "") + data

    def handle_endtag(self, tag):
        self._open = None

    def after(self, text, n=1):
        """Return the cell that follows another."""
        return self.cells[self.cells.index(text) + n]

    @property
    def setup(self):
        return json.loads(self.blocks["script", "setup"])


def unpack(text, layer):
    """Return the levels of a volume, written as plainly as can be."""
    stored = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    differences = stored.reshape(layer["shape"], order="F").astype(int)
    levels = np.zeros([n + 1 for n in layer["shape"]], int)
    for i, j, k in np.ndindex(*layer["shape"]):
        before = levels[i, j + 1, k + 1] + levels[i + 1, j, k + 1] + levels[i + 1, j + 1, k]
        levels[i + 1, j + 1, k + 1] = (differences[i, j, k] + before // 3) % 256
    return levels[1:, 1:, 1:]


def test_page_holds_all_volumes_as_they_are(page, pair, model):
    read = Page(page)
    layers = {layer["name"]: layer for layer in read.setup["layers"]}
    assert list(layers) == ["low", "enhanced", "truth", "error", "residual", "spread"]
    enhanced, spread = model.predict([pair.low], return_std=True)
    first, last = layers["low"]["window"]
    assert [layers[name]["window"] for name in ("enhanced", "truth")] == [[first, last]] * 2
    for name, image, top in (
        ("low", pair.low, 255),
        ("truth", pair.high, 255),
        ("enhanced", enhanced[0], 255),
        ("spread", spread[0], 63),
    ):
        layer = layers[name]
        voxels = upright(np.asarray(image.dataobj), image.affine).voxels
        first, last = layer["window"]
        expected = np.clip((voxels - first) / (last - first) * top, 0, top)
        levels = unpack(read.blocks["script", f"voxels-{name}"], layer)
        assert np.abs(levels - expected).max() <= 0.51, name


def test_low_voxels_lie_on_their_high_voxels():
    voxels = np.zeros((4, 6, 2), np.float32)
    for alignment, origin in (("center", 1.5 * 2.0), ("corner", 0.0)):
        fine = Scan(np.zeros((4, 6, 8), np.float32), np.diag([1.0, 1.5, 2.0, 1.0]))
        low = Scan(voxels, scaled_affine(fine.affine, (1, 1, 0.25), alignment))
        layer = describe(Layer("low", "", "", low, (0, 1)), fine)
        assert layer["origin"] == pytest.approx([0, 0, origin], abs=1e-9)
        assert layer["step"] == pytest.approx([1, 1.5, 8.0])


def test_voxels_out_of_the_window_are_cut_not_wrapped():
    scan = Scan(np.array([[[-1e9, 0, 5, 10, 1e9]]]), np.eye(4))
    layer = Layer("low", "", "", scan, (0.0, 10.0))
    levels = unpack(pack(layer), describe(layer, scan))
    assert levels.ravel().tolist() == [0, 0, 128, 255, 255]


def test_page_needs_and_reaches_nothing_else(page):
    read = Page(page)
    for tag, attributes in read.tags:
        assert not {"src", "href", "style", "action"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert not re.search(r"https?:|url\(|@import", read.source)
    policy = next(a["content"] for _, a in read.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        text = read.blocks[tag, None]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    running = [a for tag, a in read.tags if tag == "script" and "type" not in a]
    assert len(running) == 1


def test_texts_of_others_are_never_markup(pair, model, tmp_path):
    folder = tmp_path / "secret"
    folder.mkdir()
    low = nibabel.Nifti1Image(np.asarray(pair.low.dataobj), pair.low.affine)
    low.header["descrip"] = b"<script>window.caught=2</script>"
    scan = folder / "\"'><img src=x onerror=window.caught=1>.nii"
    nibabel.save(low, scan)
    notes = {EVIL: EVIL, "nested": {"a": [EVIL]}}
    card = make_card(EVIL, cohort=EVIL, snr_presets=[EVIL], notes=notes)
    path = write_report(model, scan, tmp_path / "r.html", card=card, title=EVIL)
    evil = Page(path)
    benign = TrainingCard(notes={"a": "b"})
    plain = Page(write_report(model, pair.low, tmp_path / "plain.html", card=benign))

    def scripts(page):
        return [attributes for tag, attributes in page.tags if tag == "script"]

    assert {tag for tag, _ in evil.tags} == {tag for tag, _ in plain.tags}
    assert scripts(evil) == scripts(plain)
    assert evil.source.count("<script") == plain.source.count("<script")
    assert "<img" not in evil.source
    assert evil.after("scan", 1) == scan.name
    assert evil.after("description in its header") == "<script>window.caught=2</script>"
    assert evil.after("cohort") == EVIL
    assert evil.cells[evil.cells.index("nested") - 2 :][:2] == [EVIL, EVIL]
    assert evil.blocks["h1", None] == EVIL
    assert "secret" not in evil.source


def test_what_is_said_of_the_scan_is_true(page, pair):
    read = Page(page)
    wm, gm = pair.snr
    assert float(read.after("signal-to-noise ratio of WM")) == pytest.approx(wm, rel=0.1)
    assert float(read.after("signal-to-noise ratio of GM")) == pytest.approx(gm, rel=0.1)
    assert float(read.after("contrast, WM / GM")) == pytest.approx(wm / gm, rel=0.03)
    assert read.after("contrast, WM / GM", 3) == "above"
    assert read.after("Mahalanobis distance to t1w_036t", 3) == "above"
    assert read.after("voxel size (mm)", 3) == "the same"
    assert read.after("voxels of the scan") == "40 × 36 × 12, of 1 × 2 × 6 mm"
    assert read.after("axes run to") == "left, superior, posterior"
    assert read.after("class") == "PatchwiseRegressor"
    assert read.after("sklearn_iqt that saved the model") == "1"
    assert float(read.after("enhanced")) < float(read.after("cubic interpolation"))


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
@pytest.mark.parametrize("snr", [(60, 40), (25, 16)])
@pytest.mark.parametrize("erased", [False, True])
def test_contrast_and_noise_are_found_again(pair, noise, snr, erased):
    labels = make_labels((64, 60, 64))
    high = np.array([0, 50.0, 200, 300])[labels]
    low = LowFieldSimulator(noise=noise, random_state=0).simulate([high], [labels], snr=[snr]).low
    low = low[0]
    foreground = foreground_mask(low)
    if erased:
        low = np.where(foreground, low, 0)
    quality = estimate_quality(low, foreground, (1, 1, 4))
    assert quality.source == ("white matter" if erased else "background")
    assert quality.contrast == pytest.approx(snr[0] / snr[1], rel=0.05)
    assert quality.snr[0] == pytest.approx(snr[0], rel=0.15)


def test_noise_in_white_matter_is_measured_in_plane(rng):
    white = np.ones((30, 20, 30), bool)
    steps = 1000.0 * np.arange(20).reshape(1, 20, 1)  # thick slices far apart
    low = 500 + steps + rng.normal(scale=5, size=white.shape)
    assert _white_matter_noise(low, white, (1, 4, 1)) == pytest.approx(5, rel=0.05)


def test_scan_without_tissues_says_so_instead_of_a_number(rng, tmp_path):
    low = np.ones((12, 12, 6), np.float32)
    low[:6] = 0
    high = np.repeat(low, 4, axis=2)
    model = InterpolationIQT().fit([low], [high])
    text = write_report(model, low, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Contrast and noise could not be estimated" in text
    assert "signal-to-noise ratio of WM" not in text
    assert "No uncertainty is shown" in text


@pytest.mark.parametrize("training", [None, TrainingCard(), TrainingCard(snr_presets="unknown")])
def test_what_the_card_does_not_say_is_not_known(pair, training):
    low = np.asarray(pair.low.dataobj)
    quality = estimate_quality(low, foreground_mask(low), (1, 2, 6))
    rows = shift_section(quality, (1.0, 2.0, 6.0), None, training).tables[0].rows
    assert [row[2] for row in rows] == ["not known"] * 4
    assert all(isinstance(cell, str) for row in rows for cell in row)


def test_cards_of_other_types_are_refused(pair, model, tmp_path):
    with pytest.raises(TypeError, match=r"card must be a TrainingCard.*got dict"):
        write_report(model, pair.low, tmp_path / "r.html", card={"snr_presets": ["t1w_036t"]})
    assert not list(tmp_path.iterdir())


def test_a_low_contrast_is_never_called_that_of_the_training(pair):
    low = np.asarray(pair.low.dataobj)
    quality = estimate_quality(low, foreground_mask(low), (1, 2, 6))._replace(
        gm=54.14, wm=64.5, noise=1.0
    )
    section = shift_section(
        quality, (1, 2, 6), None, TrainingCard(snr_presets="t1w_036t", snr_wm=(1, 2))
    )
    verdicts = {row[0]: row[3] for row in section.tables[0].rows}
    assert verdicts["contrast, WM / GM"] == "cannot be told"
    assert verdicts["Mahalanobis distance to t1w_036t"] == "inside, if the contrast is"
    assert verdicts["signal-to-noise ratio of WM"] == "above"
    assert verdicts["signal-to-noise ratio of GM"] == "inside"


def test_consistency_forgives_contrast_but_not_structure(rng):
    high = rng.random((20, 20, 32)) + 1
    low = degrade(high)
    everywhere = np.ones(low.shape, bool)

    def measure(enhanced):
        degraded = degrade(enhanced)
        return measure_consistency(low, degraded, everywhere)

    same = measure(high)
    assert same.raw == same.mapped == 0
    # A change of contrast after the blur is exactly monotone.
    brighter = measure_consistency(low, low**2, everywhere)
    assert brighter.raw > 0.1
    assert brighter.mapped == pytest.approx(0, abs=1e-6)
    other = measure(np.roll(high, 5, axis=0))
    assert other.mapped > 0.05
    assert other.rms == pytest.approx(np.sqrt(np.mean(other.residual**2)), rel=1e-5)


def test_an_enhancement_of_before_is_not_made_again(pair, model, page, tmp_path):
    enhanced, spread = model.predict([pair.low], return_std=True)
    save_volume(enhanced[0], tmp_path / "enhanced.nii")

    def refuse(*_, **__):
        raise AssertionError

    idle = PatchwiseRegressor()
    idle.predict = refuse
    path = tmp_path / "r.html"
    write_report(idle, pair.low, path, enhanced=tmp_path / "enhanced.nii", std=spread[0])
    made, given = Page(page), Page(path)
    block = ("script", "voxels-spread")
    assert made.blocks[block] == given.blocks[block]
    with pytest.raises(ValueError, match="std belongs to enhanced"):
        write_report(model, pair.low, path, std=spread[0])


def test_estimators_write_reports_themselves(pair, model, tmp_path):
    path = model.report(pair.low, tmp_path / "a.html", truth=pair.high, title="mine")
    same = write_report(model, pair.low, tmp_path / "b.html", truth=pair.high, title="mine")
    assert path == tmp_path / "a.html"
    assert path.read_bytes() == same.read_bytes()
    with pytest.raises(NotFittedError):
        PatchwiseRegressor().report(pair.low, tmp_path / "c.html")
    assert not (tmp_path / "c.html").exists()


def test_a_model_without_spread_has_no_uncertainty(pair, model, tmp_path):
    class Net(PatchwiseRegressor):
        def predict(self, X, *, mask=None, return_std=False):
            if return_std:
                raise ValueError("return_std is not available")
            return model.predict(X, mask=mask)

    read = Page(write_report(Net(), pair.low, tmp_path / "r.html"))
    assert [layer["name"] for layer in read.setup["layers"]] == ["low", "enhanced", "residual"]


def test_grids_that_do_not_fit_are_refused_and_the_old_page_stays(pair, model, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")
    elsewhere = pair.high.affine.copy()
    elsewhere[0, 3] += 7
    moved = nibabel.Nifti1Image(np.asarray(pair.high.dataobj), elsewhere)
    wrong = {
        "truth": moved,
        "enhanced": moved,
        "mask": np.ones((3, 3, 3)),
    }
    for name, volume in wrong.items():
        with pytest.raises(GeometryMismatchError, match=r"write_report: "):
            write_report(model, pair.low, path, **{name: volume})
    with pytest.raises(GeometryMismatchError, match="no multiple"):
        write_report(model, pair.low, path, enhanced=np.ones((40, 36, 13)))
    with pytest.raises(GeometryMismatchError, match="truth"):
        write_report(model, pair.low, path, truth=np.ones((40, 36, 13)))
    with pytest.raises(ValueError, match="mask is empty"):
        write_report(model, pair.low, path, mask=np.zeros(pair.low.shape))
    for thickness in (0.5, [1, 2], "thick", np.nan):
        with pytest.raises(ValueError, match="thickness must be"):
            write_report(model, pair.low, path, thickness=thickness)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]


def test_arrays_and_inputs_that_cannot_be_written(pair, model, tmp_path):
    low = np.asarray(pair.low.dataobj).copy()
    low.flags.writeable = False
    mask = foreground_mask(low)
    page = write_report(
        model, low, tmp_path / "r.html", mask=mask, affine=pair.low.affine, thickness=4
    )
    read = Page(page)
    assert read.after("slice profile, FWHM in voxels of the enhancement") == "1 × 1 × 4"
    assert read.blocks["h1", None] == "scan, enhanced"
    fine = scaled_affine(pair.low.affine, (1, 1, 4))
    np.testing.assert_allclose(read.setup["affine"], upright(np.ones(pair.high.shape), fine).affine)


@pytest.fixture
def visit(new_tab):
    """Open a page; afterwards nothing may have been asked for or complained about."""
    said, asked, opened = [], [], []

    def open_page(path: Path, **options):
        tab = new_tab(**options)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        opened.append(path)
        tab.wait_for_selector("body[data-ready]")
        return tab

    yield open_page
    assert said == []
    assert len(asked) == len(opened)
    assert all(url.startswith("file://") for url in asked)


def pixels(tab, view, shape):
    """Return the red of the canvas at the centre of each voxel, first column first, bottom up."""
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
    place = {view: int(tab.input_value(f"#{view}-slice")) for view in VIEW_AXES}
    for label, voxels in volumes.items():
        tab.get_by_label(label, exact=True).check()
        turned = upright(voxels, pair.high.affine).voxels
        expected = np.clip((turned - first) / (last - first) * 255, 0, 255)
        for view, axis in VIEW_AXES.items():
            here = np.take(expected, place[view], axis=axis)
            np.testing.assert_allclose(pixels(tab, view, here.shape), here, atol=1)


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
        here = np.take(expected, after, axis=VIEW_AXES[view])
        np.testing.assert_allclose(pixels(tab, view, here.shape), here, atol=1)
        assert f"slice {after + 1} of " in tab.locator(f"#{view} output").inner_text()
        seen.append(here.sum())
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
    (told,) = re.findall(r"truth [^0-9]*([\d.]+)", tab.inner_text("#readout"))
    assert float(told) == pytest.approx(voxels[cross], abs=layers[0]["window"][1] / 100)


def test_browser_moves_the_cross_by_a_click(visit, page):
    tab = visit(page)
    box = tab.locator("#axial canvas").bounding_box()
    before = pixels(tab, "coronal", (40, 36))
    tab.mouse.click(box["x"] + 0.26 * box["width"], box["y"] + 0.26 * box["height"])
    # 40 voxels to the right, 48 from the back to the front, which is the top.
    assert int(tab.input_value("#sagittal-slice")) == 10
    assert int(tab.input_value("#coronal-slice")) == 35
    assert (pixels(tab, "coronal", (40, 36)) != before).any()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_fits_any_width_and_light(visit, page, width, scheme):
    tab = visit(page, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [tab.locator(f"#{view} canvas").bounding_box() for view in VIEW_AXES]
    # The head is 40 mm wide, 72 mm long and 72 mm high.
    for box, ratio in zip(boxes, (40 / 72, 40 / 72, 1), strict=True):
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.02)
    beside = boxes[0]["y"] + boxes[0]["height"] == pytest.approx(boxes[1]["y"] + boxes[1]["height"])
    assert beside == (width > 700)
    ground, text = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((color) => Number(color.match(/\\d+/)[0]))"
    )
    assert (ground > text) == (scheme == "light")


def test_browser_runs_nothing_of_hostile_texts(visit, pair, model, tmp_path):
    card = make_card(EVIL, notes={EVIL: EVIL})
    scan = tmp_path / "<img src=x onerror=window.caught=1>.nii"
    save_volume(pair.low, scan)
    tab = visit(write_report(model, scan, tmp_path / "r.html", card=card, title=EVIL))
    assert tab.evaluate("window.caught") is None
    assert tab.locator("img").count() == 0
    assert tab.title() == " ".join(EVIL.split())


def test_browser_stops_scripts_and_requests_that_get_in_after_all(new_tab, page, tmp_path):
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
