"""Profiles of the experiment, and the cells that they define."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sklearn.ensemble
import sklearn.linear_model
from sklearn.pipeline import make_pipeline

import sklearn_iqt
from benchmarks.paper import nonlocal_means

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

__all__ = ["PROFILES", "Cell", "build_estimator", "list_cells", "read_profile"]

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, eq=False)
class Cell:
    """One method with its parameters, which is fitted once and scored on several test sets.

    Parameters
    ----------
    method : str
        Name of the method in Table 1.
    column : str
        Column of a variant in Table 2 or 3; empty for the method itself.
    spec : dict
        ``estimator``, the name of an estimator of the package or of ``nonlocal_means``; optionally
        ``regressor``, the name of the scikit-learn regressor that it wraps, ``scaler``, the name of
        the scaler of its input, and ``params``.
    test_sets : list of str
        Names of the test sets on which it is scored.
    keep_predictions : bool
        Whether to store predicted volumes, for figures.
    """

    method: str
    column: str
    spec: dict[str, Any]
    test_sets: list[str]
    keep_predictions: bool = False

    @property
    def name(self) -> str:
        """Name of the method, followed by the column of a variant."""
        return f"{self.method} {self.column}".strip()

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower()


def read_profile(name: str) -> dict[str, Any]:
    """Read a profile of this package by its name, or a TOML file by its path."""
    path = PROFILES / f"{name}.toml" if not name.endswith(".toml") else Path(name)
    if not path.exists():
        known = sorted(file.stem for file in PROFILES.glob("*.toml"))
        raise ValueError(
            f"--profile must be one of {', '.join(known)}, or an existing .toml file; got {name!r}."
        )
    with path.open("rb") as file:
        return tomllib.load(file)


def list_cells(profile: dict[str, Any]) -> list[Cell]:
    """Return the cells of a profile: methods of Table 1, then variants of Tables 2 and 3."""
    cells = [
        Cell(name, "", spec, profile["test_sets"], keep_predictions=True)
        for name, spec in profile["methods"].items()
    ]
    for table in profile.get("tables", []):
        base = profile["methods"][table["method"]]
        for column, params in table["columns"].items():
            if params:
                spec = {**base, "params": {**base.get("params", {}), **params}}
                shown = table.get("figure", False)
                cells.append(Cell(table["method"], column, spec, profile["table_sets"], shown))
    folders = [cell.folder for cell in cells]
    twice = {folder for folder in folders if folders.count(folder) > 1}
    if twice:
        raise ValueError(
            f"Cells of the profile share the folder {', '.join(sorted(twice))}. Rename one of them."
        )
    return cells


def build_estimator(spec: dict[str, Any], **common: Any) -> Any:
    """Return the estimator of a cell.

    Parameters
    ----------
    spec : dict
        Specification of the estimator, see :class:`Cell`.
    **common : dict
        Parameters to set on the estimator, if it has them, before those of ``spec``.

    Returns
    -------
    BaseIQTRegressor or Pipeline
        The estimator, not fitted.
    """
    module = sklearn_iqt if hasattr(sklearn_iqt, spec["estimator"]) else nonlocal_means
    estimator = getattr(module, spec["estimator"])()
    if "regressor" in spec:
        modules = (sklearn.linear_model, sklearn.ensemble)
        module = next(module for module in modules if hasattr(module, spec["regressor"]))
        estimator.set_params(estimator=getattr(module, spec["regressor"])())
    common |= {f"estimator__{k}": v for k, v in common.items() if k in ("n_jobs", "random_state")}
    known = estimator.get_params()
    estimator.set_params(**{name: value for name, value in common.items() if name in known})
    params = spec.get("params", {})
    as_tuple = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
    estimator.set_params(**as_tuple)
    if "scaler" not in spec:
        return estimator
    return make_pipeline(getattr(sklearn_iqt, spec["scaler"])(), estimator)
