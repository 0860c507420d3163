"""Tables are returned as data frames on request, and volumes are never."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from instances import name, scalers
from nibabel.nifti1 import Nifti1Image
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sklearn_iqt import (
    CoupledDictionaryIQT,
    NyulScaler,
    PatchTransformer,
    PatchwiseRegressor,
)

PATCHER = PatchTransformer(5, stride=3)
DICTIONARIES = CoupledDictionaryIQT(8, patcher=PATCHER, max_patches=200, max_iter=2, random_state=0)


@pytest.fixture
def pair(rng):
    high = rng.random((2, 12, 12, 12))
    return high.reshape(2, 12, 12, 3, 4).mean(axis=-1), high


def test_patches_are_a_frame_with_a_column_for_each_voxel(pair):
    _, high = pair
    rows = PatchTransformer(4).fit_transform(high)
    frame = PatchTransformer(4).set_output(transform="pandas").fit_transform(high)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns[[0, 1, -1]]) == ["voxel_0_0_0", "voxel_0_0_1", "voxel_3_3_3"]
    np.testing.assert_array_equal(frame.to_numpy(), rows)


def test_a_frame_of_patches_is_predicted_and_merged_into_volumes(pair):
    _, high = pair
    patcher = PatchTransformer(4).set_output(transform="pandas")
    frame = patcher.fit_transform(high)
    model = Ridge(alpha=1e-8).fit(frame, frame)
    assert list(model.feature_names_in_) == list(frame.columns)
    restored = patcher.inverse_transform(pd.DataFrame(model.predict(frame), columns=frame.columns))
    np.testing.assert_allclose(restored, high, atol=1e-3)


def test_codes_of_rows_are_a_frame_with_a_column_for_each_atom(rng):
    rows = rng.random((60, 125))
    model = clone(DICTIONARIES).fit(rows, rows)
    codes = model.transform(rows)
    frame = model.set_output(transform="pandas").transform(rows)
    assert list(frame.columns) == [f"atom{n}" for n in range(8)]
    np.testing.assert_array_equal(frame.to_numpy(), codes)
    assert isinstance(model.predict(rows), np.ndarray)


def test_codes_of_volumes_cannot_be_a_frame(pair):
    low, high = pair
    model = clone(DICTIONARIES).fit(low, high).set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"sparse matrices, not a pandas data frame; call set_out"):
        model.transform(low)
    assert model.set_output(transform="default").transform(low)[0].shape[1] == 8


@pytest.mark.parametrize("scaler", scalers(), ids=name)
def test_scaled_volumes_stay_volumes_in_a_pipeline_with_pandas_output(pair, scaler):
    _, high = pair
    pipeline = make_pipeline(clone(scaler), PatchTransformer(4))
    rows = pipeline.fit_transform(list(high))
    frame = pipeline.set_output(transform="pandas").fit_transform(list(high))
    assert isinstance(frame, pd.DataFrame)
    np.testing.assert_array_equal(frame.to_numpy(), rows)
    volumes = pipeline[0].transform(high)
    assert isinstance(volumes, np.ndarray)
    assert volumes.shape == high.shape


@pytest.mark.parametrize(
    "model",
    [DICTIONARIES, PatchwiseRegressor(max_patches=200, random_state=0)],
    ids=["srep", "ridge"],
)
def test_predictions_are_volumes_with_pandas_output(pair, model):
    low, high = pair
    images = [Nifti1Image(volume, np.diag([1, 1, 4, 1])) for volume in low]
    with sklearn.config_context(transform_output="pandas"):
        pipeline = make_pipeline(NyulScaler(), clone(model)).fit(low, high)
        assert pipeline.predict(low).shape == high.shape
        assert isinstance(pipeline.predict(images)[0], Nifti1Image)
