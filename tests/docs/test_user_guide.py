"""The code of the user guide and of the examples runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "user_guide"
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
PAGES = [page for page in sorted(GUIDE.glob("*.md")) if "\n```python\n" in page.read_text()]


@pytest.mark.processes
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Workers that were started by an earlier test have the working directory of that test.
    get_reusable_executor().shutdown(wait=True)
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.M | re.S)
    namespace: dict = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


def test_every_page_is_in_the_table_of_contents():
    index = (GUIDE / "index.md").read_text()
    listed = index.split("```{toctree}", 1)[1].split("```", 1)[0].split("\n")[3:-1]
    assert sorted(listed) == sorted(
        page.stem for page in GUIDE.glob("*.md") if page.stem != "index"
    )


def test_every_example_is_in_the_gallery():
    order = (ROOT / "docs" / "gallery_order.py").read_text()
    assert sorted(re.findall(r'"(plot_\w+\.py)"', order)) == [path.name for path in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_less_than_60_lines_of_code(example):
    lines = [line.strip() for line in example.read_text().split('"""', 2)[2].splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) < 60


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path):
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(example)], cwd=tmp_path, env=environment, check=True)
