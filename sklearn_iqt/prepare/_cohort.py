"""Prepare the files of a cohort, with one scale for all pairs."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from sklearn_iqt._file_names import stem
from sklearn_iqt.io._open import read_json_file
from sklearn_iqt.prepare._pair import ENDINGS, PreparedPair
from sklearn_iqt.prepare._plan import GridPlan, plan_grids
from sklearn_iqt.prepare._scan import Scans
from sklearn_iqt.prepare._steps import Steps, check_masks, make_pair, parameters_of

__all__ = ["PreparationJob", "PreparedCohort", "plan_jobs", "prepare_pairs"]


@dataclass(frozen=True)
class PreparedCohort:
    """The files of prepared pairs, in the order of the input.

    Parameters
    ----------
    low, high, mask : list of pathlib.Path
        For ``fit(low, high, mask=mask)``.
    scale : tuple of 3 ints
        For the parameter `scale` of an estimator.
    records : list of dict
        Record of each pair, as in its JSON file.
    """

    low: list[Path]
    high: list[Path]
    mask: list[Path]
    scale: tuple[int, int, int]
    records: list[dict[str, Any]]


@dataclass(frozen=True)
class PreparationJob:
    """One pair of a cohort whose headers were checked."""

    lows: Scans
    highs: Scans
    masks: Scans | None
    n: int
    plan: GridPlan
    steps: Steps
    files: tuple[Path, ...]
    name: str
    caller: str
    finished: bool

    def run(self) -> dict[str, Any]:
        """Make and write the pair unless it is there, and return its record."""
        if self.finished:
            return read_json_file(self.files[-1])
        pair = PreparedPair(
            *make_pair(
                self.lows, self.highs, self.masks, self.n, self.plan, self.steps, self.caller
            )
        )
        pair.save(self.files[0].parent, self.name)
        return pair.record


def prepare_pairs(
    low: Any,
    high: Any,
    output_dir: str | os.PathLike[str],
    *,
    mask: Any = None,
    names: Sequence[str] | None = None,
    voxel_size: float | Sequence[float] | None = None,
    scale: int | Sequence[int] | None = None,
    register: bool = False,
    extract_brain: str | None = None,
    correct_bias: bool = False,
    crop: bool = True,
    margin_mm: float = 5.0,
    order: int = 3,
    nan: str = "refuse",
    force: bool = False,
    verbose: int = 0,
) -> PreparedCohort:
    """Make pairs for ``fit`` from low and high scans of the same people, and write them.

    :func:`prepare_pair` describes the steps. All pairs get the same order of axes and the same
    scale, chosen from the medians of the cohort. Headers, parameters and names are checked before
    the first voxel is read.

    Parameters
    ----------
    low : sequence of nibabel images or paths
        Low scans.
    high : sequence of nibabel images or paths
        High scans of the same people in the same order.
    output_dir : str or path
        Folder to write to; it is made if it does not exist.
    mask : sequence of nibabel images or paths, default=None
        The brain of each person, on the grid of the low or the high scan, see
        :func:`prepare_pair`.
    names : sequence of str, default=None
        Start of the file names of each pair. By default, the names of the files in `low`.
    voxel_size : float or sequence of 3 floats, default=None
        Size of the high voxels in mm. By default, the median of the high scans.
    scale : int or sequence of 3 ints, default=None
        High voxels for each low voxel, see :func:`prepare_pair`.
    register : bool, default=False
        Whether to find the rigid motion between the scans of a pair.
    extract_brain : {"high", "low"}, default=None
        The scans in which to look for the brain. None leaves this step out.
    correct_bias : bool, default=False
        Whether to divide each scan by its bias field.
    crop : bool, default=True
        Whether to cut the volumes to the box around their mask.
    margin_mm : float, default=5.0
        Width of the margin around this box.
    order : int in [0, 5], default=3
        Order of the splines.
    nan : {"refuse", "background"}, default="refuse"
        Whether scans with NaN are refused, or NaN is replaced by 0. Other tools write NaN outside
        of the field of view.
    force : bool, default=False
        Whether to prepare all pairs again. By default, a pair that was made from the same scans
        with the same parameters is kept, so that an interrupted run can go on.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    PreparedCohort
        Paths for ``fit``, the scale and the records.

    Raises
    ------
    FileExistsError
        If a file exists that was made from other scans or with other parameters.
    GeometryMismatchError
        If a pair does not fit into the cohort, or its scans hardly overlap.
    MissingExtraError
        If a step needs a package that is not installed.
    ValueError
        If a parameter is wrong, or a step fails.
    VolumeReadError
        If a scan cannot be read.

    See Also
    --------
    prepare_pair : Prepare one pair in memory.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_iqt.prepare import prepare_pairs
    >>> head = np.pad(np.full((16, 16, 3), 100.0), 2)
    >>> low = nibabel.Nifti1Image(head, np.diag([-1.6, -1.6, 5.0, 1.0]))
    >>> head = np.pad(np.full((26, 26, 15), 300.0), ((3, 3), (3, 3), (10, 10)))
    >>> high = nibabel.Nifti1Image(head, np.diag([-1.0, -1.0, 1.0, 1.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cohort = prepare_pairs([low], [high], folder, names=["sub-01"])
    >>> [path.name for path in cohort.low], cohort.scale
    (['sub-01_low.nii.gz'], (1, 1, 5))
    """
    steps = Steps(register, extract_brain, correct_bias, crop, margin_mm, order, nan)
    jobs = plan_jobs(
        low,
        high,
        output_dir,
        mask=mask,
        names=names,
        voxel_size=voxel_size,
        scale=scale,
        steps=steps,
        force=force,
    )
    bar = tqdm(jobs, desc="preparing", unit="pair", disable=not verbose)
    records = [job.run() for job in bar]
    low_files, high_files, masks = ([job.files[n] for job in jobs] for n in range(3))
    return PreparedCohort(low_files, high_files, masks, jobs[0].plan.scale, records)


def plan_jobs(
    low: Any,
    high: Any,
    output_dir: str | os.PathLike[str],
    *,
    mask: Any,
    names: Sequence[str] | None,
    voxel_size: Any,
    scale: Any,
    steps: Steps,
    force: bool,
    caller: str = "prepare_pairs",
) -> list[PreparationJob]:
    """Check everything that can be checked from headers, and return one job for each pair.

    Parameters
    ----------
    low, high, output_dir, mask, names, voxel_size, scale, force
        See :func:`prepare_pairs`.
    steps : Steps
        What to do with each pair.
    caller : str, default="prepare_pairs"
        What error messages start with.

    Returns
    -------
    list of PreparationJob
        In the order of the input.
    """
    steps.check(caller)
    lows, highs = (
        Scans(scans, name, caller, nan=steps.nan) for scans, name in ((low, "low"), (high, "high"))
    )
    if len(lows) != len(highs):
        raise ValueError(
            f"{caller}: low holds {len(lows)} scans but high holds {len(highs)}. Pass one of each "
            "for each person, in the same order."
        )
    masks = None if mask is None else Scans(mask, "mask", caller)
    check_masks(masks, lows, highs, steps, caller)
    given = _paths(lows) + _paths(highs) + ([] if masks is None else _paths(masks))
    _check_repeated(given, caller)
    stems = _check_names(lows, names, caller)
    n_pairs = range(len(lows))
    plan = plan_grids(
        [lows.grid(n) for n in n_pairs],
        [highs.grid(n) for n in n_pairs],
        [(lows.name_of(n), highs.name_of(n)) for n in n_pairs],
        voxel_size=voxel_size,
        scale=scale,
        caller=caller,
    )
    folder = Path(output_dir)
    inputs = {os.path.realpath(path) for path in given}
    jobs = []
    for n, name in enumerate(stems):
        files = tuple(folder / f"{name}_{ending}" for ending in ENDINGS)
        for file in files:
            if os.path.realpath(file) in inputs:
                raise ValueError(
                    f"{caller}: {file} is an input and would be overwritten. Choose another "
                    "folder or other names."
                )
        finished = not force and _is_finished(files, lows, highs, masks, n, plan, steps, caller)
        jobs.append(
            PreparationJob(lows, highs, masks, n, plan, steps, files, name, caller, finished)
        )
    folder.mkdir(parents=True, exist_ok=True)
    return jobs


def _paths(scans: Scans) -> list[str]:
    return [path for n in range(len(scans)) if (path := scans.path(n)) is not None]


def _check_repeated(paths: list[str], caller: str) -> None:
    """Refuse a file that is given twice: one of its places is a mistake."""
    files = Counter(os.path.realpath(path) for path in paths)
    twice = [path for path, count in files.items() if count > 1]
    if twice:
        raise ValueError(f"{caller}: {twice[0]} is given twice. Each scan belongs to one pair.")


def _check_names(lows: Scans, names: Sequence[str] | None, caller: str) -> list[str]:
    """Return the start of the file names of each pair."""
    if names is None:
        paths = [lows.path(n) for n in range(len(lows))]
        if None in paths:
            raise ValueError(f"{caller}: images in memory have no file names. Pass names.")
        names = [stem(str(path)) for path in paths]
    names = list(names)
    if len(names) != len(lows):
        raise ValueError(f"{caller}: {len(lows)} pairs but {len(names)} names. Pass one for each.")
    for name in names:
        if not isinstance(name, str) or name != os.path.basename(name) or not name:
            raise ValueError(
                f"{caller}: a name must be the start of a file name, without a folder; got "
                f"{name!r}."
            )
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{caller}: {count} pairs would be written to {name}_{ENDINGS[0]}. Pass a different "
            "name for each pair (names)."
        )
    return names


def _is_finished(
    files: Sequence[Path],
    lows: Scans,
    highs: Scans,
    masks: Scans | None,
    n: int,
    plan: GridPlan,
    steps: Steps,
    caller: str,
) -> bool:
    """Return whether a pair is complete, and refuse files that were made in another way."""
    existing = [file for file in files if file.exists()]
    if not existing:
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json_file(files[-1])
        made_from = [record[name] for name in ("parameters", "low", "high", "mask")]
        scans = [s if s is None else s.describe(n) for s in (lows, highs, masks)]
        if made_from == [parameters_of(plan, steps), *scans]:
            # Without its mask, the run that wrote the pair was interrupted.
            return len(existing) == len(files)
    raise FileExistsError(
        f"{caller}: {existing[0]} exists, and was made from other scans or with other parameters. "
        "Choose another folder, or replace it by force=True (--force on the command line)."
    )
