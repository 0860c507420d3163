"""What is shown while the package works: nothing unless asked for."""

import numpy as np
import pytest

from sklearn_iqt import AnisoUNetRegressor, PatchTransformer
from sklearn_iqt.deep import _training

RNG = np.random.default_rng(0)
HIGH = [(100 * RNG.random((12, 12, 16)) + 10).astype(np.float32) for _ in range(2)]
LOW = [volume.reshape(12, 12, 4, 4).mean(axis=-1) for volume in HIGH]


@pytest.mark.parametrize("long", [True, False])
def test_a_long_training_says_so_after_its_first_steps(long, monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(_training, "LONG_MINUTES", 0 if long else 60)
    net = AnisoUNetRegressor(
        2,
        3,
        patcher=PatchTransformer((8, 8, 2)),
        batch_size=2,
        max_steps=12,
        epoch_size=4,
        checkpoint=tmp_path / "state",
        random_state=0,
        verbose=1,
    )
    net.fit(LOW, HIGH)
    out, err = capfd.readouterr()
    assert out == ""
    assert "12/12" in err
    assert ("AnisoUNetRegressor: 7 more steps" in err) == long
    assert ("max_steps" in err) == long
    # A training that goes on shows what was done before.
    net.set_params(max_steps=14).fit(LOW, HIGH)
    err = capfd.readouterr().err
    assert "14/14" in err
    assert "0/14" not in err.replace("10/14", "")
