"""Genuine model files, and a check that a file is refused."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import load_model, save_model
from sklearn_iqt.preprocessing import NyulScaler, TissueScaler


@pytest.fixture(scope="session")
def genuine(tmp_path_factory):
    """Return the bytes of valid files: a dictionary, a ridge, and a pipeline with scalers."""
    high = np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32) + 0.5
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    patcher = PatchTransformer(3)
    models = {
        "srep": CoupledDictionaryIQT(6, patcher=patcher, max_iter=1, random_state=0),
        "ridge": PatchwiseRegressor(patcher=patcher, random_state=0),
        "pipeline": make_pipeline(
            TissueScaler(), NyulScaler(), PatchwiseRegressor(patcher=patcher, random_state=0)
        ),
    }
    folder = tmp_path_factory.mktemp("genuine")
    return {
        name: save_model(model.fit(low, high), folder / f"{name}.iqt").read_bytes()
        for name, model in models.items()
    }


@pytest.fixture
def refused(tmp_path):
    """Return a function that writes a file and checks that it is refused with a message."""

    def check(content, match=None):
        path = tmp_path / "model.iqt"
        path.write_bytes(content)
        with pytest.raises(UntrustedModelError, match=match) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
        assert "model.iqt" in str(caught.value)

    return check
