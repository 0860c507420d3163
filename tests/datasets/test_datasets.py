"""The template, and the subjects made from it."""

import sys

import nibabel
import numpy as np
import pytest

from sklearn_iqt.datasets import load_icbm152, make_subjects
from sklearn_iqt.datasets._subjects import _jacobian, _random_field, _random_warp
from sklearn_iqt.simulation import LowFieldSimulator

pytest.importorskip("nilearn")

SHAPE = (64, 48, 40)


@pytest.fixture(scope="module")
def template():
    return load_icbm152()


@pytest.fixture(scope="module")
def subjects():
    return make_subjects(3, shape=SHAPE, random_state=0)


def test_the_template_is_one_skull_stripped_brain(template):
    volume = template.image.get_fdata()
    assert volume.shape == (197, 233, 189)
    assert nibabel.aff2axcodes(template.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(template.image.affine, template.affine)
    litres = (volume > 0).sum() / 1e6
    assert 1.5 < litres < 2.1
    assert "ICBM" in template.description


def test_the_tissue_maps_sum_to_one_in_the_brain(template):
    volume = template.image.get_fdata(dtype=np.float32)
    assert template.tissues.dtype == np.float32
    assert template.tissues.min() == 0
    np.testing.assert_allclose(template.tissues.sum(axis=0), volume > 0, atol=1e-5)
    fluid, grey, white = (volume[tissue > 0.9].mean() for tissue in template.tissues)
    assert fluid < 0.6 * grey < 0.6 * white
    # Ventricles are CSF and the corpus callosum is white matter, at these positions in MNI space.
    to_voxel = np.linalg.inv(template.affine)
    for mm, tissue in (((-8, -22, 18), 0), ((0, 18, 16), 2), ((-26, 2, 2), 1)):
        voxel = tuple(np.round(to_voxel @ [*mm, 1]).astype(int)[:3])
        assert np.argmax(template.tissues[(slice(None), *voxel)]) == tissue


def test_subjects_have_the_contrast_of_t1_weighted_scans(subjects):
    for image, tissues in zip(subjects.images, subjects.tissues, strict=True):
        volume = np.asarray(image.dataobj)
        assert volume.dtype == tissues.dtype == np.float32
        assert volume.shape == SHAPE
        fluid, grey, white = (volume[tissue > 0.9].mean() for tissue in tissues)
        assert 1.3 < white / grey < 1.6
        assert 0.2 < fluid / grey < 0.65
        assert tissues.min() >= 0
        np.testing.assert_allclose(tissues.sum(axis=0), volume > 0, atol=1e-5)
        np.testing.assert_array_equal(image.affine, subjects.affine)


def test_subjects_differ_in_anatomy_and_stay_in_place(subjects, template):
    labels = [np.argmax(tissues, axis=0) for tissues in subjects.tissues]
    start = np.round(subjects.affine[:3, 3] - template.affine[:3, 3]).astype(int)
    crop = tuple(slice(a, a + n) for a, n in zip(start, SHAPE, strict=True))
    average = np.argmax(template.tissues[(slice(None), *crop)], axis=0)
    for n, one in enumerate(labels):
        assert 0.5 < (one == average).mean() < 0.95
        for other in labels[n + 1 :]:
            assert 0.4 < (one == other).mean() < 0.95


def test_a_subject_depends_only_on_its_seed_and_number(subjects):
    fewer = make_subjects(2, shape=SHAPE, random_state=0, n_jobs=2)
    for ours, theirs in zip(fewer.images, subjects.images, strict=False):
        np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
    other = make_subjects(1, shape=SHAPE, random_state=1)
    assert not np.array_equal(other.images[0].dataobj, subjects.images[0].dataobj)


@pytest.mark.parametrize("seed", range(8))
def test_warps_never_fold(seed):
    shape = (48, 40, 44)
    warp = _random_warp(shape, np.random.RandomState(seed))
    identity = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    displacement = (warp - identity).astype(np.float32)
    assert _jacobian(displacement).min() > 0.2
    moved = np.linalg.norm(displacement, axis=0)
    assert 1 < moved.mean() < 12


def test_the_jacobian_of_a_linear_map_is_its_determinant(rng):
    matrix = np.eye(3) + rng.normal(0, 0.2, (3, 3))
    grid = np.stack(np.meshgrid(*map(np.arange, (5, 6, 7)), indexing="ij")).astype(float)
    displacement = np.tensordot(matrix - np.eye(3), grid, axes=1)
    np.testing.assert_allclose(_jacobian(displacement), np.linalg.det(matrix))


def test_fields_have_the_requested_amplitude_and_smoothness():
    field = _random_field((160, 160, 160), 8.0, 3.0, np.random.RandomState(0))
    assert field.shape == (160, 160, 160)
    assert abs(field.std() / 3 - 1) < 0.15
    # Noise that is smoothed by a Gaussian has gradients of rms / (sigma sqrt 2).
    gradient = np.gradient(field, axis=1)[8:-8, 8:-8, 8:-8].std()
    assert abs(gradient / (3 / (8 * np.sqrt(2))) - 1) < 0.15


def test_the_default_grid_holds_the_whole_brain():
    subject = make_subjects(1, random_state=3)
    volume = np.asarray(subject.images[0].dataobj)
    assert volume.shape == (160, 192, 160)
    assert nibabel.aff2axcodes(subject.affine) == ("R", "A", "S")
    for axis in range(3):
        # The template itself ends in the brain stem, at the first voxel of the third axis.
        assert not np.take(volume, -1, axis).any()
        assert not np.take(volume, 0, axis).any()
    assert 1.5e6 < (volume > 0).sum() < 2.3e6


def test_the_simulator_accepts_the_subjects(subjects):
    pairs = LowFieldSimulator("ind1", random_state=0).simulate(subjects.images, subjects.tissues)
    assert [low.shape for low in pairs.low] == [(64, 48, 10)] * 3
    assert np.all(pairs.mahalanobis < 1)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_subjects": 0}, "n_subjects must be a positive integer"),
        ({"n_subjects": 1.5}, "n_subjects must be a positive integer"),
        ({"shape": (32, 32)}, "shape must be three integers"),
        ({"shape": (32, 32, 4)}, "at least 8"),
        ({"shape": (32.0, 32, 32)}, "shape must be three integers"),
    ],
)
def test_wrong_parameters_are_refused(params, match):
    with pytest.raises(ValueError, match=match):
        make_subjects(**params)


def test_without_nilearn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(ImportError, match=r"sklearn-iqt\[demo\]"):
        load_icbm152()
