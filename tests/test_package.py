"""What importing costs, and what every name promises."""

import ast
import inspect
import subprocess
import sys

import pytest
from instances import regressors

import sklearn_iqt
from sklearn_iqt._methods import METHODS


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.processes
def test_importing_the_package_imports_no_torch():
    code = "import sys, sklearn_iqt; print('torch' in sys.modules or 'skorch' in sys.modules)"
    assert run(code).strip() == "False"
    names = [n for n in sklearn_iqt._HOME if sklearn_iqt._HOME[n] != "deep"]
    use = f"import sys, sklearn_iqt as s; [getattr(s, n) for n in {names}]"
    assert run(f"{use}; print('torch' in sys.modules)").strip() == "False"


@pytest.mark.parametrize("name", sklearn_iqt.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sklearn_iqt, name) is not None
    assert name in dir(sklearn_iqt)


def test_type_checkers_see_every_public_name():
    tree = ast.parse(inspect.getsource(sklearn_iqt))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"sklearn_iqt.{home}" for name, home in sklearn_iqt._HOME.items()}


def test_every_method_is_public_and_tested():
    names = [method.class_name for method in METHODS]
    assert set(names) <= set(sklearn_iqt.__all__)
    assert {type(estimator).__name__ for estimator in regressors()} == set(names)
    assert [method.load().__name__ for method in METHODS] == names


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sklearn_iqt.nothing  # noqa: B018


@pytest.mark.processes
def test_the_nets_say_what_they_need():
    code = """
import sys
sys.modules["skorch"] = None
try:
    from sklearn_iqt import AnisoUNetRegressor
except ImportError as error:
    print(error)
"""
    assert "[deep]" in run(code)


@pytest.mark.processes
@pytest.mark.parametrize("error", ["ImportError", "ModuleNotFoundError"])
def test_a_broken_torch_is_not_called_a_missing_one(error):
    code = f"""
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise {error}("libcudart.so.12: cannot open shared object file")
sys.meta_path.insert(0, Broken())
try:
    from sklearn_iqt import AnisoUNetRegressor
except ImportError as error:
    print(error)
"""
    printed = run(code)
    assert "libcudart" in printed
    assert "[deep]" not in printed
