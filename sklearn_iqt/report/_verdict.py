"""The verdict at the top of a report, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nibabel import aff2axcodes

from sklearn_iqt.preprocessing import has_skull
from sklearn_iqt.preprocessing._skull import SKULL
from sklearn_iqt.report._inputs import Inputs
from sklearn_iqt.report._quality import Consistency, Quality
from sklearn_iqt.report._sections import number
from sklearn_iqt.report._shift import Comparison

# The enhancement agrees with the scan up to this difference after the best monotone map, in
# standard deviations of the noise or as a part of the largest intensity. A scan with little noise
# differs by more than its noise, because the slice profile is not known exactly.
_MAX_NOISE, _MAX_PART = 2.0, 0.03

_LIMIT = (
    "The verdict compares numbers that are measured in this scan. It does not show that the added "
    "details are true, and nobody has tested whether the enhancement is safe to base a decision on."
)


class Fault(NamedTuple):
    """A reason why a scan must not be enhanced: a topic in a word or two, and a sentence."""

    topic: str
    reason: str


class Verdict(NamedTuple):
    """The kind of the verdict, a sentence, and the numbers that decide.

    The kind is "good", "unsure" or "bad".
    """

    kind: str
    headline: str
    reasons: Sequence[str]
    limit: str = _LIMIT


def judge(
    comparisons: Sequence[Comparison],
    faults: Sequence[Fault],
    quality: Quality | str,
    consistency: Consistency,
) -> Verdict:
    """Return the verdict.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Properties of the scan and of the training scans.
    faults : sequence of Fault
        Other reasons why the scan must not be enhanced.
    quality : Quality or str
        Contrast and noise of the scan, or the reason why they could not be estimated.
    consistency : Consistency
        Difference between the scan and the degraded enhancement.
    """
    differing = [one for one in comparisons if one.differs]
    topics = _join(one.topic for one in differing)
    serious = _join([*(f.topic for f in faults), *(c.topic for c in differing if c.is_serious)])
    unknown = _join(one.topic for one in comparisons if one.differs is None)
    agrees, difference = _agreement(consistency, quality)
    reasons = [*(fault.reason for fault in faults), *map(_describe, differing), difference]
    if serious or not agrees:
        kind = "bad"
        reason = f"the scan is not like the training scans ({serious})" if serious else ""
        reason += ", and " if serious and not agrees else ""
        reason += "" if agrees else "the enhancement does not agree with the scan"
        return Verdict(kind, f"Do not use this enhancement: {reason}.", reasons)
    if differing:
        kind, likeness = "unsure", f"The scan differs from the training scans in {topics}"
    elif unknown:
        kind = "unsure"
        likeness = f"It is not known whether the scan is like the training scans in {unknown}"
    else:
        kind, likeness = (
            "good",
            f"The scan is like the training scans in {_join(c.topic for c in comparisons)}",
        )
        reasons = [*map(_describe, comparisons), difference]
    return Verdict(kind, f"{likeness}. The enhancement agrees with the scan.", reasons)


def find_faults(inputs: Inputs, quality: Quality | str, orientation: str | None) -> list[Fault]:
    """Return reasons why a scan must not be enhanced by a model of brains.

    The orientation is the order of axes of the training scans, such as "RAS", or None.
    """
    faults = []
    found, learned = (
        _slice_axes(codes, inputs.scale)
        for codes in ("".join(aff2axcodes(inputs.scan.affine)), orientation or "")
    )
    if learned and found != learned:
        reason = f"Slices are stacked from {found} in this scan, and from {learned} in training."
        faults.append(Fault("slice direction", reason))
    if inputs.mask is None and has_skull(inputs.voxels):
        reason = (
            f"The scan {SKULL}. Extract the brain first, for example by "
            "sklearn_iqt.prepare.brain_mask, or pass a mask."
        )
        faults.append(Fault("the skull", reason))
    if isinstance(quality, str):
        faults.append(Fault("contrast", f"Contrast and noise could not be estimated: {quality}"))
    known = {fault.topic.removeprefix("the ") for fault in faults}
    for finding in () if inputs.check is None else inputs.check.findings:
        if finding.verdict == "refuse" and finding.topic not in known:
            faults.append(Fault(finding.topic, _sentence(finding.reason)))
    return faults


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}."


def _slice_axes(orientation: str, scale: Sequence[int]) -> str:
    """Return the axes that the model refines, such as "inferior to superior"."""
    axes = {"L": "left to right", "P": "posterior to anterior", "I": "inferior to superior"}
    axes |= dict(zip("RAS", axes.values(), strict=True))
    if min(scale) > 1:
        return ""
    return " and ".join(axes[code] for code, s in zip(orientation, scale, strict=False) if s > 1)


def _agreement(consistency: Consistency, quality: Quality | str) -> tuple[bool, str]:
    """Return whether the enhancement agrees with the scan, and the number that decides."""
    part = f"{100 * consistency.mapped:.2g} % of the largest intensity"
    text = "Blurred and sampled like the scan, the enhancement differs from it by "
    if isinstance(quality, str):
        return consistency.mapped <= _MAX_PART, f"{text}{part}."
    ratio = consistency.rms / quality.noise
    agrees = ratio <= _MAX_NOISE or consistency.mapped <= _MAX_PART
    return agrees, f"{text}{part}, which is {number(ratio)} times its noise."


def _describe(one: Comparison) -> str:
    name = one.name[0].upper() + one.name[1:]
    return f"{name}: {one.value} in this scan, {one.training} in training ({one.result})."


def _join(words: Iterable[str]) -> str:
    """Return different words as a list in a sentence."""
    *first, last = dict.fromkeys(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last
