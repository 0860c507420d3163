"""Profiles of the experiment, and the cells that they define."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.ensemble
import sklearn.linear_model
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

import sklearn_iqt
from benchmarks.paper import nonlocal_means
from sklearn_iqt.metrics import volume_scorers

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

__all__ = ["PROFILES", "Cell", "build_estimator", "list_cells", "make_folds", "read_profile"]

PROFILES = Path(__file__).parent / "profiles"
# Folds of the training subjects of a fold, in which settings are chosen.
INNER_FOLDS = 2


@dataclass(frozen=True, eq=False)
class Cell:
    """One method with its parameters on one fold, fitted once and used on several test sets.

    Parameters
    ----------
    method : str
        Name of the method in Table 1.
    column : str
        Column of a variant in Table 2 or 3; empty for the method itself.
    spec : dict
        ``estimator``, the name of an estimator of the package or of ``nonlocal_means``; optionally
        ``regressor``, the name of the scikit-learn regressor that it wraps, ``scaler``, the name of
        the scaler of its input, ``params``, in which a table with ``class`` is an object,
        ``grid``, lists of values to choose from on the training subjects, and ``repeats``, the
        number of fits with different seeds.
    test_sets : list of str
        Names of the test sets on which it is used.
    fold : int
        Number of the fold. Its subjects are tested, and the others are for training.
    repeat : int
        Number of the fit, which is added to the seed of the method.
    """

    method: str
    column: str
    spec: dict[str, Any]
    test_sets: list[str]
    fold: int
    repeat: int

    @property
    def name(self) -> str:
        """Name of the method, followed by the column of a variant."""
        return f"{self.method} {self.column}".strip()

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower()
        return f"{slug}_fold{self.fold}_fit{self.repeat}"


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


def make_folds(subjects: list[str], n_folds: int, seed: int) -> list[list[str]]:
    """Return the test subjects of each fold; each subject is in one fold.

    Parameters
    ----------
    subjects : list of str
        All subjects. Their order has no effect.
    n_folds : int
        Number of folds, from 2 to the number of subjects.
    seed : int
        Seed of the order in which subjects are dealt to the folds.

    Returns
    -------
    list of list of str
        Sorted names, in folds whose sizes differ by at most one.
    """
    if not 2 <= n_folds <= len(subjects):
        raise ValueError(
            f"folds must be from 2 to the number of subjects, {len(subjects)}, got {n_folds}."
        )
    dealt = np.random.RandomState(seed).permutation(sorted(subjects)).tolist()
    return [sorted(dealt[n::n_folds]) for n in range(n_folds)]


def list_cells(profile: dict[str, Any]) -> list[Cell]:
    """Return the cells of a profile: methods of Table 1, then variants of Tables 2 and 3."""
    wanted = [(name, "", spec, profile["test_sets"]) for name, spec in profile["methods"].items()]
    for table in profile.get("tables", []):
        base = profile["methods"][table["method"]]
        for column, params in table["columns"].items():
            if params:
                spec = {**base, "params": {**base.get("params", {}), **params}}
                wanted.append((table["method"], column, spec, profile["table_sets"]))
    cells = [
        Cell(*parts, fold, repeat)
        for parts in wanted
        for fold in range(profile["folds"])
        for repeat in range(parts[2].get("repeats", 1))
    ]
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
    BaseIQTRegressor, Pipeline or GridSearchCV
        The estimator, not fitted. A search scores NRMSE after the best gain.
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
    estimator.set_params(**{name: _read_value(value) for name, value in params.items()})
    step = ""
    if "scaler" in spec:
        step = f"{type(estimator).__name__.lower()}__"
        estimator = make_pipeline(getattr(sklearn_iqt, spec["scaler"])(), estimator)
    if "grid" not in spec:
        return estimator
    return GridSearchCV(
        estimator,
        {f"{step}{name}": values for name, values in spec["grid"].items()},
        cv=KFold(INNER_FOLDS, shuffle=True, random_state=0),
        scoring=volume_scorers(match="gain")["neg_nrmse"],
        error_score="raise",
    )


def _read_value(value: Any) -> Any:
    """Return a parameter: a tuple for a list, an object for a table with its class."""
    if isinstance(value, dict):
        rest = {name: v for name, v in value.items() if name != "class"}
        return getattr(sklearn_iqt, value["class"])(**rest)
    return tuple(value) if isinstance(value, list) else value
