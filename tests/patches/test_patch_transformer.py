"""PatchTransformer converts volumes to rows and back, and draws paired rows with groups."""

import nibabel
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import scaled_affine
from sklearn_iqt.patches import PatchTransformer


def test_round_trip_of_a_stack_and_of_ragged_volumes(rng):
    stack = rng.random((2, 8, 9, 10))
    ragged = [rng.random((7, 8, 9)), rng.random((12, 5, 3))]
    for volumes in (stack, ragged):
        patcher = PatchTransformer(patch_size=4, stride=(1, 2, 3)).fit(volumes)
        back = patcher.inverse_transform(patcher.transform(volumes))
        for volume, merged in zip(volumes, back, strict=True):
            np.testing.assert_allclose(merged, volume, rtol=1e-12)
    assert isinstance(back, np.ndarray)
    assert back.dtype == object
    assert patcher.inverse_transform(patcher.transform(stack), shapes=[(8, 9, 10)] * 2).ndim == 1


def test_transform_of_new_volumes_changes_nothing(rng):
    patcher = PatchTransformer(patch_size=3).fit([rng.random((6, 6, 6))])
    before = {name: value for name, value in vars(patcher).items()}
    patcher.transform([rng.random((9, 5, 7))])
    assert vars(patcher) == before


def test_rows_of_a_flat_volume_agree_with_scikit_learn(rng):
    volume = rng.random((9, 8, 1))
    rows = PatchTransformer(patch_size=(3, 4, 1), stride=1).fit([volume]).transform([volume])
    expected = extract_patches_2d(volume[..., 0], (3, 4)).reshape(-1, 12)
    np.testing.assert_array_equal(rows, expected)


def test_scaled_rows_come_back_as_high_volumes(rng):
    low = [rng.random((6, 6, 3))]
    high = [rng.random((6, 6, 12))]
    patcher = PatchTransformer(patch_size=(3, 3, 2)).fit(low, high)
    _, high_rows, _ = patcher.set_params(background=1.0).sample(low, high)
    np.testing.assert_allclose(patcher.inverse_transform(high_rows)[0], high[0])


def test_sample_leaves_out_background_and_pairs_rows(rng):
    high = np.zeros((2, 16, 16, 16))
    high[:, :8] = 1 + rng.random((2, 8, 16, 16))
    low = high[..., ::4]
    patcher = PatchTransformer((4, 4, 2)).fit(low, high)
    low_rows, high_rows, groups = patcher.sample(low, high, max_patches=40, random_state=0)
    assert len(low_rows) == len(high_rows) == 40
    np.testing.assert_array_equal(np.bincount(groups), [20, 20])
    assert ((high_rows > 0).mean(axis=1) >= 0.2).all()
    np.testing.assert_array_equal(
        high_rows.reshape(40, 4, 4, 8)[..., ::4].reshape(40, -1), low_rows
    )
    again = patcher.sample(low, high, max_patches=40, random_state=0)
    np.testing.assert_array_equal(low_rows, again[0])


def test_a_mask_on_the_low_grid_selects_the_patches(rng):
    low, high = rng.random((1, 12, 12, 4)), rng.random((1, 12, 12, 16))
    mask = np.zeros(low.shape, bool)
    mask[:, :4] = True
    patcher = PatchTransformer((4, 4, 4), stride=4).fit(low, high)
    rows, _, _ = patcher.sample(low, high, mask)
    np.testing.assert_array_equal(rows, patcher.transform(low[:, :4]))
    with pytest.raises(GeometryMismatchError, match=r"mask\[0\] has shape"):
        patcher.sample(low, high, mask[..., :3])


def test_fit_learns_the_scale_from_pairs(rng):
    low, high = rng.random((2, 6, 5, 3)), rng.random((2, 12, 5, 12))
    assert PatchTransformer(2).fit(low).scale_ == (1, 1, 1)
    assert PatchTransformer(2).fit(low, high).scale_ == (2, 1, 4)
    assert PatchTransformer(2).fit_geometry((1, 1, 4)).scale_ == (1, 1, 4)
    with pytest.raises(GeometryMismatchError, match="not a whole multiple"):
        PatchTransformer(2).fit(low, high[:, :-1])
    with pytest.raises(GeometryMismatchError, match=r"y\[1\] has shape"):
        PatchTransformer(2).fit(list(low), [high[0], high[1, :6]])


