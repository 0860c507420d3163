"""Check an installed wheel from end to end.

``make wheel-smoke`` builds the wheel, installs it into a new environment without torch, and runs
this file with the Python of that environment, outside the checkout and without a compiler on the
path.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

PROGRAM = Path(sys.executable).with_name("sklearn-iqt")


def check_environment() -> None:
    """Check that the wheel is tested without the checkout, torch and compilers."""
    import sklearn_iqt

    package = Path(sklearn_iqt.__file__)
    assert package.is_relative_to(sys.prefix), f"{package} is not the installed wheel"
    assert importlib.util.find_spec("torch") is None, "torch is installed"
    for compiler in ("cc", "gcc", "clang"):
        assert shutil.which(compiler) is None, f"{compiler} is on the path"
    assert version("sklearn-iqt") == sklearn_iqt.__version__
    assert files("sklearn_iqt").joinpath("py.typed").is_file(), "py.typed is missing"


def check_star_import() -> None:
    """Import all public names, and check that nets name the extra to install when used."""
    names: dict[str, Any] = {}
    exec("from sklearn_iqt import *", names)
    assert {"CoupledDictionaryIQT", "PatchTransformer", "save_model"} <= names.keys()
    message = ""
    try:
        names["DDLRegressor"]()
    except ImportError as error:
        message = str(error)
    assert 'pip install "sklearn-iqt[deep]"' in message, f"a net without torch raised {message!r}"


def check_estimator(folder: Path) -> None:
    """Fit, predict, save, load, and write a report, which needs data files of the package."""
    from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, load_model, save_model

    rng = np.random.default_rng(0)
    i, j, k = np.indices((24, 24, 32)) - 12.0
    high = (100 * (i**2 + j**2 + (k / 2) ** 2 < 90) + rng.random((24, 24, 32))).astype(np.float32)
    low = high.reshape(24, 24, 8, 4).mean(axis=3)
    thick = np.diag([1, 1, 4, 1.0])
    thick[2, 3] = 1.5  # the centre of the first slice
    pair = [nibabel.Nifti1Image(low, thick), nibabel.Nifti1Image(high, np.eye(4))]
    model = CoupledDictionaryIQT(
        8, patcher=PatchTransformer(5), max_patches=500, max_iter=2, random_state=0
    ).fit(pair[:1], pair[1:])
    enhanced = model.predict(pair[:1])[0]
    loaded = load_model(save_model(model, folder / "model.iqt"))
    np.testing.assert_array_equal(
        loaded.predict(pair[:1])[0].get_fdata(), enhanced.get_fdata(), strict=True
    )
    page = loaded.report(pair[0], folder / "report.html", truth=pair[1])
    assert "</html>" in page.read_text(encoding="utf-8")


def check_pretrained() -> None:
    """Find the models of the package, which need torch to be loaded."""
    from sklearn_iqt import load_pretrained
    from sklearn_iqt.persistence import list_pretrained

    cards = list_pretrained()
    assert cards, "the models are missing"
    for name, card in cards.items():
        assert card.license == "CC0-1.0"
        message = ""
        try:
            load_pretrained(name)
        except ImportError as error:
            message = str(error)
        assert 'pip install "sklearn-iqt[deep]"' in message, f"{name} raised {message!r}"


def run(*arguments: str) -> str:
    """Run a command of the program, and return its output."""
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def check_commands() -> None:
    """Print the help of every command."""
    commands = re.findall(r"^    (\w+) ", run("--help"), flags=re.M)
    assert {"fit", "enhance", "evaluate", "bids"} <= set(commands)
    for command in commands:
        assert command in run(command, "--help")
    assert run("--version").split()[-1] == version("sklearn-iqt")


def main() -> None:
    """Run all checks."""
    check_environment()
    check_star_import()
    with tempfile.TemporaryDirectory() as folder:
        check_estimator(Path(folder))
    check_pretrained()
    check_commands()
    print("The wheel works without torch and without a compiler.")


if __name__ == "__main__":
    main()
