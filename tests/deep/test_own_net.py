"""The net that the contributor page writes works as those of the package."""

import re
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.metrics import neg_nrmse_scorer, nrmse
from sklearn_iqt.preprocessing import upsample

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_net_of_the_contributor_page():
    (code,) = re.findall(r"^```python\n(from dataclasses.*?)^```$", PAGE.read_text(), re.M | re.S)
    names = {"__name__": "contributor"}
    exec(compile(code, str(PAGE), "exec"), names)
    rng = np.random.default_rng(0)
    low = (10 + rng.standard_normal((3, 12, 12, 8)).cumsum(axis=3)).astype(np.float32)
    high = upsample(low, (1, 1, 4)) ** 1.1
    net = names["TwoLayerRegressor"](8, patch_size=(8, 8, 4), max_epochs=60, random_state=0)
    assert (net.n_channels, net.lr, net.scale) == (8, 3e-3, (1, 1, 4))
    search = GridSearchCV(net, {"n_channels": [4, 8]}, cv=2, scoring=neg_nrmse_scorer)
    fitted = search.fit(low[:3], high[:3]).best_estimator_
    enhanced = fitted.predict(low)
    assert nrmse(high, enhanced) < 0.5 * nrmse(high, InterpolationIQT().fit(low, high).predict(low))
    tiled = fitted.set_params(tile_size=(4, 4, 3)).predict(low)
    np.testing.assert_allclose(tiled, enhanced, rtol=1e-4)
    assert clone(fitted).get_params() == fitted.get_params()