@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_pairs_may_have_either_alignment_but_not_different_places(rng, alignment):
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    low = [nibabel.Nifti1Image(rng.random((6, 6, 3)), affine)]
    fine = scaled_affine(affine, (1, 1, 4), alignment)
    high = [nibabel.Nifti1Image(1 + rng.random((6, 6, 12)), fine)]
    rows, _, _ = PatchTransformer(2).fit(low, high).sample(low, high)
    assert len(rows)
    fine[0, 3] += 3
    moved = [nibabel.Nifti1Image(high[0].get_fdata(), fine)]
    with pytest.raises(GeometryMismatchError, match="3 mm apart"):
        PatchTransformer(2).fit(low, high).sample(low, moved)


def test_groups_name_the_subject_of_each_row(rng):
    volumes = [rng.random((4, 4, 4)), rng.random((6, 4, 4))]
    patcher = PatchTransformer(patch_size=2, stride=2).fit(volumes)
    np.testing.assert_array_equal(patcher.groups(volumes), [0] * 8 + [1] * 12)
    assert patcher.groups(volumes, ["a", "b"])[-1] == "b"


def test_random_patch_splits_leak_and_group_splits_do_not(rng):
    """Scores are too high if training and test patches come from the same subject."""
    gains = rng.uniform(0.5, 2.0, 8)
    low = rng.random((8, 12, 12, 6))
    high = gains[:, None, None, None] * low.repeat(2, axis=3)
    patcher = PatchTransformer((4, 4, 3), stride=1, background=1.0).fit(low, high)
    X, y, groups = patcher.sample(low, high, max_patches=1500, random_state=0)
    forest = ExtraTreesRegressor(20, min_samples_leaf=2, random_state=0, n_jobs=2)
    leaking = cross_val_score(forest, X, y, cv=KFold(4, shuffle=True, random_state=0)).mean()
    honest = cross_val_score(forest, X, y, groups=groups, cv=GroupKFold(4)).mean()
    assert leaking > honest + 0.1


def test_rows_feed_any_scikit_learn_regressor(rng):
    low, high = rng.random((3, 8, 8, 4)), rng.random((3, 8, 8, 16))
    patcher = PatchTransformer((3, 3, 2)).fit(low, high)
    X, y, groups = patcher.sample(low, high)
    for train, test in GroupKFold(3).split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])
    assert Ridge().fit(X, y).predict(X).shape == y.shape


def test_set_output_names_voxels(rng):
    pytest.importorskip("pandas")
    volumes = rng.random((1, 4, 4, 4))
    frame = PatchTransformer(2).set_output(transform="pandas").fit_transform(volumes)
    assert list(frame.columns[:2]) == ["voxel_0_0_0", "voxel_0_0_1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, v: p.fit(v[0]), "Wrap it in a list"),
        (lambda p, v: p.fit([]), "holds no volume"),
        (lambda p, v: p.fit([v[0], v[0][0]]), "has 2 dimensions"),
        (
            lambda p, v: p.fit_transform([np.full((4, 4, 4), np.nan)]),
            "64 of 64 voxels are NaN",
        ),
        (lambda p, v: p.fit(v).inverse_transform(np.zeros((3, 8))), "rows have shape"),
        (lambda p, v: p.fit(v).sample(v, v[:1]), "holds 2 volumes but y holds 1"),
        (lambda p, v: p.fit(v).sample(v, [v[0], v[1, :3]]), r"y\[1\] has shape"),
        (lambda p, v: p.set_params(stride=9).fit(v), "leaves voxels"),
        (lambda p, v: p.set_params(window="x").fit(v), "'window' parameter"),
        (lambda p, v: p.fit_transform([np.array([[["a"]]])]), "hold real numbers"),
    ],
)
def test_bad_input_is_refused(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(PatchTransformer(patch_size=2), rng.random((2, 4, 4, 4)))


def test_clone_keeps_parameters():
    patcher = PatchTransformer((3, 3, 1), stride=1, window="hann", background=0.5)
    assert clone(patcher).get_params() == patcher.get_params()


def test_inverse_transform_needs_known_shapes(rng):
    rows = rng.random((8, 64))
    patcher = PatchTransformer(4)
    with pytest.raises(ValueError, match=r"shapes of the volumes are not known.*pass shapes"):
        patcher.fit().inverse_transform(rows)
    assert patcher.inverse_transform(rows, shapes=[(6, 6, 6)])[0].shape == (6, 6, 6)
