"""Importing the package is fast, and works without torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from instances import regressors, scalers

import sklearn_iqt
from sklearn_iqt._methods import METHODS
from sklearn_iqt.persistence._registry import SCALERS

ROOT = Path(__file__).parents[1]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.processes
def test_importing_the_package_imports_no_torch():
    code = "import sys, sklearn_iqt; print('torch' in sys.modules or 'skorch' in sys.modules)"
    assert run(code).strip() == "False"
    names = set(sklearn_iqt.__all__) - {m.class_name for m in METHODS if m.extra == "deep"}
    use = f"import sys, sklearn_iqt as s; [getattr(s, n) for n in {names}]"
    assert run(f"{use}; print('torch' in sys.modules)").strip() == "False"


@pytest.mark.parametrize("name", sklearn_iqt.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(sklearn_iqt, name) is not None
    assert name in dir(sklearn_iqt)


def test_every_method_is_public_and_tested():
    names = [method.class_name for method in METHODS]
    assert set(names) <= set(sklearn_iqt.__all__)
    assert {type(estimator).__name__ for estimator in regressors()} == set(names)
    assert [method.load().__name__ for method in METHODS] == names


def test_every_scaler_is_public_and_tested():
    assert set(SCALERS) <= set(sklearn_iqt.__all__)
    assert {type(scaler).__name__ for scaler in scalers()} == set(SCALERS)


def imports_between_modules():
    """Yield the file, the module and the name of each import from this package."""
    for path in sorted((ROOT / "sklearn_iqt").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn_iqt."):
                for alias in node.names:
                    yield path.relative_to(ROOT), node.module, alias.name


def test_names_with_an_underscore_stay_in_their_module():
    shared = []
    for path, module, name in imports_between_modules():
        folder = ROOT.joinpath(*module.split("."))
        if name.startswith("_") and not (folder / f"{name}.py").exists() and name[:2] != "__":
            shared.append((str(path), module, name))
    assert not shared


def test_names_that_a_package_exports_are_imported_from_it():
    longer = []
    for path, module, name in imports_between_modules():
        package, _, rest = module.removeprefix("sklearn_iqt.").partition(".")
        if rest.startswith("_") and path.parts[1] != package:
            exported = importlib.import_module(f"sklearn_iqt.{package}").__all__
            longer += [(str(path), module, name)] if name in exported else []
    assert not longer


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="nothing"):
        sklearn_iqt.nothing  # noqa: B018


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{package}":
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
import sklearn_iqt
"""
WITHOUT_TORCH = WITHOUT.format(package="torch")


@pytest.mark.processes
def test_the_package_can_be_inspected_without_torch():
    looks = """
import doctest, inspect
assert all(hasattr(sklearn_iqt, name) for name in sklearn_iqt.__all__)
assert set(sklearn_iqt.__all__) <= set(dir(sklearn_iqt))
assert set(sklearn_iqt.__all__) <= set(dict(inspect.getmembers(sklearn_iqt)))
assert doctest.DocTestFinder().find(sklearn_iqt)
from sklearn_iqt import *
assert DDLRegressor is sklearn_iqt.DDLRegressor
print("torch" in sys.modules)
"""
    assert run(WITHOUT_TORCH + looks).strip() == "False"


@pytest.mark.processes
def test_doctests_of_other_modules_are_collected_without_torch():
    options = (
        "['--doctest-modules', '--collect-only', '-q', '-p', 'no:cacheprovider', 'sklearn_iqt']"
    )
    found = run(f"{WITHOUT_TORCH}import pytest; sys.exit(pytest.main({options}))")
    assert "sklearn_iqt.persistence._model_file.save_model" in found
    assert "sklearn_iqt.deep" not in found


@pytest.mark.processes
@pytest.mark.parametrize("package", ["torch", "skorch"])
def test_a_net_names_the_extra_if_torch_is_missing(package):
    uses = """
for use in (
    "from sklearn_iqt import DDLRegressor; DDLRegressor(8)",
    "sklearn_iqt.AnisoUNetRegressor()",
    "from sklearn_iqt.deep import DDLRegressor",
):
    try:
        exec(use)
    except ImportError as error:
        print(error)
"""
    printed = run(WITHOUT.format(package=package) + uses)
    assert printed.count('pip install "sklearn-iqt[deep]"') == 3


@pytest.mark.processes
@pytest.mark.parametrize("error", ["ImportError", "ModuleNotFoundError"])
def test_a_broken_torch_is_not_reported_as_missing(error):
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
