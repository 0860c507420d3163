"""Edges of known width are measured to within 5 %."""

import nibabel
import numpy as np
import pytest
from scipy.special import erf

from sklearn_iqt.metrics import edge_width, edge_width_error

SIZES = [(1.0, 1.0, 1.0), (0.868, 1.0, 0.868)]
NORMALS = [(1, 0, 0), (1, 1, 0), (1, 2, 3), "ball"]


def make_edge(fwhm, size=(1.0, 1.0, 1.0), normal=(1, 2, 3), side=36.0):
    """Return a volume with an edge, and its label map."""
    shape = [int(side / s) for s in size]
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(shape, size, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - side / 2
    if normal == "ball":
        away = np.linalg.norm(grid, axis=-1) - 10.3
    else:
        away = (grid - 0.2) @ (np.array(normal) / np.linalg.norm(normal))
    volume = 100 + 30 * erf(away * np.sqrt(8 * np.log(2)) / fwhm / np.sqrt(2))
    return volume, np.where(away > 0, 3, 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("normal", NORMALS)
@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0])
def test_the_width_of_a_blurred_step(size, normal, fwhm):
    volume, labels = make_edge(fwhm, size, normal)
    width = edge_width(volume, labels=labels, voxel_size_mm=size)
    assert width == pytest.approx(fwhm, rel=0.05)
    # Dark on bright, and in another unit.
    inverted = edge_width(1000 - 5 * volume, labels=labels, voxel_size_mm=size)
    assert inverted == pytest.approx(width)


@pytest.mark.parametrize("noise", [10, 20])
def test_noise_averages_out_with_a_reference(noise):
    truth, labels = make_edge(2.0)
    rng = np.random.default_rng(0)
    estimate = make_edge(4.0)[0] + noise * rng.normal(size=truth.shape)
    width = edge_width(estimate, labels=labels, reference=truth, voxel_size_mm=1)
    assert width == pytest.approx(4, rel=0.05)
    error = edge_width_error(truth, estimate, labels=labels, voxel_size_mm=1)
    assert error == pytest.approx(2, abs=0.25)
    assert edge_width(estimate, labels=labels, voxel_size_mm=1) < width


def test_only_edges_across_the_axis_count():
    sharp, first = make_edge(2.0, normal=(1, 0, 0))
    soft, second = make_edge(4.0, normal=(0, 0, 1))
    volume, labels = (np.concatenate(pair, axis=1) for pair in ((sharp, soft), (first, second)))
    options = {"labels": labels, "voxel_size_mm": 1}
    assert edge_width(volume, axis=0, **options) == pytest.approx(2, rel=0.05)
    assert edge_width(volume, axis=2, **options) == pytest.approx(4, rel=0.05)
    with pytest.raises(ValueError, match="only 0 borders"):
        edge_width(volume[:, :36], labels=labels[:, :36], voxel_size_mm=1, axis=1)
    mask = np.zeros(labels.shape, bool)
    mask[:, 36:] = True
    assert edge_width(volume, mask=mask, **options) == pytest.approx(4, rel=0.05)


def test_images_collections_and_matching():
    truth, labels = make_edge(2.0)
    soft, _ = make_edge(3.0)
    images = [nibabel.Nifti1Image(v, np.diag([2, 2, 2, 1.0])) for v in (truth, soft)]
    widths = edge_width(images, labels=[labels] * 2, per_volume=True, reach_mm=8)
    assert widths == pytest.approx([4, 6], rel=0.05)
    errors = [
        edge_width_error(images[0], 3 * soft + 5, labels=labels, match=match, reach_mm=8)
        for match in ("none", "gain", "affine")
    ]
    assert errors == pytest.approx([widths[1] - widths[0]] * 3, abs=0.02)


def test_what_cannot_be_measured_is_refused():
    volume, labels = make_edge(3.0)
    for options, message in (
        ({"tissues": ("gm", "gm")}, "tissues must be"),
        ({"tissues": ("gm", "bone")}, "tissues must be"),
        ({"tissues": ("gm", "csf")}, "no common border"),
        ({"axis": 4}, "axis must be"),
        ({"reach_mm": 0}, "reach_mm must be"),
        ({"reach_mm": 40}, "only 0 borders"),
        ({"voxel_size_mm": None}, "voxel size of an array is not known"),
        ({"labels": None}, "labels is None"),
    ):
        with pytest.raises(ValueError, match=f"edge_width: .*{message}"):
            edge_width(volume, **{"labels": labels, "voxel_size_mm": 1, **options})
    with pytest.raises(ValueError, match="constant"):
        edge_width(np.ones(volume.shape), labels=labels, voxel_size_mm=1)
    wide, _ = make_edge(30.0)
    with pytest.raises(ValueError, match=r"cannot be measured.*reach_mm"):
        edge_width(wide, labels=labels, voxel_size_mm=1)


def test_the_real_white_matter_border(shared_data):
    folder = shared_data / "ds002748"
    image, labels = (
        nibabel.load(folder / f"sub-13_{kind}.nii.gz").slicer[40:120, 30:100, 60:140]
        for kind in ("T1w", "tissues")
    )
    assert 1.2 < edge_width(image, labels=labels) < 3.5
