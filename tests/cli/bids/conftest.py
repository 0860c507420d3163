"""A BIDS dataset and a model."""

import json
import shutil

import numpy as np
import pytest
from bids_dataset import AFFINE, SCANS, make_scan
from nibabel import Nifti1Image

from sklearn_iqt import PatchwiseRegressor
from sklearn_iqt.io import save_volume, scaled_affine
from sklearn_iqt.persistence import TrainingCard, save_model


@pytest.fixture
def dataset(tmp_path):
    """Return the folder of a small dataset with three scans of two participants."""
    folder = tmp_path / "bids"
    for n, name in enumerate(SCANS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_volume(make_scan(n), path, affine=AFFINE)
    # Files that are not T1w scans.
    shutil.copy(folder / SCANS[0], folder / "sub-01/anat/sub-01_T2w.nii.gz")
    (folder / "sub-01/anat/._sub-01_T1w.nii.gz").write_bytes(
        b"metadata of another operating system"
    )
    (folder / "sub-03/func").mkdir(parents=True)
    described = {"Name": "Balls", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.1/x"}
    (folder / "dataset_description.json").write_text(json.dumps(described))
    (folder / "T1w.json").write_text('{"SkullStripped": true, "EchoTime": 0.004}')
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the path of a fitted model."""
    high = np.random.default_rng(0).random((2, 12, 12, 24)).astype(np.float32)
    low = high.reshape(2, 12, 12, 6, 4).mean(axis=-1)
    affines = AFFINE, scaled_affine(AFFINE, (1, 1, 4))
    pairs = [
        [Nifti1Image(volume, affine) for volume in volumes]
        for volumes, affine in zip((low, high), affines, strict=True)
    ]
    fitted = PatchwiseRegressor(random_state=0).fit(*pairs)
    path = tmp_path_factory.mktemp("models") / "ridge.iqt"
    return save_model(fitted, path, training=TrainingCard(spacing_low_mm=(1, 1, 4), n_pairs=2))
