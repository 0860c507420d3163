"""The package contains no call that could run code from a file."""

import ast
from pathlib import Path

import pytest

import sklearn_iqt

PACKAGE = Path(sklearn_iqt.__file__).parent


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "skops"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "joblib.load", "np.load", "numpy.load"}


def unsafe_code(node):
    """Return a description of code that could run code from a file, or None."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = getattr(node, "module", None) or ""
        names = {module.split(".")[0], *(alias.name.split(".")[0] for alias in node.names)}
        return f"imports {names}" if names & FORBIDDEN_MODULES else None
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in FORBIDDEN_CALLS:
            return f"calls {called}"
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if called == "torch.load" and options.get("weights_only") != "True":
            return "calls torch.load without weights_only=True"
    return None


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
        "joblib.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
    ],
)
def test_unsafe_code_is_found(code):
    assert any(unsafe_code(node) for node in ast.walk(ast.parse(code)))


def test_the_package_contains_no_unsafe_code():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {unsafe_code(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if unsafe_code(node)
    ]
    assert not found
