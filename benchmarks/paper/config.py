"""What is run: the profile, and the cells that follow from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sklearn.ensemble
import sklearn.linear_model
from sklearn.pipeline import make_pipeline

import sklearn_iqt

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

__all__ = ["PROFILES", "Cell", "build_estimator", "list_cells", "read_profile"]

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, eq=False)
class Cell:
    """One method with its parameters, fitted once and scored on some test sets.

    Parameters
    ----------
    method : str
        The method of Table 1.
    column : str
        Its column in a table of variants, or nothing for the method itself.
    spec : dict
        ``estimator``, a public name of the package; ``regressor``, that of a scikit-learn
        regressor to wrap; ``scaler``, the name of what standardises its input; ``params``.
    test_sets : list of str
        What it is scored on.
    keep_predictions : bool
        Whether predicted volumes are stored, for figures.
    """

    method: str
    column: str
    spec: dict[str, Any]
    test_sets: list[str]
    keep_predictions: bool = False

    @property
    def name(self) -> str:
        """Name of the method, and of the column if it is a variant."""
        return f"{self.method} {self.column}".strip()

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower()


def read_profile(name: str) -> dict[str, Any]:
    """Return a profile by its name, or from a TOML file."""
    path = PROFILES / f"{name}.toml" if not name.endswith(".toml") else Path(name)
    if not path.exists():
        known = sorted(file.stem for file in PROFILES.glob("*.toml"))
        raise ValueError(f"unknown profile {name!r}: choose one of {known} or pass a .toml file.")
    with path.open("rb") as file:
        return tomllib.load(file)


def list_cells(profile: dict[str, Any]) -> list[Cell]:
    """Return every cell of a profile: those of Table 1, then the variants of the other tables."""
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
        raise ValueError(f"two cells of the profile share the folder {sorted(twice)}; rename one.")
    return cells


def build_estimator(spec: dict[str, Any], **common: Any) -> Any:
    """Return the estimator of a cell.

    Parameters
    ----------
    spec : dict
        See :class:`Cell`.
    **common : dict
        Parameters for every estimator that has them.

    Returns
    -------
    BaseIQTRegressor or Pipeline
        Not fitted.
    """
    estimator = getattr(sklearn_iqt, spec["estimator"])()
    if "regressor" in spec:
        homes = (sklearn.linear_model, sklearn.ensemble)
        home = next(module for module in homes if hasattr(module, spec["regressor"]))
        estimator.set_params(estimator=getattr(home, spec["regressor"])())
    common |= {f"estimator__{k}": v for k, v in common.items() if k in ("n_jobs", "random_state")}
    known = estimator.get_params()
    estimator.set_params(**{name: value for name, value in common.items() if name in known})
    params = spec.get("params", {})
    as_tuple = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
    estimator.set_params(**as_tuple)
    if "scaler" not in spec:
        return estimator
    return make_pipeline(getattr(sklearn_iqt, spec["scaler"])(), estimator)
