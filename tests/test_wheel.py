"""Files and dependencies of the wheel."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.processes
def test_wheel_holds_every_file_of_the_package(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "sklearn_iqt", source / "sklearn_iqt", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "sklearn_iqt").rglob("*") if path.is_file()]
    expected = {
        path.relative_to(ROOT).as_posix() for path in package if "__pycache__" not in path.parts
    }
    assert "sklearn_iqt/report/page.css" in expected
    assert held == expected


def test_tested_minimum_versions_are_the_lower_bounds():
    def read(text, sign):
        found = re.findall(rf"([\w-]+)(?:\[\w+\])?{sign}([\d.]+)", text)
        return {name: [int(part) for part in version.split(".")] for name, version in found}

    tested = read((ROOT / "constraints-minimum.txt").read_text(), "==")
    project = (ROOT / "pyproject.toml").read_text().split("[project]")[1]
    runtime, extras = project.split("[project.optional-dependencies]")
    bounds = read(runtime.split("dependencies = [")[1] + extras.split("\ntest = ")[0], ">=")
    assert tested.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert tested[name][: len(bound)] == bound
        assert not any(tested[name][len(bound) :])
