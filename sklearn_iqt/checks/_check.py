"""Decide whether a scan is like the training scans of a model."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_iqt.base import BaseIQTRegressor, enhancer_of, steps_of
from sklearn_iqt.base._routing import route_mask
from sklearn_iqt.base._training_scans import Difference, compare_scan, slices_of
from sklearn_iqt.compose import AnyGridIQT
from sklearn_iqt.compose._scan_plan import ScanPlan
from sklearn_iqt.exceptions import GeometryMismatchError, ScanWarning
from sklearn_iqt.io import Cohort, Pair
from sklearn_iqt.io._orientation import slice_words
from sklearn_iqt.preprocessing._scan_features import FEATURES
from sklearn_iqt.preprocessing._skull import SKULL

__all__ = ["Finding", "ScanCheck", "check_scan"]

_CALLER = "check_scan"
_ORDER = ("ok", "caution", "refuse")
# Distances at which a scan is doubtful, and at which it is refused. No scan of 27 training and
# validation subjects was further than 2.5 from the others of its study, in any feature.
_CAUTION, _REFUSE = 3.0, 4.0
# Topics whose findings do not come from a number.
_NOT_MEASURED = ("grid", "intensity", "slice direction", "scaling")
# What to do, or what it means, by topic.
_ADVICE = {
    "kind of contrast": "Check that it is weighted like the training scans (T1w, T2w or FLAIR), "
    "and that it shows the brain alone",
    "field of view": "Check that it shows the same part of the body as the training scans",
}


class Finding(NamedTuple):
    """One reason for a verdict.

    Parameters
    ----------
    topic : str
        Property that differs, in a word or two, such as "noise".
    verdict : {"caution", "refuse"}
        What follows from this reason alone.
    reason : str
        A sentence without a full stop.
    """

    topic: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class ScanCheck:
    """The verdict on a scan, with its reasons.

    Parameters
    ----------
    findings : tuple of Finding
        The reasons, the most serious first.
    differences : tuple of Difference
        All numbers that were compared, with their range in the training scans and their distance
        from it in standard deviations between subjects.
    distance : float
        The largest of these distances, among the numbers that can refuse a scan. Infinite if the
        scan is refused for a reason that is not a number, such as another direction of slices. NaN
        if nothing could be compared.

    See Also
    --------
    check_scan : Check a scan.
    """

    findings: tuple[Finding, ...]
    differences: tuple[Difference, ...]
    distance: float

    @property
    def verdict(self) -> str:
        """Verdict on the scan: "ok", "caution" or "refuse"."""
        return max((finding.verdict for finding in self.findings), key=_ORDER.index, default="ok")

    @property
    def reasons(self) -> list[str]:
        """The reasons in words, the most serious first."""
        return [finding.reason for finding in self.findings]

    def to_record(self) -> dict[str, Any]:
        """Return the verdict and its reasons in types of JSON.

        Returns
        -------
        dict
            ``Verdict``, ``Reasons`` and ``Distance``, which is None if it is infinite or NaN.
        """
        finite = math.isfinite(self.distance)
        return {
            "Verdict": self.verdict,
            "Reasons": self.reasons,
            "Distance": round(self.distance, 2) if finite else None,
        }


def check_scan(scan: Any, model: Any, *, mask: Any = None) -> ScanCheck:
    """Decide from a scan alone whether a model should enhance it.

    Parameters
    ----------
    scan : array of shape (i, j, k), nibabel image or path
        The scan.
    model : estimator
        A fitted estimator, a pipeline that ends with one, or one inside an
        :class:`~sklearn_iqt.compose.AnyGridIQT`.
    mask : array of shape (i, j, k), nibabel image or path, default=None
        Brain of the scan, where it is above zero. What is outside is not compared.

    Returns
    -------
    ScanCheck
        Its ``verdict`` is "ok" if the scan is like the training scans, "caution" if the result may
        be worse than in training, and "refuse" if the scan is of another kind. Its ``reasons`` say
        why.

    Raises
    ------
    ValueError
        If the scan cannot be read as one finite volume, or the mask is not on its grid.
    TypeError
        If the model does not contain an estimator of this package.

    See Also
    --------
    sklearn_iqt.report.write_report : Page on a scan and its enhancement, with this check.

    Notes
    -----
    The scan is brought to the grid of the training and through the scalers of a pipeline, because
    only differences that the estimator sees matter. Then it is compared with the training scans,
    which ``fit`` has measured: contrast and order of the tissues, noise, skull, field of view,
    sharpness along each axis, and how well its patches are explained by principal components of
    the patches of the training. Each difference from the mean of the training scans is divided by
    the standard deviation between subjects. A scan that is more than 3 of them away is doubtful,
    and more than 4 is refused. The field of view and the sharpness alone do not refuse a scan.

    The check does not see what the numbers do not measure, such as a lesion, and it cannot say that
    a result is right. The results page on these checks says how often it is wrong.

    Examples
    --------
    >>> from sklearn_iqt import LowFieldSimulator, PatchwiseRegressor
    >>> from sklearn_iqt.checks import check_scan
    >>> from sklearn_iqt.datasets import make_subjects
    >>> brains = make_subjects(3, shape=(64, 72, 64), random_state=0)
    >>> pairs = LowFieldSimulator(random_state=0).simulate(brains.images, brains.tissues)
    >>> model = PatchwiseRegressor(max_patches=2000, random_state=0)
    >>> model = model.fit(pairs.low[:2], pairs.high[:2])
    >>> check_scan(pairs.low[2], model).verdict
    'ok'
    >>> noisy = LowFieldSimulator("noisy", random_state=0).simulate(brains.images, brains.tissues)
    >>> check = check_scan(noisy.low[2], model)
    >>> check.verdict, [finding.topic for finding in check.findings]
    ('caution', ['patches'])
    """
    enhancer = enhancer_of(model, _CALLER)
    cohort = Cohort.of_one(scan, mask=mask, caller=_CALLER, names=("scan", "", "mask"))
    learned = getattr(enhancer, "training_scans_", None)
    findings: list[Finding] = []
    differences: list[Difference] = []
    pair = _on_training_grid(cohort, model, enhancer, learned or {}, findings)
    if pair is not None and not pair.low.max() > 0:
        findings.append(Finding("intensity", "refuse", "the scan has no positive voxel"))
        pair = None
    if pair is not None:
        pair = _scaled(pair, model, findings)
    if enhancer._volume_tags.learns and not learned:
        reason = "the scan cannot be compared with the training scans, because they are not known"
        findings.append(Finding("training", "caution", reason))
    if pair is not None and learned:
        differences = compare_scan(pair, learned)
        findings += _judge(differences)
    findings.sort(key=lambda finding: _ORDER.index(finding.verdict), reverse=True)
    sure = [one.distance for one in differences if FEATURES[one.name].refuses]
    refused = any(
        finding.verdict == "refuse" and finding.topic in _NOT_MEASURED for finding in findings
    )
    distance = math.inf if refused else max(sure, default=math.nan)
    return ScanCheck(tuple(findings), tuple(differences), distance)


def _on_training_grid(
    cohort: Cohort,
    model: Any,
    enhancer: BaseIQTRegressor,
    learned: Mapping[str, NDArray],
    findings: list[Finding],
) -> Pair | None:
    """Return the scan as the model gets it, or None if it cannot be brought to the grid."""
    pair, name = cohort.read(0), cohort.low.name_of(0)
    grid = enhancer._trained_on()
    if grid is None or pair.affine is None:
        return pair._replace(affine=None)
    wrapper = _any_grid(model)
    try:
        if wrapper is None:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                grid.check(pair.affine, name)
            findings += [
                Finding("voxel size", "caution", _sentence(w.message, name)) for w in caught
            ]
            return pair
        (plan,) = wrapper._plan(cohort)
        _, prepared, inside = wrapper._prepare(cohort, 0, plan)
    except GeometryMismatchError as error:
        findings.append(Finding("grid", "refuse", _sentence(error, name)))
        return None
    findings += _judge_plan(plan, learned)
    return Pair(np.asarray(prepared.dataobj), None, inside, prepared.affine)


def _judge_plan(plan: ScanPlan, learned: Mapping[str, NDArray]) -> list[Finding]:
    """Return the findings on the steps that bring a scan to the grid of the training."""
    known, own = slices_of(learned), slice_words(plan.slices)
    if plan.slices is None or not known or plan.slices in known:
        return [Finding("voxel size", "caution", _describe_note(note)) for note in plan.notes]
    kinds = " or ".join(slice_words(direction) for direction in sorted(known))
    reason = f"the scan has {own}, but the training scans have {kinds}"
    others = [note for note in plan.notes if own not in note]
    return [
        Finding("slice direction", "refuse", reason),
        *(Finding("voxel size", "caution", _describe_note(note)) for note in others),
    ]


def _describe_note(note: str) -> str:
    about = re.sub("^its ", "the scan's ", re.sub("^it ", "the scan ", note))
    return f"the result may be worse, because {about}"


def _scaled(pair: Pair, model: Any, findings: list[Finding]) -> Pair | None:
    """Return the scan behind the scalers of a pipeline, or None if one cannot scale it."""
    for scaler in steps_of(model)[:-1]:
        masks = None if pair.mask is None else [pair.mask]
        try:
            with warnings.catch_warnings(record=True) as caught, route_mask(masks):
                warnings.simplefilter("always")
                (low,) = scaler.transform([pair.low], mask=masks)
        except ValueError as error:
            findings.append(Finding("scaling", "refuse", _sentence(error)))
            return None
        findings += [
            Finding("scaling", "caution", _sentence(warning.message))
            for warning in caught
            if issubclass(warning.category, ScanWarning)
        ]
        pair = pair._replace(low=low)
    return pair


def _judge(differences: list[Difference]) -> list[Finding]:
    """Return the worst finding of each topic."""
    findings = []
    topics = dict.fromkeys(FEATURES[one.name].topic for one in differences)
    for topic in topics:
        worst = max(
            (one for one in differences if FEATURES[one.name].topic == topic),
            key=lambda one: one.distance,
        )
        if worst.distance > _CAUTION:
            refused = worst.distance > _REFUSE and FEATURES[worst.name].refuses
            findings.append(Finding(topic, "refuse" if refused else "caution", _describe(worst)))
    return findings


def _describe(one: Difference) -> str:
    feature = FEATURES[one.name]
    if one.name == "skull" and one.value is not None and one.value > one.learned[1]:
        return (
            f"the scan {SKULL}. Extract the brain first, for example by "
            "sklearn_iqt.prepare.brain_mask, or pass a mask"
        )
    if one.name == "labels" and one.value:
        return "the scan looks like a map of labels. Pass the scan itself"
    if one.value is None:
        return f"the {feature.words} cannot be measured in the scan, unlike in the training scans"
    first, last = map(feature.show, one.learned)
    span = first if first == last else f"{first} to {last}"
    reason = (
        f"the {feature.words} is {feature.show(one.value)} in the scan, but {span} in the training "
        f"scans ({one.distance:.1f} standard deviations away)"
    )
    advice = _ADVICE.get(feature.topic)
    return reason if advice is None else f"{reason}. {advice}"


def _any_grid(model: Any) -> AnyGridIQT | None:
    """Return the AnyGridIQT in a model, or None."""
    while not isinstance(model, AnyGridIQT):
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif isinstance(model, Pipeline):
            model = model[-1]
        elif hasattr(type(model), "_fitted_estimator"):
            model = model._fitted_estimator()
        else:
            return None
    return model


def _sentence(error: object, name: str = "X[0]") -> str:
    """Return a message about the scan, without the name that it has in messages."""
    text = str(error).removeprefix(f"{_CALLER}: ").rstrip(".")
    return text.replace(name, "the scan")
