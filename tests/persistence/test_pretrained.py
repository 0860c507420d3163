"""Models that come with the package."""

import numpy as np
import pytest

from sklearn_iqt import AnyGridIQT, load_pretrained
from sklearn_iqt.persistence import _pretrained, list_pretrained

SHIPPED = sorted(_pretrained.FOLDER.glob("*.iqt"))


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"load_pretrained: there is no model '../x'\. Models: "):
        load_pretrained("../x")


def test_models_are_listed_by_name():
    assert list(list_pretrained()) == [path.stem for path in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_model_is_small_and_described(path):
    card = list_pretrained()[path.stem]
    assert path.stat().st_size < 3 * 2**20
    assert card.license == "CC0-1.0"
    assert "oasis" not in str(card.as_dict()).lower()
    assert "not for diagnosis" in card.intended_use
    for field in ("cohort", "recipe", "commit", "limits", "scores", "surface", "contrast"):
        assert getattr(card, field), field


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_model_loads_for_any_scan(path):
    pytest.importorskip("torch")
    model = load_pretrained(path.stem)
    assert isinstance(model, AnyGridIQT)
    np.testing.assert_allclose(model.estimator_.spacing_, 1, rtol=1e-3)
