"""Content of the report, and hostile texts in it."""

import base64
import hashlib
import re

import nibabel
import numpy as np
import pytest
from report_page import EVIL, Page, make_card, unpack

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.io import scaled_affine
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.plotting._slices import Scan, upright
from sklearn_iqt.report import write_report
from sklearn_iqt.report._layers import Layer, describe, pack, pack_within


def test_page_contains_all_volumes(page, pair, model):
    read = Page(page)
    layers = {layer["name"]: layer for layer in read.setup["layers"]}
    assert list(layers) == [
        "low",
        "interpolated",
        "enhanced",
        "truth",
        "error_interpolated",
        "error_enhanced",
        "residual",
        "spread",
    ]
    enhanced, spread = model.predict([pair.low], return_std=True)
    first, last = layers["low"]["window"]
    assert [layers[name]["window"] for name in ("enhanced", "truth")] == [[first, last]] * 2
    interpolated = InterpolationIQT().fit([pair.low]).predict([pair.low])
    for name, image in (
        ("low", pair.low),
        ("interpolated", interpolated[0]),
        ("truth", pair.high),
        ("enhanced", enhanced[0]),
        ("spread", spread[0]),
    ):
        layer = layers[name]
        voxels = upright(np.asarray(image.dataobj), image.affine).voxels
        first, last = layer["window"]
        expected = np.clip((voxels - first) / (last - first) * 255, 0, 255)
        levels = unpack(read.blocks["script", f"voxels-{name}"], layer)
        error = np.abs(levels - expected)
        assert layer["rounded"] == (4 if name == "spread" else 1)
        assert error.max() <= 3 * layer["rounded"], name
        assert np.sqrt(np.mean(error**2)) <= 0.3 * layer["rounded"] + 0.3, name


def test_low_and_high_voxels_are_aligned():
    voxels = np.zeros((4, 6, 2), np.float32)
    for alignment, origin in (("center", 1.5 * 2.0), ("corner", 0.0)):
        fine = Scan(np.zeros((4, 6, 8), np.float32), np.diag([1.0, 1.5, 2.0, 1.0]))
        low = Scan(voxels, scaled_affine(fine.affine, (1, 1, 0.25), alignment))
        layer = describe(Layer("low", "", "", low, (0, 1)), fine, 1)
        assert layer["origin"] == pytest.approx([0, 0, origin], abs=1e-9)
        assert layer["step"] == pytest.approx([1, 1.5, 8.0])


def test_intensities_outside_the_window_are_clipped():
    scan = Scan(np.array([[[-1e9, 0, 5, 10, 1e9]]]), np.eye(4))
    layer = Layer("low", "", "", scan, (0.0, 10.0))
    levels = unpack(pack(layer, 1), describe(layer, scan, 1))
    np.testing.assert_allclose(levels.ravel(), [0, 0, 128, 255, 255], atol=1)


def test_a_large_page_is_rounded_until_it_fits(rng):
    noise = Scan(rng.random((48, 48, 48)), np.eye(4))
    layers = [Layer("low", "", "", noise, (0.0, 1.0))] * 2
    (fine, _), step = pack_within(layers, 1e9)
    assert step == 1
    (coarse, _), step = pack_within(layers, len(fine))
    assert step > 1
    assert 2 * len(coarse) <= len(fine)
    levels = unpack(coarse, describe(layers[0], noise, step))
    error = levels - 255 * noise.voxels
    assert np.sqrt(np.mean(error**2)) <= step / np.sqrt(12) + 0.3


def test_page_uses_no_other_file_and_no_network(page):
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


def test_texts_from_files_are_never_markup(pair, model, tmp_path):
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


def test_page_shows_the_properties_of_the_scan(page, pair):
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
