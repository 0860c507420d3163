"""Inputs that write_report accepts and refuses."""

import nibabel
import numpy as np
import pytest
from report_page import Page
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sklearn_iqt import AnyGridIQT, ConformalIQT, InterpolationIQT, PatchwiseRegressor
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.plotting._slices import upright
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.report import write_report


def test_cards_of_other_types_are_refused(pair, model, tmp_path):
    with pytest.raises(TypeError, match=r"card must be a TrainingCard.*got dict"):
        write_report(model, pair.low, tmp_path / "r.html", card={"snr_presets": ["t1w_036t"]})
    assert not list(tmp_path.iterdir())


def test_an_existing_enhancement_is_used(pair, model, page, tmp_path):
    enhanced, spread = model.predict([pair.low], return_std=True)
    save_volume(enhanced[0], tmp_path / "enhanced.nii")

    def refuse(*_, **__):
        raise AssertionError

    unused = PatchwiseRegressor()
    unused.predict = refuse
    path = tmp_path / "r.html"
    write_report(unused, pair.low, path, enhanced=tmp_path / "enhanced.nii", std=spread[0])
    made, given = Page(page), Page(path)
    block = ("script", "voxels-spread")
    assert made.blocks[block] == given.blocks[block]
    with pytest.raises(ValueError, match="std was passed without enhanced"):
        write_report(model, pair.low, path, std=spread[0])


def test_estimators_have_a_method_that_writes_a_report(pair, model, tmp_path):
    path = model.report(pair.low, tmp_path / "a.html", truth=pair.high, title="mine")
    same = write_report(model, pair.low, tmp_path / "b.html", truth=pair.high, title="mine")
    assert path == tmp_path / "a.html"
    assert path.read_bytes() == same.read_bytes()
    with pytest.raises(NotFittedError):
        PatchwiseRegressor().report(pair.low, tmp_path / "c.html")
    assert not (tmp_path / "c.html").exists()


def test_an_array_is_enhanced_by_a_model_that_learned_from_images(pair, model, tmp_path):
    assert model.spacing_ is not None
    low = np.asarray(pair.low.dataobj)
    for mask in (None, foreground_mask(low)):
        page = Page(model.report(low, tmp_path / "array.html", mask=mask))
        assert page.blocks["h1", None] == "scan, enhanced"


def test_a_scan_on_another_grid_is_shown_on_the_grid_of_the_training(pair, model, tmp_path):
    mask = nibabel.Nifti1Image((np.asarray(pair.low.dataobj) > 0).astype("u1"), pair.low.affine)
    pages = []
    for codes in ("".join(nibabel.aff2axcodes(pair.low.affine)), "SPL"):
        low, truth, inside = (reorient(image, codes) for image in (pair.low, pair.high, mask))
        path = tmp_path / f"{codes}.html"
        wrapped = AnyGridIQT(FrozenEstimator(model), grid="scan")
        pages.append(Page(wrapped.report(low, path, truth=truth, mask=inside)))
        assert ("its axes were reordered" in path.read_text(encoding="utf-8")) == (codes == "SPL")
    same, turned = (page.blocks["script", "voxels-enhanced"] for page in pages)
    assert same == turned


@pytest.mark.parametrize("kind", ["array", "image", "file"])
def test_nan_that_the_mask_excludes_is_accepted_as_in_predict(kind, pair, model, tmp_path):
    voxels = np.asarray(pair.low.dataobj).copy()
    mask = voxels > 0
    pages = []
    for background in (0, np.nan):
        volume = np.where(mask, voxels, np.float32(background))
        low, options = nibabel.Nifti1Image(volume, pair.low.affine), {}
        if kind == "array":
            low, options = volume, {"affine": pair.low.affine}
        elif kind == "file":
            nibabel.save(low, tmp_path / "low.nii")
            low = tmp_path / "low.nii"
        wrapped = AnyGridIQT(FrozenEstimator(model))
        pages += [
            write_report(m, low, tmp_path / "r.html", mask=mask, **options).read_bytes()
            for m in (model, wrapped)
        ]
        if background != 0:
            with pytest.raises(ValueError, match="NaN"):
                write_report(model, low, tmp_path / "r.html", **options)
    assert pages[:2] == pages[2:]


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_uncertainty_is_shown_for_all_models(in_pipeline, pair, model, tmp_path):
    interpolation = InterpolationIQT().fit([pair.low], [pair.high])
    names = ["low", "interpolated", "enhanced", "residual", "spread"]
    for last in (model, interpolation):
        whole = make_pipeline("passthrough", last) if in_pipeline else last
        read = Page(write_report(whole, pair.low, tmp_path / "r.html"))
        assert [layer["name"] for layer in read.setup["layers"]] == names


def test_intervals_of_a_calibrated_model_are_shown_with_their_promise(pair, model, tmp_path):
    calibrated = ConformalIQT(FrozenEstimator(model), subject_level=0.5)
    calibrated.conformalize([pair.low], [pair.high])
    _, (lower,), (upper,) = calibrated.predict_interval([pair.low])
    half = (np.asarray(upper.dataobj) - np.asarray(lower.dataobj)) / 2
    for shown in (calibrated, AnyGridIQT(FrozenEstimator(calibrated))):
        path = write_report(shown, pair.low, tmp_path / "r.html")
        layers = {layer["name"]: layer for layer in Page(path).setup["layers"]}
        assert list(layers)[-2:] == ["interval", "spread"]
        largest = np.percentile(half[half > 0], 99)
        assert layers["interval"]["window"][1] == pytest.approx(largest, rel=0.02)
        text = path.read_text(encoding="utf-8")
        assert "Calibration subjects of the intervals: 1." in text
        assert "a probability of at least 50 %" in text
        assert "at least 90 % of the voxels" in text
    calibrated.calibration_scans_["snr"] += 9
    text = write_report(calibrated, pair.low, path).read_text(encoding="utf-8")
    assert "there are no intervals for low, because the signal-to-noise ratio is" in text
    assert "interval" not in [layer["name"] for layer in Page(path).setup["layers"]]
    write_report(ConformalIQT(FrozenEstimator(model)), pair.low, path)
    assert "interval" not in [layer["name"] for layer in Page(path).setup["layers"]]


def test_errors_of_a_prediction_are_raised(pair, tmp_path):
    class Broken(PatchwiseRegressor):
        def predict(self, X, *, mask=None, return_std=False):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_report(Broken(), pair.low, tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_other_models_need_an_enhancement(pair, tmp_path):
    with pytest.raises(TypeError, match=r"must be an estimator of sklearn_iqt.*got Ridge"):
        write_report(Ridge(), pair.low, tmp_path / "r.html")
    page = write_report(Ridge(), pair.low, tmp_path / "r.html", enhanced=pair.high)
    assert Page(page).after("class") == "Ridge"


def test_refused_inputs_leave_an_existing_page_unchanged(pair, model, tmp_path):
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
    with pytest.raises(GeometryMismatchError, match="not a multiple"):
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


def test_read_only_arrays_are_accepted(pair, model, tmp_path):
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
