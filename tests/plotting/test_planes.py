"""Slices of a volume in three planes, and the map of improvements."""

import subprocess
import sys

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure
from nibabel.orientations import axcodes2ornt, ornt_transform

import sklearn_iqt.plotting as plotting
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.plotting import plot_improvement, plot_volume


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL", "PIR", "IRA"])
def test_letters_are_at_the_sides_they_name(codes, head):
    """Draw a dot in each direction from the middle; it is near the letter of that direction."""
    letters = {"L": (-1, 0, 0), "R": (1, 0, 0), "P": (0, -1, 0), "A": (0, 1, 0)}
    letters |= {"I": (0, 0, -1), "S": (0, 0, 1)}
    for letter, direction in letters.items():
        voxels = np.zeros((11, 11, 11), np.float32)
        voxels[tuple(5 + 3 * np.array(direction))] = 1
        image = nibabel.Nifti1Image(voxels, np.diag([1, 2, 3, 1]))
        image = image.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes)))
        figure = plot_volume(image, position=(5, 10, 15), window=(0, 1))
        seen = 0
        for ax in figure.axes:
            text = next((t for t in ax.texts if t.get_text() == letter), None)
            if text is None:
                continue
            (row,), (column,) = np.nonzero(ax.images[0].get_array())
            left, right, bottom, top = ax.images[0].get_extent()
            spot = (column + 0.5) / 11 * (right - left), (row + 0.5) / 11 * (top - bottom)
            towards = np.array(text.get_position()) - 0.5
            away = np.array(spot) - ((right - left) / 2, (top - bottom) / 2)
            assert np.argmax(np.abs(towards)) == np.argmax(np.abs(away))
            assert towards @ away > 0
            seen += 1
        assert seen == 2


def test_panels_share_one_scale_in_mm(head):
    figure = plot_volume(head)
    figure.canvas.draw()
    per_mm = []
    for ax, size in zip(figure.axes, ((12, 15), (12, 16), (15, 16)), strict=True):
        left, right, bottom, top = ax.images[0].get_extent()
        np.testing.assert_allclose((right - left, top - bottom), size)
        box = ax.get_window_extent()
        per_mm += [box.width / (right - left), box.height / (top - bottom)]
    np.testing.assert_allclose(per_mm, per_mm[0], rtol=0.02)


def test_a_volume_is_drawn_on_given_axes(head):
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert plot_volume(head, views=("axial", "sagittal"), ax=axes, title="t1") is figure
    assert [len(ax.images) for ax in axes] == [1, 1]
    assert [text.get_text() for text in figure.texts] == ["t1"]
    ax = Figure().add_subplot()
    plot_volume(head, views=["coronal"], ax=ax, title="t1", window=(0, 7), label="std")
    assert ax.get_title() == "t1"
    assert ax.images[0].get_clim() == (0, 7)
    assert ax.figure.axes[1].get_ylabel() == "std"


def test_noise_is_black_but_negative_intensities_of_a_centred_volume_are_not(rng):
    brain = np.zeros((16, 16, 16))
    brain[4:12, 4:12, 4:12] = 100
    noisy = brain + rng.normal(0, 5, brain.shape)
    assert plot_volume(noisy).axes[0].images[0].get_clim()[0] == 0
    centred = plot_volume((brain - brain.mean()) / brain.std() - 1).axes[0].images[0]
    assert centred.get_clim()[0] == pytest.approx(centred.get_array().min())


def test_improvement_counts_the_voxels_of_the_brain(head):
    truth = head.get_fdata(dtype=np.float32)
    truth[:, :, :2] = 0
    estimate = truth + 0.3
    estimate[:3] = truth[:3]
    before = [volume.copy() for volume in (estimate, truth)]
    for volume in (estimate, truth):
        volume.flags.writeable = False
    ax = plot_improvement(estimate, truth + 0.3, truth, position=(3, 4, 5))
    assert ax.get_title() == "closer in 25% of the brain"
    red = np.asarray(ax.images[1].get_alpha()) > 0
    np.testing.assert_array_equal(red[2:, :3], True)
    assert red.sum() == 18  # all of them in the brain
    np.testing.assert_array_equal(estimate, before[0])
    np.testing.assert_array_equal(truth, before[1])
    # The baseline is nowhere closer than the estimate.
    other = plot_improvement(truth + 0.3, estimate, truth, ax=Figure().add_subplot())
    assert other.get_title() == "closer in 0% of the brain"
    mask = np.zeros_like(truth)
    mask[:6] = 1
    ax = plot_improvement(estimate, truth + 0.3, truth, mask=mask)
    assert ax.get_title() == "closer in 50% of the brain"


def test_invalid_parameters_are_refused(head):
    def refused(match, call, *args, error=ValueError, **kwargs):
        with pytest.raises(error, match=match):
            call(*args, **kwargs)

    ax = Figure().add_subplot()
    truth = head.get_fdata(dtype=np.float32)
    refused("views must be among", plot_volume, head, views="axial")
    refused("3 views need 3 axes, got 1", plot_volume, head, ax=ax)
    refused("must be a matplotlib Axes", plot_volume, head, ax=3, error=TypeError)
    refused("window must be", plot_volume, head, window=(1, 1))
    refused("outside", plot_volume, head, position=(0, 0, 500))
    refused("affine", plot_volume, truth, affine=np.zeros((4, 4)))
    refused("threshold", plot_improvement, truth, truth, truth, threshold=-1)
    refused("views must be among", plot_improvement, truth, truth, truth, view="top")
    refused(
        "estimate has shape",
        plot_improvement,
        truth[:4],
        truth,
        truth,
        error=GeometryMismatchError,
    )


@pytest.mark.processes
def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, sklearn_iqt.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_functions_name_the_extra_to_install_without_matplotlib(monkeypatch, head):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    truth = head.get_fdata(dtype=np.float32)
    calls = {
        "plot_comparison": ({"t1": head},),
        "plot_improvement": (truth, truth, truth),
        "plot_learning_curve": ([{"train_loss": 1.0}],),
        "plot_scores": ({"a": [1.0]},),
        "plot_snr": (),
        "plot_volume": (head,),
    }
    for name, arguments in calls.items():
        with pytest.raises(ImportError, match=rf"{name} needs matplotlib.*sklearn-iqt\[plot\]"):
            getattr(plotting, name)(*arguments)
    with pytest.raises(ImportError, match=r"sklearn-iqt\[plot\]"):
        plotting.plot_estimates({"A": {"m": truth}}, truth=truth)
