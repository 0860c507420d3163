"""Cards that describe a model and its training in a model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence._card_checks import CHECKS, NotAllowed


@dataclass(frozen=True, kw_only=True)
class TrainingCard:
    """Facts about the training of a model, which help a reader decide whether to trust it.

    Every field is optional. :func:`save_model` writes the card into the model file.
    :func:`read_model_card` and the report on a scan read it.

    Parameters
    ----------
    method : str, default=None
        Name of the method, such as "srep".
    standardized : bool, default=None
        Whether a :class:`~sklearn_iqt.preprocessing.TissueScaler` was applied before the method.
    cohort : str, default=None
        Name of the group of subjects whose scans the model was trained on.
    n_pairs : int, default=None
        Number of pairs of scans.
    scale : sequence of 3 ints, default=None
        High voxels for each low voxel, along each axis.
    alignment : {"center", "corner"}, default=None
        Alignment of the voxels of a pair.
    spacing_low_mm, spacing_high_mm : sequence of 3 floats, default=None
        Voxel sizes of the low and the high scans, in mm.
    orientation : str, default=None
        Directions of the axes of the scans, such as "RAS".
    snr_presets : str or sequence of str, default=()
        Names of the distributions of the signal-to-noise ratios in simulated scans. The report
        compares a scan with the distributions that are keys of
        :data:`~sklearn_iqt.simulation.SNR_PRESETS`.
    snr_wm, snr_gm : sequence of 2 floats, default=None
        Smallest and largest signal-to-noise ratio of white and of grey matter.
    contrast, surface : sequence of 2 floats, default=None
        Smallest and largest ratio of white to grey matter, and of the surface of the brain to its
        core, as they were estimated in the low scans by
        :func:`~sklearn_iqt.report.describe_scans`.
    thickness, gap : float or sequence of float, default=()
        Slice thicknesses and gaps of the simulated scans, in voxels of the high scans.
    noise : str or sequence of str, default=()
        Distributions of the noise in the simulated scans.
    tissues : str or sequence of str, default=()
        Sources of the label maps of the simulation: "given", "estimated" or both.
    scores : dict of str to float, default=None
        Scores on held-out subjects.
    seed : int, default=None
        Seed of the random numbers in the training.
    date : str or datetime.date, default=None
        Date of the training, such as "2026-11-28".
    license : str, default=None
        License of the training scans, such as "CC0-1.0".
    recipe : str, default=None
        Command that trains the model.
    commit : str, default=None
        Version of the source code that the recipe was run with.
    intended_use : str, default=None
        Scans that the model is for, and what its results are for.
    limits : str or sequence of str, default=()
        What the model cannot do, one sentence for each limit.
    notes : dict, default=None
        Other facts, as strings, numbers, booleans, None, lists and dicts.

    Raises
    ------
    ValueError
        If a field has a type or value that is not allowed.
    TypeError
        If a note cannot be written as JSON.

    See Also
    --------
    ModelCard : Description of a model file, which contains the training card.

    Notes
    -----
    Sequences are stored as tuples, and NumPy numbers as Python numbers.

    Examples
    --------
    >>> from sklearn_iqt.persistence import TrainingCard
    >>> card = TrainingCard(scale=[1, 1, 4], snr_presets="t1w_036t", notes={"reader": "A. B."})
    >>> card.scale, card.snr_presets
    ((1, 1, 4), ('t1w_036t',))
    """

    method: str | None = None
    standardized: bool | None = None
    cohort: str | None = None
    n_pairs: int | None = None
    scale: Sequence[int] | None = None
    alignment: str | None = None
    spacing_low_mm: Sequence[float] | None = None
    spacing_high_mm: Sequence[float] | None = None
    orientation: str | None = None
    snr_presets: Sequence[str] = ()
    snr_wm: Sequence[float] | None = None
    snr_gm: Sequence[float] | None = None
    contrast: Sequence[float] | None = None
    surface: Sequence[float] | None = None
    thickness: Sequence[float] = ()
    gap: Sequence[float] = ()
    noise: Sequence[str] = ()
    tissues: Sequence[str] = ()
    scores: dict[str, float] | None = None
    seed: int | None = None
    date: str | None = None
    license: str | None = None
    recipe: str | None = None
    commit: str | None = None
    intended_use: str | None = None
    limits: Sequence[str] = ()
    notes: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.default is None:
                continue
            try:
                checked = CHECKS[entry.name](value)
            except NotAllowed as error:
                raise ValueError(
                    f"TrainingCard: {entry.name} must be {error}, got {repr(value)[:80]}."
                ) from None
            object.__setattr__(self, entry.name, checked)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not empty, in types of JSON.

        Returns
        -------
        dict
            Values by field name. Tuples are replaced by lists.
        """
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in known.items()
            if value not in (None, (), {})
        }


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Description of a model in a model file: class, parameters, arrays and training.

    Parameters
    ----------
    class_name : str
        Name of the class of the model, which is "Pipeline" for a pipeline.
    params : dict
        Parameters of the model. A nested estimator is a dict of its class and parameters.
    version : str
        Version of sklearn_iqt that wrote the file.
    training : TrainingCard, default=None
        Training card of the model, or None if the model was saved without one.
    format : int
        Version of the file format.
    arrays : dict of str to tuple
        Type and shape of each array, by name.

    See Also
    --------
    read_model_card : Read the card of a file.

    Examples
    --------
    >>> from sklearn_iqt.persistence import read_model_card
    >>> read_model_card("srep.iqt").training  # doctest: +SKIP
    TrainingCard(method='srep', ...)
    """

    class_name: str
    params: dict[str, Any]
    version: str
    training: TrainingCard | None = None
    format: int
    arrays: dict[str, tuple[Any, Any]]


def read_training(node: Any) -> TrainingCard | None:
    """Return the training card of an untrusted file."""
    if node is None:
        return None
    if not isinstance(node, dict):
        raise UntrustedModelError("its training card is not a dict.")
    unknown = sorted(set(node) - {entry.name for entry in fields(TrainingCard)})
    if unknown:
        raise UntrustedModelError(f"its training card has unknown fields {str(unknown)[:80]}.")
    try:
        return TrainingCard(**node)
    except (TypeError, ValueError) as error:
        raise UntrustedModelError(f"its training card is invalid: {error}") from error
