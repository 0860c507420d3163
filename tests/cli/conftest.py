"""Scans, pairs and a model on disk."""

import numpy as np
import pytest
from command_line import AFFINE, make_brain, run

from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.io._orientation import reorient
from sklearn_iqt.preprocessing import resample_to_voxel_size


@pytest.fixture
def brains(tmp_path):
    """Return the paths of two scans and of their label maps."""
    folder = tmp_path / "brains"
    folder.mkdir()
    scans, maps = [], []
    for n in range(2):
        volume, labels = make_brain(n)
        scan, label_map = folder / f"sub-{n}_T1w.nii.gz", folder / f"sub-{n}_seg.nii.gz"
        scans.append(str(save_volume(volume, scan, affine=AFFINE)))
        maps.append(str(save_volume(labels, label_map, affine=AFFINE, dtype="uint8")))
    return scans, maps


@pytest.fixture
def pairs(brains, tmp_path):
    """Return a folder of simulated pairs."""
    scans, maps = brains
    folder = tmp_path / "pairs"
    assert run("simulate", *scans, "--tissues", *maps, "--output-dir", folder, "--quiet") == 0
    return folder


@pytest.fixture
def model(pairs, tmp_path):
    """Return the path of a fitted model."""
    path = tmp_path / "ridge.iqt"
    low, high = sorted(pairs.glob("*_low.nii.gz")), sorted(pairs.glob("*_high.nii.gz"))
    arguments = ["--low", *low, "--high", *high, "--method", "ridge", "--output", path, "--quiet"]
    assert run("fit", *arguments) == 0
    return path


@pytest.fixture
def head(brains, tmp_path):
    """Return the paths of a head with a scalp, and of the mask of its brain."""
    volume, labels = (np.pad(array, 8) for array in make_brain(0))
    place = np.indices(volume.shape) - np.reshape([19.5, 20.5, 23.5], (3, 1, 1, 1))
    radius = np.sqrt(place[0] ** 2 + place[1] ** 2 + (0.8 * place[2]) ** 2)
    volume = np.where((radius > 14) & (radius < 16), 280, volume)
    scan, mask = tmp_path / "sub-0_head.nii.gz", tmp_path / "sub-0_brain.nii.gz"
    save_volume(volume, scan, affine=AFFINE)
    save_volume(labels > 0, mask, affine=AFFINE, dtype="uint8")
    return str(scan), str(mask)


@pytest.fixture
def turned(pairs, tmp_path):
    """Return paths of a scan with its axes in another order and other voxels, and of its mask."""
    low = load_volume(pairs / "sub-0_T1w_low.nii.gz")
    turned = reorient(resample_to_voxel_size(low, (1.2, 1.2, 4), order=1), "AIR")
    scan = save_volume(turned, tmp_path / "turned.nii.gz")
    mask = np.asarray(turned.dataobj) > 30
    return scan, save_volume(mask, tmp_path / "mask.nii", affine=turned.affine, dtype="uint8")


@pytest.fixture
def moved(brains, tmp_path):
    """Return the path of a scan that has the right shape and the wrong affine."""
    affine = AFFINE.copy()
    affine[0, 3] += 7
    return str(save_volume(make_brain(1)[0], tmp_path / "moved.nii.gz", affine=affine))
