"""Endpoints of an experiment: means, paired differences, and the noise between draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.paper.measures import ENDPOINTS
from benchmarks.paper.shifts import SETS
from benchmarks.tables import format_table
from sklearn_iqt.metrics import paired_differences

__all__ = [
    "GROUPS",
    "REFERENCE",
    "draw_table",
    "endpoint_rows",
    "endpoint_scores",
    "endpoint_section",
    "sets_of",
]

REFERENCE = "interpolation"
GROUPS = ("in distribution", "out of distribution")
Row = Mapping[str, Any]


def sets_of(profile: Mapping[str, Any], group: str, endpoint: str) -> list[str]:
    """Return the test sets of a group that an endpoint is measured on."""
    inside = profile["in_distribution"]
    return [
        name
        for name in profile["test_sets"]
        if (name in inside) == (group == GROUPS[0])
        and SETS[name].lesions == ENDPOINTS[endpoint].lesions
    ]


def endpoint_scores(
    rows: Iterable[Row], methods: Sequence[str], sets: Sequence[str], endpoint: str, draws: int
) -> list[dict[str, Any]]:
    """Return a row for each method and subject with all draws of all sets, and its mean score.

    Subjects without a result on one of the sets are left out, because their mean would be of other
    sets. Several fits of a method are averaged.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for row in rows:
        if row["test_set"] in sets and row["method"] in methods and np.isfinite(row[endpoint]):
            scans = found.setdefault((row["method"], row["subject"]), {})
            scans.setdefault((row["test_set"], row["draw"]), []).append(row[endpoint])
    return [
        {
            "method": method,
            "subject": subject,
            endpoint: float(np.mean([np.mean(values) for values in scans.values()])),
        }
        for (method, subject), scans in found.items()
        if len(scans) == len(sets) * draws
    ]


