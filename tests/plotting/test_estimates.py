"""Figures of estimates, errors and improvements, drawn by plot_estimates."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.plotting import plot_estimates


@pytest.fixture
def truth(head):
    return head.get_fdata(dtype=np.float32)


@pytest.fixture
def estimates(truth):
    return {
        "InD1": {"cubic": truth + 0.2, "ridge": truth - 0.1},
        "OOD": {"cubic": truth + 0.1, "ridge": truth - 0.4},
    }


def panels(figure, n_columns):
    """Return the axes as rows of columns, without the colour bar."""
    axes = figure.axes[: len(figure.axes) // n_columns * n_columns]
    return np.array(axes).reshape(-1, n_columns)


def titles(figure, n_columns):
    return [ax.get_title() for ax in panels(figure, n_columns)[0]]


def labels(figure, n_columns):
    return [
        [t for t in line[0].texts if t.get_rotation() == 90] for line in panels(figure, n_columns)
    ]


def painted(ax):
    """Return the pixels that are painted red, where the second image is opaque."""
    return np.asarray(ax.images[1].get_alpha()) > 0


def test_estimates_are_drawn_in_a_row_with_their_truth(estimates, truth):
    figure = plot_estimates(estimates, truth=truth)
    assert titles(figure, 3) == ["cubic", "ridge", "truth"]
    assert [line[0].get_text() for line in labels(figure, 3)] == ["InD1", "OOD"]
    grid = panels(figure, 3)
    assert len(figure.axes) == 6  # no colour bar
    for line in grid:
        assert len({ax.images[0].get_clim() for ax in line}) == 1
    # A slice across the second axis, which runs to anterior.
    shown = np.asarray(grid[1, 1].images[0].get_array())
    slices = (truth - 0.4).transpose(1, 2, 0)
    assert any(np.array_equal(shown, expected) for expected in slices)


def test_errors_of_all_rows_share_one_scale(estimates, truth):
    figure = plot_estimates(estimates, truth=truth, show="error")
    grid = panels(figure, 2)
    values = [[float(ax.images[0].get_array().max()) for ax in line] for line in grid]
    np.testing.assert_allclose(values, [[0.2, 0.1], [0.1, 0.4]], rtol=1e-4)
    limits = {ax.images[0].get_clim() for ax in grid.flat}
    assert len(limits) == 1
    np.testing.assert_allclose(limits.pop(), (0, 0.4), rtol=1e-4)
    assert figure.axes[-1].get_ylabel() == "absolute error"
    figure = plot_estimates(estimates, truth=truth, show="error", largest_error=2)
    assert {ax.images[0].get_clim() for ax in panels(figure, 2).flat} == {(0, 2)}


def test_improvements_are_painted_where_a_method_is_closer(truth):
    better = truth + 0.2
    better[:6] = truth[:6]
    figure = plot_estimates(
        {"A": {"cubic": truth + 0.2, "half": better}},
        truth=truth,
        show="improvement",
        baseline="cubic",
        position=(3, 4, 5),
    )
    (ax,) = figure.axes
    expected = np.zeros((8, 12), bool)
    expected[:, :6] = True
    np.testing.assert_array_equal(painted(ax), expected)
    np.testing.assert_array_equal(ax.images[0].get_array(), truth[:, 4].T)
    assert "50%" in [text.get_text() for text in ax.texts]


def test_improvements_are_limited_to_the_mask(truth):
    better = truth + 0.2
    better[:6] = truth[:6]
    mask = np.zeros_like(truth)
    mask[3:9, :, 2:] = 1
    figure = plot_estimates(
        {"A": {"half": better}, "B": {"half": better}},
        truth={"A": truth, "B": truth},
        mask={"A": mask, "B": mask[::-1, ::-1, ::-1]},
        show="improvement",
        baseline={"A": truth + 0.2, "B": truth + 0.3},
        position=(3, 4, 5),
    )
    first, second = figure.axes
    assert painted(first)[2:, 3:6].all()
    assert painted(first).sum() == 18
    assert "50%" in [text.get_text() for text in first.texts]
    assert "100%" in [text.get_text() for text in second.texts]


def test_equal_voxels_are_not_painted(truth):
    rounded = truth + np.float32(0.2) + np.float32(1e-5)
    arguments = {"truth": truth, "show": "improvement", "baseline": "same"}
    volumes = {"A": {"same": rounded, "other": truth + 0.2, "better": truth + 0.1}}
    same, better = plot_estimates(volumes, **arguments).axes
    assert not painted(same).any()
    assert painted(better).all()
    strict = plot_estimates(volumes, **arguments, threshold=0).axes[0]
    assert painted(strict).any()
    wide = plot_estimates(volumes, **arguments, threshold=0.15).axes[1]
    assert not painted(wide).any()


def test_the_three_figures_of_the_paper(estimates, truth):
    methods = ("interpolation", "IQT-DL", "IQT-DDL", "IQT-SRep")
    rows = {
        name: {m: truth + 0.1 * n for n, m in enumerate(methods)}
        for name in ("InD1", "InD2", "OOD")
    }
    figure4 = plot_estimates(rows, truth=truth)
    assert panels(figure4, 5).shape == (3, 5)
    figure5 = plot_estimates(
        rows,
        truth=truth,
        show=("error", "improvement"),
        side_by_side=True,
        baseline="IQT-DL",
        improved=("IQT-SRep", "IQT-DDL"),
    )
    assert panels(figure5, 6).shape == (3, 6)
    assert titles(figure5, 6)[-2:] == [
        "IQT-SRep\ncloser than IQT-DL",
        "IQT-DDL\ncloser than IQT-DL",
    ]
    atoms = {"OOD": {str(n): truth + 1 / n for n in (150, 256, 512, 1024)}}
    figure6 = plot_estimates(
        atoms, truth=truth, show=("estimate", "error", "improvement"), baseline=truth + 0.01
    )
    assert panels(figure6, 5).shape == (3, 5)
    kinds = [line[0].get_text() for line in labels(figure6, 5)]
    assert kinds == ["estimate", "error", "closer than baseline"]
    # The truth has no error.
    assert [bool(ax.images) for ax in panels(figure6, 5)[:, 4]] == [True, False, False]


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIR"])
@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_the_orientation_of_a_file_does_not_matter(codes, view, head, truth):
    estimate = nibabel.Nifti1Image(truth + np.linspace(0, 1, 12)[:, None, None], head.affine)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    turned = estimate.as_reoriented(turn)
    arguments = {
        "truth": head,
        "show": ("estimate", "error", "improvement"),
        "baseline": truth + 0.5,
        "view": view,
    }
    figures = [plot_estimates({"A": {"m": e}}, **arguments) for e in (estimate, turned)]
    for ours, theirs in zip(*(panels(figure, 2).flat for figure in figures), strict=True):
        for one, other in zip(ours.images, theirs.images, strict=True):
            np.testing.assert_allclose(one.get_array(), other.get_array(), rtol=1e-6)
        if ours.images:
            assert ours.get_xlim() == theirs.get_xlim()
    np.testing.assert_array_equal(*(painted(figure.axes[4]) for figure in figures))
    assert painted(figures[0].axes[4]).any()


def test_test_sets_may_have_different_subjects_and_methods(head, truth):
    other = truth[:8]
    figure = plot_estimates(
        {"A": {"one": truth, "two": truth}, "B": {"two": other + 1, "low": other[:, :, ::4]}},
        truth={"A": head, "B": other},
        show=("estimate", "error"),
    )
    assert titles(figure, 4) == ["one", "two", "low", "truth"]
    shown = [[bool(ax.images) for ax in line] for line in panels(figure, 4)]
    assert shown == [
        [True, True, False, True],
        [True, True, False, False],
        [False, True, True, True],
        [False, True, False, False],
    ]


def test_invalid_parameters_are_refused(estimates, head, truth):
    def refused(match, error=ValueError, rows=estimates, **changed):
        with pytest.raises(error, match=match):
            plot_estimates(rows, **{"truth": truth, **changed})

    refused("dict of dicts", rows={"cubic": truth})
    refused("dict of dicts", rows={})
    refused("last column", rows={"A": {"truth": truth}})
    refused("show must be", show="residual")
    refused("show must be", show=())
    refused("views must be among", view="front")
    refused("position must be 3 numbers", position=(1, 2))
    refused("needs a baseline", show="improvement")
    refused("not among the methods", show="improvement", baseline="forest")
    refused("improved must be", show="improvement", baseline="cubic", improved=["cubic"])
    refused("threshold must be at least 0", threshold=-1)
    refused("largest_error must be at least 0", largest_error=np.nan)
    refused("truth has no volume for 'OOD'", truth={"InD1": truth})
    refused("mask is empty", mask=np.zeros_like(truth))
    refused(
        "grids must be the same",
        GeometryMismatchError,
        show="improvement",
        baseline=truth[:, :, ::4],
    )
    shifted = head.affine.copy()
    shifted[0, 3] += 1
    refused(
        "lies up to 1 mm away",
        GeometryMismatchError,
        rows={"A": {"m": nibabel.Nifti1Image(truth, shifted)}},
        truth=head,
        show="error",
    )
    refused("no volume has the grid", rows={"A": {"low": truth[:, :, ::4]}}, show="error")
    refused("nowhere.nii", show="improvement", baseline=Path("nowhere.nii"))
