"""Classes of the user are stored and loaded once the user has registered them."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from sklearn_iqt import InterpolationIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import load_model, register_class, save_model

MODULE = '''
import numpy as np
from sklearn_iqt import PatchTransformer
from sklearn_iqt.base import BasePatchRegressor
from sklearn_iqt.persistence import register_class


@register_class
class MeanDetail(BasePatchRegressor):
    """Add the mean difference between high and interpolated patches."""

    def __init__(
        self, *, patcher=None, scale=(1, 1, 4), alignment="center", max_patches=1000,
        random_state=None, verbose=0,
    ):
        self.patcher = patcher
        self.scale = scale
        self.alignment = alignment
        self.max_patches = max_patches
        self.random_state = random_state
        self.verbose = verbose

    def _default_patcher(self):
        return PatchTransformer(3)

    def _fit_patches(self, X, y, groups):
        self.detail_ = (y - self._baseline_patches(X)).mean(axis=0)

    def _predict_patches(self, X):
        return self._baseline_patches(X) + self.detail_
'''


@pytest.fixture
def own_module(tmp_path):
    """Return the path of a module that registers a class, which this process does not import."""
    path = tmp_path / "own_method.py"
    path.write_text(MODULE)
    return path


@pytest.fixture
def pairs():
    high = np.random.default_rng(0).random((2, 8, 8, 16)) + 0.5
    return high.reshape(2, 8, 8, 4, 4).mean(axis=-1), high


def run(code, *args, cwd):
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_an_own_class_is_stored_in_one_process_and_loaded_in_another(own_module, pairs, tmp_path):
    np.savez(tmp_path / "pairs.npz", low=pairs[0], high=pairs[1])
    saved = run(
        "import numpy as np, own_method\n"
        "from sklearn_iqt.persistence import save_model\n"
        "pairs = np.load('pairs.npz')\n"
        "model = own_method.MeanDetail(random_state=0).fit(pairs['low'], pairs['high'])\n"
        "save_model(model, 'own.iqt')\n"
        "np.save('saved.npy', model.predict(pairs['low']))\n",
        cwd=tmp_path,
    )
    assert saved.returncode == 0, saved.stderr
    # The file names the class, and causes no import of the module in this folder.
    with pytest.raises(UntrustedModelError, match=r"'MeanDetail'.*register_class.*--import"):
        load_model(tmp_path / "own.iqt")
    assert "own_method" not in sys.modules
    loaded = run(
        "import numpy as np, own_method\n"
        "from sklearn_iqt.persistence import load_model\n"
        "low = np.load('pairs.npz')['low']\n"
        "model = load_model('own.iqt')\n"
        "assert type(model) is own_method.MeanDetail\n"
        "assert (model.predict(low) == np.load('saved.npy')).all()\n",
        cwd=tmp_path,
    )
    assert loaded.returncode == 0, loaded.stderr


@register_class
class Median(RegressorMixin, BaseEstimator):
    """A regressor of the user, inside a PatchwiseRegressor."""

    def fit(self, X, y):
        self.median_ = np.median(y, axis=0)
        return self

    def predict(self, X):
        return np.tile(self.median_, (len(X), 1))


def test_an_own_regressor_is_stored_inside_a_model(pairs, tmp_path):
    model = PatchwiseRegressor(Median(), PatchTransformer(3), random_state=0).fit(*pairs)
    loaded = load_model(save_model(model, tmp_path / "model.iqt"))
    assert type(loaded.estimator_) is Median
    np.testing.assert_array_equal(loaded.predict(pairs[0]), model.predict(pairs[0]))


class Shaped(InterpolationIQT):
    """An estimator with an array whose shape is checked."""

    def _fit_cohort(self, cohort):
        self.weights_ = np.ones(self.n_features_in_)


def test_arrays_of_an_own_class_have_the_registered_shapes(pairs, tmp_path):
    register_class(Shaped, shapes={"weights_": ("n_features_in_",)})
    model = InterpolationIQT().fit(*pairs)
    model.__class__ = Shaped
    for n, allowed in ((model.n_features_in_, True), (3, False)):
        model.weights_ = np.ones(n)
        path = tmp_path / "model.iqt"
        if allowed:
            assert load_model(save_model(model, path)).weights_.shape == (n,)
        else:
            with pytest.raises(ValueError, match=r"would refuse the file.*weights_ has shape"):
                save_model(model, path, overwrite=True)


def test_a_class_that_is_defined_again_replaces_the_first():
    def define():
        class Again(InterpolationIQT):
            """The same class, as in a cell of a notebook that is run twice."""

        return register_class(Again)

    define()
    define()


@pytest.mark.parametrize(
    ("cls", "error", "match"),
    [
        (type("Ridge", (BaseEstimator,), {}), ValueError, "another Ridge"),
        (type("Median", (BaseEstimator,), {"__module__": "x"}), ValueError, "another Median"),
        (dict, TypeError, "class of estimators"),
        (Median(), TypeError, "class of estimators"),
    ],
)
def test_other_classes_are_refused(cls, error, match):
    with pytest.raises(error, match=match):
        register_class(cls)
