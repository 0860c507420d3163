"""Features folded into one matrix, and K-SVD."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.decomposition import TruncatedSVD

from sklearn_iqt.dictionary import feature_operator, fit_projection, ksvd, sparse_encode


def test_gradients_agree_with_filtering_inside_the_patch(rng):
    size, spacing = (9, 8, 20), (1, 2, 4)
    patch = rng.random(size)
    (operator,) = feature_operator(size, spacing, "gradient")
    maps = (operator @ patch.ravel()).reshape(6, *size)
    for axis, step in enumerate(spacing):
        second = np.zeros(2 * step + 1)
        second[[0, step, -1]] = 0.5, -1, 0.5
        first = np.zeros(step + 1)
        first[[0, -1]] = -1, 1
        # correlate1d centres a kernel of even length half a voxel low; the operator does too.
        expected_first = ndimage.correlate1d(patch, first, axis, mode="nearest")
        expected_second = ndimage.correlate1d(patch, second, axis, mode="nearest")
        inner = [slice(None)] * 3
        inner[axis] = slice(step, -step)
        shift = [0, 0, 0]
        shift[axis] = -((step + 1) // 2 - step // 2)
        expected_first = np.roll(expected_first, shift, (0, 1, 2))
        np.testing.assert_allclose(maps[2 * axis][tuple(inner)], expected_first[tuple(inner)])
        np.testing.assert_allclose(maps[2 * axis + 1], expected_second, atol=1e-12)


def test_gradients_do_not_see_a_constant():
    (operator,) = feature_operator((7, 7, 7), (1, 1, 4), "gradient")
    assert operator.shape == (2058, 343)
    np.testing.assert_allclose(operator @ np.ones(343), 0, atol=1e-12)


def test_texture_is_the_patch_minus_its_mean(rng):
    patch = rng.standard_normal(27)
    (operator,) = feature_operator((3, 3, 3), (1, 1, 4), "texture")
    np.testing.assert_allclose(operator @ patch, patch - patch.mean())


@pytest.mark.parametrize("features", ["gradient", "texture", "intensity", "both"])
def test_projection_is_features_then_principal_components(features, rng):
    X = rng.standard_normal((400, 27)) @ np.diag(np.linspace(2, 0.1, 27))
    operators = feature_operator((3, 3, 3), (1, 1, 1), features)
    explicit = np.hstack([(operator @ X.T).T for operator in operators]) / np.sqrt(27)
    projection = fit_projection(X, operators, 8)
    reduced = X @ projection.T
    expected = TruncatedSVD(8, algorithm="arpack").fit_transform(explicit)
    np.testing.assert_allclose(np.abs(reduced), np.abs(expected), rtol=1e-6, atol=1e-8)


def test_all_components_keep_the_geometry_of_the_features(rng):
    X = rng.standard_normal((300, 27))
    (operator,) = feature_operator((3, 3, 3), (1, 1, 1), "gradient")
    explicit = (operator @ X.T).T / np.sqrt(27)
    reduced = X @ fit_projection(X, [operator], None).T
    np.testing.assert_allclose(reduced @ reduced.T, explicit @ explicit.T, atol=1e-8)


def test_fraction_of_energy_is_kept(rng):
    X = rng.standard_normal((300, 27))
    (operator,) = feature_operator((3, 3, 3), (1, 1, 1), "gradient")
    energy = [np.sum((X @ fit_projection(X, [operator], n).T) ** 2) for n in (0.9, None)]
    assert 0.9 <= energy[0] / energy[1] < 1


def test_constant_patches_have_no_features():
    with pytest.raises(ValueError, match="features of all training patches are zero"):
        fit_projection(np.ones((5, 27)), feature_operator((3, 3, 3), (1, 1, 1), "gradient"), 0.9)


def test_ksvd_recovers_the_atoms_it_was_generated_from(rng):
    truth = rng.standard_normal((20, 16))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    X = np.zeros((3000, 16))
    for row in X:
        row += rng.standard_normal(2) @ truth[rng.choice(20, 2, replace=False)]
    dictionary, errors = ksvd(X, 20, n_nonzero_coefs=2, max_iter=60, tol=0, random_state=1)
    assert errors[-1] < 0.25 * errors[0]
    assert (np.abs(truth @ dictionary.T).max(axis=1) > 0.99).mean() > 0.8
    np.testing.assert_allclose(np.linalg.norm(dictionary, axis=1), 1)


def test_ksvd_beats_random_atoms_and_replaces_dead_ones(rng):
    X = rng.standard_normal((500, 10)) @ rng.standard_normal((10, 10))
    X[:50] = X[0]  # ten copies of one signal start as duplicate, hence unused, atoms
    dictionary, _ = ksvd(X, 120, max_iter=10, random_state=0)
    codes = sparse_encode(X, dictionary, solver="batch_omp", n_nonzero_coefs=3)
    unused = np.count_nonzero(codes.getnnz(axis=0) == 0)
    assert unused <= 12
    start, _ = ksvd(X, 120, max_iter=1, random_state=0)
    first = X - sparse_encode(X, start, solver="batch_omp", n_nonzero_coefs=3) @ start
    last = X - codes @ dictionary
    assert np.sum(last**2) < np.sum(first**2)


def test_ksvd_with_fewer_signals_than_atoms_and_zero_signals(rng):
    X = np.vstack([rng.standard_normal((6, 4)), np.zeros((5, 4))])
    dictionary, _ = ksvd(X, 50, random_state=0)
    assert dictionary.shape == (6, 4)
    assert np.isfinite(dictionary).all()


def test_ksvd_of_nothing_but_zeros():
    with pytest.raises(ValueError, match="ksvd: all signals are zero"):
        ksvd(np.zeros((5, 4)), 3)
