"""Containers that hold no volumes are refused with what to pass instead."""

import contextlib

import nibabel
import numpy as np
import pytest

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.io import as_volumes, is_rows, save_volume
from sklearn_iqt.metrics import nrmse

VOLUME = np.ones((4, 4, 4))
OBJECTS = np.empty((2, 2), dtype=object)
REFUSED = {
    "one path": ("scan.nii", r"X is a single str\. Wrap it in a list: \[X\]"),
    "one image": (nibabel.Nifti1Image(VOLUME, np.eye(4)), "X is a single Nifti1Image"),
    "one array": (VOLUME, r"one 3-D array of shape \(4, 4, 4\).*Wrap it in a list"),
    "five dimensions": (np.ones((1, 1, 4, 4, 4)), "5 dimensions"),
    "a table of objects": (OBJECTS, r"object array of shape \(2, 2\).*Pass a list"),
    "a dict": ({"scan": VOLUME}, "X is a dict"),
    "an empty list": ([], "X .*at least one"),
    "an empty stack": (np.ones((0, 4, 4, 4)), "X .*at least one"),
}
ITEMS = {
    "a slice": (np.ones((4, 4)), r"X\[1\] has 2 dimensions"),
    "text": (np.full((4, 4, 4), "a"), r"X\[1\] has dtype <U1"),
    "no voxels": (np.ones((4, 0, 4)), r"X\[1\] is empty, shape \(4, 0, 4\)"),
    "infinity": (np.where(np.eye(4) > 0, np.inf, VOLUME), r"X\[1\]: 16 of \d+ voxels are NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_containers_of_no_volumes_are_refused(case):
    container, match = REFUSED[case]
    with pytest.raises(ValueError, match=match):
        as_volumes(container)


@pytest.mark.parametrize("case", ITEMS)
def test_items_that_are_not_volumes_are_refused_by_number(case):
    item, match = ITEMS[case]
    with pytest.raises(ValueError, match=match):
        list(as_volumes([VOLUME, item]))


def test_fingerprints_follow_the_voxels_and_the_place():
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    moved = nibabel.Nifti1Image(VOLUME, 2 * np.eye(4))
    brighter = nibabel.Nifti1Image(2 * VOLUME, np.eye(4))
    prints = {as_volumes([one]).fingerprint() for one in (image, moved, brighter, VOLUME)}
    assert len(prints) == 4
    same = nibabel.Nifti1Image(VOLUME.copy(), np.eye(4))
    assert as_volumes([same]).fingerprint() == as_volumes([image]).fingerprint()


class Column:
    """A column of a table: it has one axis, and is indexed by labels, as a pandas Series."""

    def __init__(self, items):
        self.items, self.ndim = items, 1

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)


def test_columns_of_paths_are_taken_as_paths(tmp_path):
    paths = [str(save_volume(VOLUME, tmp_path / f"{n}.nii")) for n in range(2)]
    columns = [Column(paths), np.array(paths), np.array(paths, dtype=object)]
    if hasattr(np, "dtypes") and hasattr(np.dtypes, "StringDType"):  # numpy 2
        columns.append(np.array(paths, dtype=np.dtypes.StringDType()))
    with contextlib.suppress(ImportError):
        import pandas

        columns.append(pandas.Series(paths, index=[7, 9]))
        columns.append(pandas.Series(paths, dtype="string"))
    for column in columns:
        result = InterpolationIQT(scale=2).fit(column).predict(column)
        assert [image.shape for image in result] == [(8, 8, 8)] * 2


def test_a_generator_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"X is a generator.*list\(X\)"):
        InterpolationIQT(scale=2).fit(VOLUME for _ in range(2))


def test_tensors_are_taken_as_arrays_or_refused():
    torch = pytest.importorskip("torch")
    volumes = torch.ones((2, 4, 4, 4))
    model = InterpolationIQT(scale=2).fit(volumes)
    assert model.predict(volumes).shape == (2, 8, 8, 8)
    assert model.predict(list(volumes))[1].shape == (8, 8, 8)
    with pytest.raises(ValueError, match=r"torch.Tensor.*X\.detach\(\)\.cpu\(\)\.numpy\(\)"):
        model.predict(volumes.requires_grad_())


@pytest.fixture
def table(tmp_path):
    """Return a data frame of the paths of low and high scans, in rows that have labels."""
    pandas = pytest.importorskip("pandas")
    paths = {
        name: [str(save_volume(VOLUME * (n + 1), tmp_path / f"{name}{n}.nii")) for n in range(2)]
        for name in ("low", "high")
    }
    return pandas.DataFrame(paths, index=[7, 5])


def test_a_table_with_one_column_of_paths_is_taken(table):
    for column in (table[["low"]], table[["low"]].to_numpy(), table["low"].to_numpy("U")[:, None]):
        volumes = as_volumes(column)
        assert [float(volume.max()) for volume in volumes] == [1, 2]
        model = InterpolationIQT(scale=1).fit(column)
        assert [image.shape for image in model.predict(column)] == [(4, 4, 4)] * 2


def test_a_table_with_more_columns_of_paths_is_refused(table):
    for columns in (table, table.to_numpy(), table.to_numpy("U")):
        for use in (as_volumes, InterpolationIQT().fit, neg_nrmse):
            with pytest.raises(ValueError, match=r"table of paths.* 2 columns.*a single column"):
                use(columns)


def neg_nrmse(volumes):
    return nrmse(volumes, volumes)


def test_a_table_of_numbers_holds_rows(table):
    pandas = pytest.importorskip("pandas")
    numbers = pandas.DataFrame(np.zeros((3, 1)))
    assert is_rows(numbers)
    assert is_rows(numbers.astype(object))
    assert is_rows(pandas.DataFrame(columns=["low"]))
