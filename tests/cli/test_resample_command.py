"""The command resample: the same voxels as in Python, and labels that stay labels."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from sklearn_iqt.cli import main
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.preprocessing import resample_to, resample_to_voxel_size

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 1.2, -30], [0, 1.0, 0, -10], [0, 0, 0, 1]])


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path, rng):
    """Return the paths of a scan, of its label map and of a coarse scan of the same place."""
    place = np.indices((20, 22, 24)) - 11
    labels = np.digitize(-np.sqrt((place**2).sum(axis=0)), [-10, -7, -4])
    scan = np.where(labels, 60 * labels + rng.normal(0, 5, labels.shape), 0)
    coarse = AFFINE @ np.diag([1, 2, 3, 1])
    return [
        save_volume(scan, tmp_path / "scan.nii.gz", affine=AFFINE),
        save_volume(100 * labels, tmp_path / "seg.nii.gz", affine=AFFINE, dtype="int16"),
        save_volume(scan[:, ::2, ::3], tmp_path / "coarse.nii", affine=coarse),
    ]


def test_the_command_equals_the_functions(files, tmp_path, capsys):
    scan, _, coarse = files
    output = tmp_path / "a" / "out.nii.gz"
    for options, expected in (
        (("--voxel-size", 1, 1, 3), resample_to_voxel_size(scan, (1, 1, 3))),
        (("--voxel-size", 2), resample_to_voxel_size(scan, 2)),
        (("--voxel-size", 2, "--order", 1), resample_to_voxel_size(scan, 2, order=1)),
        (("--like", coarse), resample_to(scan, coarse)),
    ):
        assert run("resample", scan, *options, "--output", output, "--quiet", "--force") == 0
        found = load_volume(output)
        np.testing.assert_allclose(found.dataobj, expected.dataobj, rtol=1e-6)
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
    assert capsys.readouterr().err == ""
    assert run("resample", scan, coarse, "--voxel-size", 1, "--output-dir", tmp_path / "b") == 0
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "coarse_resampled.nii.gz",
        "scan_resampled.nii.gz",
    ]
    assert f"wrote {tmp_path / 'b'}" in capsys.readouterr().err


def test_labels_stay_labels_and_integers(files, tmp_path, capsys):
    scan, labels, coarse = files
    output = tmp_path / "out.nii"
    for options, message in (
        ((), "looks like a label map"),
        (("--labels",), ""),
        (("--order", 0), ""),
    ):
        assert (
            run("resample", labels, "--like", coarse, "--output", output, "--force", *options) == 0
        )
        found = nibabel.load(output)
        assert found.get_data_dtype() == np.uint16
        assert set(np.unique(found.dataobj)) == {0, 100, 200, 300}
        assert message in capsys.readouterr().err
    assert run("resample", scan, "--like", coarse, "--output", tmp_path / "x.nii", "--labels") == 2
    assert "not a label map" in capsys.readouterr().err
    assert not (tmp_path / "x.nii").exists()


def test_files_are_safe_and_places_are_compared(files, tmp_path, capsys):
    scan, _, coarse = files
    before = coarse.read_bytes()
    assert run("resample", scan, "--like", coarse, "--output", coarse, "--force") == 2
    assert "is an input" in capsys.readouterr().err
    output = tmp_path / "out.nii"
    output.write_bytes(b"precious")
    assert run("resample", scan, "--voxel-size", 2, "--output", output) == 2
    assert "--force" in capsys.readouterr().err
    far = AFFINE.copy()
    far[:3, 3] += 500
    other = save_volume(np.ones((4, 4, 4)), tmp_path / "far.nii", affine=far)
    assert run("resample", scan, "--like", other, "--output", output, "--force") == 2
    assert "outside of the field of view" in capsys.readouterr().err
    assert output.read_bytes() == b"precious"
    assert coarse.read_bytes() == before


def test_nan_is_background_on_request(files, tmp_path):
    volume = np.full((8, 8, 8), np.nan, "f4")
    volume[2:] = np.random.default_rng(0).random((6, 8, 8))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "nan.nii")
    arguments = [
        "resample",
        tmp_path / "nan.nii",
        "--voxel-size",
        2,
        "--output",
        tmp_path / "o.nii",
    ]
    assert run(*arguments) == 2
    assert run(*arguments, "--nan", "background") == 0
    assert load_volume(tmp_path / "o.nii").shape == (4, 4, 4)
