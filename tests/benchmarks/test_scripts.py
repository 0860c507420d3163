"""Tests that all benchmarks work with the present code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="most benchmarks compare nets as well")

from benchmarks.cohorts import crop_middle, write_embedded_cohort
from benchmarks.cost import peak_memory, timed
from benchmarks.tables import format_spread, format_table

SCRIPTS = {
    "baselines": ["skimage"],
    "checks": [],
    "endpoints": [],
    "enhancement": [],
    "fidelity": [],
    "house": [],
    "intervals": [],
    "model_selection": [],
    "paper.__main__": ["filelock"],
    "peers.coder": [],
    "peers.dictionary_learning": [],
    "peers.fista": [],
    "peers.nets": [],
    "peers.patches": ["monai", "torchio"],
    "pretrain": ["matplotlib"],
    "real_pairs": [],
    "studies": ["pandas"],
    "tissues": [],
    "units": [],
}
SUITE = Path(__file__).parents[2] / "benchmarks" / "asv" / "benchmarks"


@pytest.fixture(scope="module")
def suite():
    """Return the suite of asv, under a name that differs from the package of the benchmarks."""
    spec = importlib.util.spec_from_file_location(
        "asv_suite", SUITE / "__init__.py", submodule_search_locations=[str(SUITE)]
    )
    sys.modules["asv_suite"] = importlib.util.module_from_spec(spec)
    names = [path.stem for path in SUITE.glob("[!_]*.py")]
    yield {name: importlib.import_module(f"asv_suite.{name}") for name in names}
    for name in ["asv_suite", *(f"asv_suite.{name}" for name in names)]:
        del sys.modules[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_explain_their_options(name, capsys):
    for module in SCRIPTS[name]:
        pytest.importorskip(module)
    script = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    assert stopped.value.code == 0
    assert "options:" in capsys.readouterr().out


def test_the_suite_of_asv_runs(suite):
    low, high = suite["volumes"].make_pair((16, 16, 16))
    assert low.shape == (16, 16, 4)
    assert high.shape == (16, 16, 16)
    patches = suite["patches"].Patches()
    patches.setup()
    patches.time_cut()
    patches.time_fraction_of_foreground()
    np.testing.assert_allclose(patches.time_join(), patches.volume, atol=1e-5)
    assert suite["nets"].Nets.params
    assert suite["dictionaries"].Coder.params


@pytest.mark.parametrize(("name", "expected"), [("ridge", "regressor"), ("srep", "K-SVD")])
def test_stages_of_an_estimator_are_measured(name, expected):
    enhancement = importlib.import_module("benchmarks.enhancement")
    rng = np.random.default_rng(0)
    high = 1 + rng.random((24, 24, 24), np.float32)
    low = np.ascontiguousarray(high[..., ::4])
    estimator = enhancement.make_estimator(name, 1)
    estimator.set_params(max_patches=200)
    if name == "srep":
        estimator.set_params(n_atoms=16, max_iter=1)
    fitted, record = enhancement.measure(lambda: estimator.fit([low], [high]))
    assert {"cutting", "interpolation", expected} <= record["stages"].keys()
    _, record = enhancement.measure(lambda: fitted.predict([low]))
    assert {"cutting", "merging"} <= record["stages"].keys()


def test_the_rooms_of_a_package_are_measured(tmp_path, capsys):
    room = tmp_path / "sklearn_iqt" / "shelf"
    room.mkdir(parents=True)
    (tmp_path / "sklearn_iqt" / "__init__.py").write_text("from sklearn_iqt.shelf import f\n")
    (tmp_path / "sklearn_iqt" / "__init__.pyi").write_text("from .shelf import f as f\n")
    (room / "__init__.py").write_text('OTHER = {"g": 1}\n__all__ = ["f", *OTHER]\n')
    (room / "_f.py").write_text('__all__ = ["h"]\ndef f():\n    """Do."""\n    return 1\n')
    importlib.import_module("benchmarks.house").main(["--root", str(tmp_path)])
    rows = capsys.readouterr().out.splitlines()
    assert "| (top level) | 1 | 1 | 1 | 0 |  |" in rows
    assert "| shelf | 2 | 6 | 2 | 2 | `f`, _f.py:2 |" in rows
    assert "| total | 3 | 7 | 2 | 2 | `f`, _f.py:2 |" in rows


def test_tables_are_markdown():
    table = format_table(["a", "b"], [["x", 1 / 3]])
    assert table == "| a | b |\n| --- | --- |\n| x | 0.3333 |"
    assert format_spread([3, 1, 2]) == "2.0 (1.0-3.0)"
    assert format_spread([0.25, 0.75], ".0%") == "50% (25%-75%)"


def test_time_and_memory_are_measured():
    result, clock, processor = timed(lambda: sum(range(1000)))
    assert result == 499500
    assert clock >= 0
    assert processor >= 0
    assert 0.01 < peak_memory() < 64


def test_the_middle_of_a_volume_is_cropped():
    volume = np.arange(4 * 5 * 2).reshape(4, 5, 2)
    np.testing.assert_array_equal(crop_middle(volume, (2, 3, 8)), volume[1:3, 1:4])


def test_studies_cover_settings_of_their_estimators():
    pytest.importorskip("pandas")
    studies = importlib.import_module("benchmarks.studies")
    from sklearn.model_selection import ParameterGrid

    for estimator, grid, _ in studies.STUDIES.values():
        for params in ParameterGrid(grid):
            step = studies.pipeline(estimator.named_steps["enhance"]).set_params(**params)
            step.named_steps["enhance"]._validate_params()


def test_an_embedded_cohort_is_split(tmp_path):
    cohort = write_embedded_cohort(tmp_path / "brains", 4, (24, 24, 24))
    assert [len(cohort.split[part]) for part in ("train", "validation", "test")] == [2, 1, 1]
    assert [np.asarray(maps).ndim for maps in cohort.arrays("train")[1]] == [3, 3]
