"""The files on the contributor page exist, and its estimator works."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from instances import make_pairs
from sklearn.utils.estimator_checks import check_estimator

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.metrics import nrmse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
STEPS = re.findall(r"^ *([\w.]+).* (\w+/[\w/]+\.py)$", PAGE, flags=re.M)
PATHS = sorted(set(re.findall(r"`([\w./]*(?:/|\.(?:py|pyi|md)))`", PAGE)))


@pytest.mark.parametrize("path", PATHS)
def test_files_and_folders_of_the_page_exist(path):
    assert (ROOT / path).exists() or (ROOT / "sklearn_iqt" / path).exists()


@pytest.mark.parametrize(("name", "path"), STEPS)
def test_steps_of_a_call_are_in_the_files_on_the_page(name, path):
    text = (ROOT / "sklearn_iqt" / path).read_text()
    for part in name.split("."):
        assert re.search(rf"(def|class) {part}\b", text), part


@pytest.mark.filterwarnings("ignore::sklearn_iqt.exceptions.PatchGeometryWarning")
def test_the_estimator_on_the_page_passes_check_estimator(monkeypatch):
    (code,) = re.findall(r"^```python\n(import numpy.*?)^```$", PAGE, re.M | re.S)
    module = ModuleType("contributor")
    monkeypatch.setitem(sys.modules, "contributor", module)  # for pickle
    exec(compile(code, "CONTRIBUTING.md", "exec"), vars(module))
    estimator = module.LinearIQT(random_state=0)
    results = check_estimator(estimator, on_skip=None)
    assert not [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]
    low, high = make_pairs()
    estimate, baseline = (
        model.fit(low[:3], high[:3]).predict(low[3:]) for model in (estimator, InterpolationIQT())
    )
    assert nrmse(high[3:], estimate) < nrmse(high[3:], baseline)
