"""Position, orientation and scale of the slices that plot_comparison draws."""

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

from sklearn_iqt.io import scaled_affine
from sklearn_iqt.plotting import plot_comparison


def drawn_images(figure):
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def test_views_are_upright_slices_at_the_position(head):
    voxels = head.get_fdata(dtype=np.float32)
    place = nibabel.affines.apply_affine(head.affine, (3, 4, 5))
    axial, coronal, sagittal = drawn_images(plot_comparison({"t1": head}, position=place))
    # Row zero is at the bottom: posterior or inferior. Column zero is left or posterior.
    np.testing.assert_array_equal(axial, voxels[:, :, 5].T)
    np.testing.assert_array_equal(coronal, voxels[:, 4, :].T)
    np.testing.assert_array_equal(sagittal, voxels[3, :, :].T)


@pytest.mark.parametrize("codes", ["LPS", "SAL", "RSA", "PIR", "ASL"])
def test_the_orientation_of_the_file_does_not_matter(codes, head):
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    turned = head.as_reoriented(turn)
    assert "".join(nibabel.aff2axcodes(turned.affine)) == codes
    place = nibabel.affines.apply_affine(head.affine, (3, 4, 5))
    expected = plot_comparison({"t1": head}, position=place)
    figure = plot_comparison({"t1": turned}, position=place)
    for ours, theirs in zip(drawn_images(figure), drawn_images(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(figure.axes, expected.axes, strict=True):
        np.testing.assert_allclose(ours.images[0].get_extent(), theirs.images[0].get_extent())
    assert [t.get_text() for t in figure.axes[0].texts] == ["L", "R", "axial"]
    assert [t.get_text() for t in figure.axes[2].texts] == ["P", "A", "sagittal"]


def test_voxels_have_their_true_size(head):
    figure = plot_comparison({"t1": head})
    for axis, size in zip(figure.axes, ((12, 15), (12, 16), (15, 16)), strict=True):
        left, right, bottom, top = axis.images[0].get_extent()
        np.testing.assert_allclose((right - left, top - bottom), size)
        assert axis.images[0].origin == "lower"
        assert axis.get_aspect() in ("equal", 1.0)


@pytest.mark.parametrize("kind", ["images", "arrays"])
def test_a_low_volume_is_aligned_with_the_truth(kind, head):
    truth = head.get_fdata(dtype=np.float32)
    low = truth.reshape(12, 10, 2, 4).mean(axis=-1)
    if kind == "images":
        low = nibabel.Nifti1Image(low, scaled_affine(head.affine, (1, 1, 0.25)))
        figure = plot_comparison({"low": low, "same": head}, truth=head, views=["coronal"])
    else:
        figure = plot_comparison(
            {"low": low, "same": truth}, truth=truth, affine=head.affine, views=["coronal"]
        )
    extents = [axis.images[0].get_extent() for axis in figure.axes[:3]]
    np.testing.assert_allclose(extents[0], extents[2])
    np.testing.assert_allclose(extents[1], extents[2])
    assert [axis.get_title() for axis in figure.axes[:3]] == ["low", "same", "truth"]
    # There is no error of a volume on another grid, and no error of the truth.
    shown = [bool(axis.images) for axis in figure.axes[3:6]]
    assert shown == [False, True, False]
    assert not np.asarray(figure.axes[4].images[0].get_array()).any()


def test_errors_are_absolute_and_share_one_scale(head):
    truth = head.get_fdata(dtype=np.float32)
    figure = plot_comparison(
        {"above": truth + 0.5, "below": truth - 0.25}, truth=truth, views=["axial"]
    )
    above, below = (axis.images[0] for axis in figure.axes[3:5])
    np.testing.assert_allclose(above.get_array(), 0.5, rtol=1e-5)
    np.testing.assert_allclose(below.get_array(), 0.25, rtol=1e-5)
    assert above.get_clim() == below.get_clim()
    images = [axis.images[0] for axis in figure.axes[:3]]
    assert len({image.get_clim() for image in images}) == 1


def test_a_figure_can_be_saved(head, tmp_path):
    figure = plot_comparison({"t1": head}, truth=head)
    figure.savefig(tmp_path / "figure.png", dpi=30)
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_invalid_parameters_are_refused(head):
    with pytest.raises(ValueError, match="volumes is empty"):
        plot_comparison({})
    with pytest.raises(ValueError, match="last column"):
        plot_comparison({"truth": head}, truth=head)
    with pytest.raises(ValueError, match="views must be among"):
        plot_comparison({"t1": head}, views=["front"])
    with pytest.raises(ValueError, match="outside"):
        plot_comparison({"t1": head}, position=(0, 0, 500))
    with pytest.raises(ValueError, match="dimensions"):
        plot_comparison({"t1": np.zeros((3, 3))})


def test_constant_volumes_are_drawn():
    figure = plot_comparison({"zero": np.zeros((4, 4, 4))}, truth=np.zeros((4, 4, 4)))
    assert len(drawn_images(figure)) == 9
