"""Grids are compared, and the volumes of a cohort are checked against each other."""

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError
from sklearn_iqt.io import Cohort, Grid, compare_grids, save_volume
from sklearn_iqt.metrics import nrmse, psnr, ssim

SHAPE = (5, 6, 7)
AFFINE = np.array([[0, -1.5, 0, 4], [0.9, 0, 0, -2], [0, 0, 3, 8], [0, 0, 0, 1.0]])
LOW = np.diag([1.0, 1.0, 4.0, 1.0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_grids_agree_up_to_a_tenth_of_a_voxel(axis):
    for part, differs in ((0.09, False), (0.11, True)):
        other = AFFINE.copy()
        other[axis, 3] += part * np.linalg.norm(AFFINE[:3, :3], axis=0).min()
        assert bool(compare_grids(Grid(SHAPE, AFFINE), Grid(SHAPE, other))) == differs
    # The last voxel counts as much as the first.
    longer = AFFINE.copy()
    longer[:3, axis] *= 1.001
    assert compare_grids(Grid((2, 2, 2), AFFINE), Grid((2, 2, 2), longer)) is None
    assert compare_grids(Grid((500,) * 3, AFFINE), Grid((500,) * 3, longer)).offset_mm > 0.1


def test_the_voxels_of_the_expected_grid_set_the_tolerance():
    thin, thick = np.diag([1.0, 1, 1, 1]), np.diag([5.0, 5, 5, 1])
    thin[:3, 3] = 0.3  # one voxel each: their corners are their centres
    thin, thick = Grid((1, 1, 1), thin), Grid((1, 1, 1), thick)
    assert compare_grids(thin, thick).offset_mm == pytest.approx(0.3)
    assert compare_grids(thick, thin) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_grids_with_a_damaged_affine_cannot_be_compared(bad):
    damaged = AFFINE.copy()
    damaged[0, 3] = bad
    with pytest.raises(ValueError, match="the affine of found holds NaN or infinite"):
        compare_grids(Grid(SHAPE, AFFINE), Grid(SHAPE, damaged))
    with pytest.raises(ValueError, match="the affine of expected holds NaN or infinite"):
        compare_grids(Grid(SHAPE, damaged), Grid(SHAPE, AFFINE))


def test_grids_of_arrays_agree_if_their_shapes_do():
    assert compare_grids(Grid(SHAPE, AFFINE), Grid(SHAPE)) is None
    assert compare_grids(Grid(SHAPE), Grid((5, 6, 8))).shape_differs


def make_volume(shape, affine=None):
    volume = 1 + np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return volume if affine is None else nibabel.Nifti1Image(volume, affine)


def test_a_cohort_reads_checked_pairs():
    high = Grid((4, 4, 2), LOW).scaled((1, 1, 4)).affine
    cohort = Cohort(
        [make_volume((4, 4, 2), LOW)],
        [make_volume((4, 4, 8), high)],
        [make_volume((4, 4, 2)) > 5],
        scale=(1, 1, 4),
    )
    (pair,) = cohort
    assert pair.mask.dtype == bool
    assert (pair.low.shape, pair.high.shape) == ((4, 4, 2), (4, 4, 8))
    np.testing.assert_array_equal(pair.affine, LOW)
    np.testing.assert_allclose(cohort.spacing(), [1, 1, 4])
    assert cohort.orientation() == "RAS"
    arrays = Cohort([make_volume((4, 4, 2))])
    assert arrays.spacing() is arrays.orientation() is None


def test_the_last_pair_is_checked_before_the_first_is_read(tmp_path):
    paths = [save_volume(make_volume((4, 4, n)), tmp_path / f"{n}.nii", affine=LOW) for n in (2, 3)]
    paths[0].write_bytes(paths[0].read_bytes()[:400])  # the header is complete, the voxels are not
    with pytest.raises(GeometryMismatchError, match=r"y\[1\] has shape \(4, 4, 2\)"):
        Cohort(paths, [make_volume((4, 4, 2))] * 2)
    with pytest.raises(VolumeReadError, match=r"2\.nii"):
        list(Cohort(paths[:1], [make_volume((4, 4, 2))]))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"high": [make_volume((4, 4, 8))] * 2}, "X holds 1 volumes but y holds 2"),
        ({"high": [make_volume((4, 4, 7))]}, r"scale \(1, 1, 4\) requires \(4, 4, 8\)"),
        (
            {"mask": [make_volume((4, 3, 2))]},
            r"mask\[0\] has shape \(4, 3, 2\).*crop or resample",
        ),
        ({"mask": [make_volume((4, 4, 2), np.diag([-1, 1, 4, 1]))]}, r"mask\[0\] and X\[0\] lie"),
    ],
)
def test_volumes_that_do_not_fit_are_named_in_the_error(others, message):
    with pytest.raises(ValueError, match=message):
        Cohort([make_volume((4, 4, 2), LOW)], scale=(1, 1, 4), caller="Example", **others)


def test_an_empty_mask_is_refused():
    cohort = Cohort([make_volume((4, 4, 2))], mask=[np.zeros((4, 4, 2))], caller="Example")
    with pytest.raises(ValueError, match=r"Example: mask\[0\] is empty"):
        cohort.read(0)


def test_volumes_of_a_single_subject_are_named_without_numbers():
    with pytest.raises(GeometryMismatchError, match=r"truth has shape .* but scan has shape"):
        Cohort.of_one(
            make_volume((2, 2, 2)), make_volume((2, 2, 3)), names=("scan", "truth", "mask")
        )


def test_a_mask_with_voxels_below_zero_is_refused():
    volume = np.random.default_rng(0).random((20, 20, 20))
    mask = np.zeros((20, 20, 20))
    mask[6:14, 6:14, 6:14] = 1
    (pair,) = Cohort([volume], mask=[mask])
    assert pair.mask.sum() == 8**3
    # The rings of a spline would make most of the volume foreground.
    ringing = ndimage.shift(mask, (0.5, 0.3, 0.2), order=3)
    assert (ringing > 0).sum() > 2 * 8**3
    with pytest.raises(ValueError, match=r"mask\[0\] has \d+ voxels below zero.*order=0"):
        list(Cohort([volume], mask=[ringing]))
    for score in (nrmse, psnr, ssim):
        with pytest.raises(ValueError, match=r"mask has .* below zero"):
            score(volume, volume + 1, mask=ringing)