def endpoint_rows(
    rows: Sequence[Row], methods: Sequence[str], profile: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the mean of each endpoint by group and method, and its differences to two references.

    Parameters
    ----------
    rows : sequence of dict
        Scores of each scan.
    methods : sequence of str
        Names of the methods.
    profile : dict
        Profile of the experiment.

    Returns
    -------
    list of dict
        A row for each endpoint, group, method and reference. The references are interpolation, and
        the simple method whose mean is closest to the best value. For a method that is compared
        with itself, or that has no subject in common with the reference, the difference is NaN.
    """
    table = []
    for endpoint, measure in ENDPOINTS.items():
        for group in GROUPS:
            sets = sets_of(profile, group, endpoint)
            scores = endpoint_scores(rows, methods, sets, endpoint, profile["draws"])
            values: dict[str, list[float]] = {}
            for row in scores:
                values.setdefault(row["method"], []).append(row[endpoint])
            means = {method: float(np.mean(column)) for method, column in values.items()}
            simple = [method for method in profile["simple"] if method in means]
            most = max((len(values[method]) for method in simple), default=0)
            whole = [method for method in simple if len(values[method]) == most]
            strongest = min(whole, key=lambda m: abs(means[m] - measure.best), default="")
            for kind, reference in (("interpolation", REFERENCE), ("strongest simple", strongest)):
                compared = {}
                if reference in means and len(means) > 1:
                    compared = {
                        row["method"]: row
                        for row in paired_differences(scores, reference, measures=[endpoint])
                    }
                for method, mean in means.items():
                    result = compared.get(method, {})
                    table.append(
                        {
                            "endpoint": endpoint,
                            "group": group,
                            "method": method,
                            "subjects": len(values[method]),
                            "mean": mean,
                            "compared_with": kind,
                            "reference": reference,
                            **{
                                key: result.get(key, np.nan)
                                for key in ("difference", "low", "high", "p", "p_holm")
                            },
                        }
                    )
    return table


def endpoint_section(table: Sequence[Row], reasons: Mapping[str, str]) -> str:
    """Return the endpoints as Markdown."""
    header = ["method"]
    for group in GROUPS:
        header += [group, "− interpolation", "− strongest simple", "subjects"]
    parts = []
    for endpoint, measure in ENDPOINTS.items():
        here = [row for row in table if row["endpoint"] == endpoint]
        strongest = {
            row["group"]: row["reference"]
            for row in here
            if row["compared_with"] == "strongest simple" and row["reference"]
        }
        title = f"### {endpoint} ({measure.best:g} is best)"
        if not here:
            parts.append(f"{title}\n\nNot measured: {reasons.get(endpoint) or 'no whole set yet'}.")
            continue
        lines = []
        for method in dict.fromkeys(row["method"] for row in here):
            line: list[str] = [method]
            for group in GROUPS:
                found = {
                    row["compared_with"]: row
                    for row in here
                    if row["method"] == method and row["group"] == group
                }
                if not found:
                    line += [""] * 4
                    continue
                first = found["interpolation"]
                line += [
                    f"{first['mean']:.4f}",
                    _difference(first),
                    _difference(found["strongest simple"]),
                    str(first["subjects"]),
                ]
            lines.append(line)
        simple = ", ".join(f"{group}: {name}" for group, name in strongest.items())
        note = f"Strongest simple method: {simple}." if simple else ""
        parts.append(f"{title}\n\n{format_table(header, lines)}\n\n{note}".rstrip())
    intro = (
        "Endpoints were named before the run. Each value is a mean over subjects, whose scores are "
        "means over draws and test sets. Differences are paired by subject, with 95 % intervals of "
        "the t distribution; an asterisk marks p < 0.05 after Holm's correction over the methods "
        "of a column. The strongest simple method is chosen on the same results, which makes the "
        "comparison with it harder to win. A subject counts once all sets of the group are done."
    )
    return "\n\n".join(["## Endpoints", intro, *parts])


def _difference(row: Row) -> str:
    if not np.isfinite(row["difference"]):
        return ""
    star = "*" if row["p_holm"] < 0.05 else ""
    shown = f"{row['difference']:+.4f}{star}"
    if np.isfinite(row["low"]):
        shown += f" ({row['low']:+.4f} to {row['high']:+.4f})"
    return shown


def draw_table(rows: Sequence[Row], methods: Sequence[str], draws: int) -> list[dict[str, Any]]:
    """Return how much differences from interpolation vary between subjects and between draws.

    For each endpoint, test set and method: the standard deviation of the subjects' means without
    the part that comes from the draws, the standard deviation between the draws of a subject, and
    the share of the variance of the mean over subjects that comes from the draws.
    """
    table = []
    scores: dict[tuple, dict[tuple[str, int], list[float]]] = {}
    for row in rows:
        for endpoint in ENDPOINTS:
            if np.isfinite(row[endpoint]):
                key = (endpoint, row["test_set"], row["method"])
                scans = scores.setdefault(key, {})
                scans.setdefault((row["subject"], row["draw"]), []).append(row[endpoint])
    for (endpoint, name, method), scans in scores.items():
        reference = scores.get((endpoint, name, REFERENCE), {})
        if method == REFERENCE or method not in methods:
            continue
        differences: dict[str, list[float]] = {}
        for scan, values in scans.items():
            if scan in reference:
                change = float(np.mean(values) - np.mean(reference[scan]))
                differences.setdefault(scan[0], []).append(change)
        whole = np.array([column for column in differences.values() if len(column) == draws])
        if len(whole) > 1 and draws > 1:
            between, within = _components(whole)
            total = float(whole.mean(axis=1).var(ddof=1))
            table.append(
                {
                    "endpoint": endpoint,
                    "test_set": name,
                    "method": method,
                    "subjects": len(whole),
                    "sd_subjects": between**0.5,
                    "sd_draws": within**0.5,
                    "share_of_draws": within / draws / total if total else np.nan,
                }
            )
    return table


def _components(values: NDArray) -> tuple[float, float]:
    """Return the variance between subjects (rows) and between the draws of a subject."""
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1)) - within / values.shape[1]
    return max(between, 0.0), within
