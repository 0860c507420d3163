"""On real scans, T2-weighted scans, FLAIR scans and whole heads are refused."""

import nibabel
import numpy as np
import pytest

from sklearn_iqt import LowFieldSimulator, PatchwiseRegressor, check_scan, load_volume
from sklearn_iqt.io._orientation import axis_codes, same_axes
from sklearn_iqt.simulation import degrade

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-13")  # the last is a validation subject


@pytest.fixture(scope="module")
def trained(shared_data):
    """Return a model of three brains with coronal slices, and a scan of a fourth."""
    folder = shared_data / "ds002748"
    images = [load_volume(folder / f"{subject}_T1w.nii.gz") for subject in SUBJECTS]
    labels = [
        np.asarray(load_volume(folder / f"{subject}_tissues.nii.gz").dataobj)
        for subject in SUBJECTS
    ]
    pairs = LowFieldSimulator(random_state=0).simulate(images, labels)
    model = PatchwiseRegressor(max_patches=2000, random_state=0)
    return model.fit(pairs.low[:3], pairs.high[:3]), pairs.low[3]


def coronal(path):
    """Return a scan with coronal slices, with its axes in the order of the training."""
    image = load_volume(path)
    axis = same_axes(axis_codes(image.affine)).index("A")
    order = [n for n in range(3) if n != axis] + [axis]
    voxels = np.transpose(image.get_fdata(dtype=np.float32), order)
    # The size of the voxels does not matter here.
    return degrade(voxels, scale=(1, 1, 4))


def test_a_scan_of_another_subject_is_ok(trained):
    model, scan = trained
    assert check_scan(scan, model).verdict == "ok"


@pytest.mark.parametrize(
    "name",
    ["lesions/sub-ms07_T2w", "lesions/sub-ms07_FLAIR", "lesions/sub-ms26_FLAIR",
     "heads/sub-01_T1w"],
)  # fmt: skip
def test_other_kinds_of_scans_are_refused(name, trained, shared_data):
    model, scan = trained
    voxels = coronal(shared_data / f"{name}.nii.gz")
    check = check_scan(nibabel.Nifti1Image(voxels, scan.affine), model)
    assert check.verdict == "refuse"
    topics = [finding.topic for finding in check.findings if finding.verdict == "refuse"]
    assert ("skull" if name.startswith("heads") else "kind of contrast") in topics
