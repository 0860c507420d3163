"""Simulated scans that are drawn again while an estimator learns."""

from __future__ import annotations

import threading
from collections import OrderedDict
from copy import copy, deepcopy
from numbers import Integral
from os import PathLike, fspath
from typing import Any, NamedTuple

import joblib
import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import Cohort, Grid, VolumeCollection
from sklearn_iqt.simulation._brains import (
    Brain,
    FixedSlices,
    LowBrain,
    one_for_each,
    read_brain,
    size_in_mm,
)
from sklearn_iqt.simulation._simulator import LowFieldSimulator, two_seeds
from sklearn_iqt.simulation._simulators import get_simulator
from sklearn_iqt.simulation._slices import Slices
from sklearn_iqt.simulation._tissues import estimate_tissue_maps

__all__ = ["SimulatedScans"]

_CALLER = "SimulatedScans"


class _Drawn(NamedTuple):
    """A scan and its high volume."""

    scan: NDArray[np.floating]
    target: NDArray[np.floating]


class _Scanner:
    """Simulate any draw of any subject, and keep the brains that were read last.

    Parameters
    ----------
    brains : Cohort
        High volumes, perhaps with masks.
    tissues : sequence or None
        Soft maps or label map of each volume; None to estimate them.
    simulator : LowFieldSimulator
        How scans are made.
    seed : int
        Determines the draws.
    most_in_memory : int
        Most subjects that are kept.
    memory : joblib.Memory
        Cache of estimated maps.
    """

    def __init__(
        self,
        brains: Cohort,
        tissues: Any,
        simulator: LowFieldSimulator,
        seed: int,
        most_in_memory: int,
        memory: joblib.Memory,
    ) -> None:
        self.brains = brains
        self.tissues = tissues
        self.simulator = simulator
        self.seed = seed
        self.most_in_memory = most_in_memory
        self.memory = memory
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("brains", "tissues", "simulator", "seed", "most_in_memory", "memory")
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._subjects: OrderedDict[int, Brain | LowBrain] = OrderedDict()
        self._last: tuple[tuple[int, int], _Drawn] | None = None
        self._lock = threading.RLock()

    def seeds(self, subject: int, draw: int) -> tuple[int, int]:
        """Return the seeds of the SNR and of the noise of a scan."""
        # Draw 0 is what the simulator returns.
        random_state = np.random.RandomState((self.seed, draw) if draw else self.seed)
        snr, noise = two_seeds(random_state, subject + 1)[-1].tolist()
        return snr, noise

    def slices(self, subject: int, draw: int) -> FixedSlices | Slices:
        """Return the voxels of a scan."""
        size = size_in_mm(self.brains.low.grid(subject).affine)
        return self.simulator._slices(self.seeds(subject, draw)[1], size)

    def grids(self, subject: int, draw: int) -> tuple[Grid, Grid]:
        """Return the grids of a scan and of its high volume."""
        name = f"{_CALLER}: high[{subject}]"
        high = self.brains.low.grid(subject)
        return self.simulator._grids(self.slices(subject, draw), high, name)

    def draw(self, subject: int, draw: int) -> _Drawn:
        """Return a scan and its high volume."""
        with self._lock:
            if self._last is None or self._last[0] != (subject, draw):
                self._last = (subject, draw), self._simulate(subject, draw)
            return self._last[1]

    def _simulate(self, subject: int, draw: int) -> _Drawn:
        snr_seed, seed = self.seeds(subject, draw)
        slices = self.slices(subject, draw)
        known = self._subjects.pop(subject, None)
        if known is None:
            while len(self._subjects) >= self.most_in_memory:
                self._subjects.popitem(last=False)
            known = self._read(subject)
        if isinstance(known, Brain):
            low = self.simulator._low(known, slices, seed)
            if not self.simulator._changes_brains:
                known = low  # the same for all draws, and smaller than the brain
        else:
            low = known
        self._subjects[subject] = known
        snr = self.simulator._draw_snr(snr_seed)
        return _Drawn(*self.simulator._scan(low, slices, snr, seed))

    def _read(self, subject: int) -> Brain:
        tissues = None if self.tissues is None else self.tissues[subject]
        if tissues is None:
            volume, _, mask, affine = self.brains.read(subject)
            estimate = self.memory.cache(_estimate)
            tissues = estimate(volume, mask, size_in_mm(affine).tolist())
        # The borders of a person are the same in each draw.
        width = self.simulator._border_width(self.seeds(subject, 0)[1])
        return read_brain(self.brains, subject, tissues, width)


def _estimate(volume: NDArray, mask: NDArray | None, voxel_size: list[float]) -> NDArray:
    return estimate_tissue_maps(volume, mask, voxel_size=voxel_size, random_state=0)


class _DrawnVolumes(VolumeCollection):
    """One volume of each draw of each subject.

    Parameters
    ----------
    scanner : _Scanner
        What makes the draws.
    subjects : ndarray of int
        Subjects of this collection.
    draw : int
        Number of the draw.
    n_draws : int
        Draws that estimators on patches learn from.
    """

    redraws = True
    # Position of the volume in what the scanner returns.
    _part: int

    def __init__(
        self, scanner: _Scanner, subjects: NDArray[np.integer], draw: int, n_draws: int
    ) -> None:
        self._scanner = scanner
        self._subjects = subjects
        self.draw = draw
        self._scalers: tuple[tuple[Any, VolumeCollection | None], ...] = ()
        self.n_draws = n_draws
        self.most_in_memory = scanner.most_in_memory
        self.name = ("X", "y")[self._part]
        self._caller = _CALLER
        self._single = False
        self.kind = scanner.brains.low.kind
        geometry = scanner.simulator.geometry
        self.turns = geometry is not None and geometry.to_high_grid

    def __len__(self) -> int:
        return len(self._subjects)

    def _take(self, numbers: NDArray[np.integer]) -> Any:
        other = copy(self)
        other._subjects = self._subjects[numbers]
        other._scalers = tuple(
            (scaler, None if mask is None else mask[numbers]) for scaler, mask in self._scalers
        )
        return other

    def drawn(self, number: int) -> Any:
        """Return another draw of the volumes.

        Parameters
        ----------
        number : int
            Number of the draw, at least 0.

        Returns
        -------
        SimulatedScans
            The same subjects.
        """
        if not isinstance(number, Integral) or number < 0:
            raise ValueError(
                f"{_CALLER}.drawn: number must be an integer of at least 0, got {number!r}."
            )
        other = copy(self)
        other.draw = int(number)
        return other

    def read(
        self, index: int, background: np.ndarray | None = None
    ) -> tuple[NDArray, NDArray | None]:
        """Simulate one volume.

        Parameters
        ----------
        index : int
            Position in the collection.
        background : None
            Not used, because volumes have no NaN.

        Returns
        -------
        volume : ndarray of shape (i, j, k)
            Do not write to it.
        affine : ndarray of shape (4, 4) or None
            Voxel to mm; None for an array.
        """
        index = range(len(self))[index]
        volume = self._scanner.draw(int(self._subjects[index]), self.draw)[self._part]
        for scaler, mask in self._scalers:
            chosen = {} if mask is None else {"mask": [mask[index]]}
            (volume,) = scaler.transform([volume], **chosen)
        return volume, self.grid(index).affine

    def scaled_by(self, scaler: Any, mask: VolumeCollection | None) -> Any:
        """Return the volumes after a scaler, which scales each draw when it is read.

        Parameters
        ----------
        scaler : transformer
            Fitted scaler of intensities.
        mask : VolumeCollection or None
            Foreground of each volume.

        Returns
        -------
        SimulatedScans
            The same subjects and draws.
        """
        other = copy(self)
        # A copy, because a pipeline may fit its scaler again.
        other._scalers = (*self._scalers, (deepcopy(scaler), mask))
        return other

    def grid(self, index: int) -> Grid:
        """Return the shape and place of one volume without simulating it.

        Parameters
        ----------
        index : int
            Position in the collection.

        Returns
        -------
        Grid
            Arrays have no affine.
        """
        return self._scanner.grids(int(self._subjects[index]), self.draw)[self._part]

    def fingerprint(self) -> str:
        """Return a digest that identifies all draws, as a key for caches.

        Returns
        -------
        str
            Digest of the high volumes, the tissue maps, the simulator and the seed.
        """
        scanner = self._scanner
        tissues = scanner.tissues
        if tissues is not None:
            tissues = [self._fingerprint(entry) for entry in tissues]
        simulator = clone(scanner.simulator).set_params(random_state=None, verbose=0)
        return joblib.hash(
            [
                type(self).__name__,
                scanner.brains.fingerprint(),
                tissues,
                sorted(simulator.get_params().items()),
                scanner.seed,
                self._subjects,
                self.draw,
                self.n_draws,
                [(scaler, mask and mask.fingerprint()) for scaler, mask in self._scalers],
            ]
        )

    def _place(self, index: int) -> tuple[Nifti1Header, NDArray, NDArray]:
        header, base, _ = self._scanner.brains.low._place(int(self._subjects[index]))
        affine = self.grid(index).affine
        return header, base, base if affine is None else affine


class SimulatedScans(_DrawnVolumes):
    """Simulated scans of people, which are drawn again while an estimator learns.

    A lazy sequence with one entry for each high volume, which every estimator of this package takes
    as ``X``, with :attr:`targets` as ``y``. Contrast, noise and, with a wide simulator, the voxels
    of the scan differ between draws. A net sees another draw of each person in each epoch.
    Dictionaries, forests and other estimators on patches learn from patches of ``n_draws`` draws.

    Parameters
    ----------
    high : array of shape (n, i, j, k) or sequence of volumes
        Skull-stripped high-quality volumes: arrays, images or paths. Files are read when they are
        needed.
    tissues : sequence of arrays, images or paths, default=None
        For each volume, soft maps of shape (3, i, j, k) in the order CSF, GM, WM, or a label map,
        see :meth:`LowFieldSimulator.simulate`. By default they are estimated from the volume by
        :func:`estimate_tissue_maps` when it is needed for the first time.
    simulator : str or LowFieldSimulator, default="wide"
        What makes the scans: a name that :func:`get_simulator` knows, or a simulator.
    mask : sequence of volumes, default=None
        Brains of volumes that are not skull stripped.
    n_draws : int, default=4
        Draws of each person that an estimator on patches learns from, at least 1. It takes the
        patches from all draws together, so that `max_patches` of the estimator is their number over
        all draws. Nets get a new draw in each epoch instead.
    most_in_memory : int, default=16
        Most people whose volumes are in memory at a time, at least 1. With more people, a net
        visits them in groups of this size, in a random order. In the training of a net, each takes
        about four times the memory of its high volume, and seven times with a
        :class:`SliceGeometry`.
    memory : path or joblib.Memory, default=None
        Folder for estimated tissue maps, so that they are estimated only once even if there are
        more people than `most_in_memory`. joblib keeps pickles there: use a folder that only you
        can write to.
    random_state : int, RandomState instance or None, default=None
        Determines all draws. By default the `random_state` of the simulator is used.

    Attributes
    ----------
    n_draws : int
        The parameter.
    most_in_memory : int
        The parameter.
    draw : int
        Number of the draw that is read by indexing; 0 unless :meth:`drawn` made the collection. A
        training starts from this draw. So ``scans.drawn(50)`` gives a net other draws than the
        first 50 epochs of an earlier training.

    Raises
    ------
    GeometryMismatchError
        If the numbers or grids of volumes, maps and masks do not fit.
    ValueError
        If a parameter is out of its range.

    See Also
    --------
    LowFieldSimulator.simulate : Simulate one scan for each volume.
    get_simulator : Simulators with names.

    Notes
    -----
    A draw depends on the seed, the position of the person in `high` and the number of the draw,
    and on nothing else: not on other people, on the process or on a training that was interrupted.
    Draw 0 is what :meth:`LowFieldSimulator.simulate` returns for the same seed. Reading the
    collection, as predictions and scores do, reads draw 0; :meth:`drawn` returns the others.

    Blur and sampling come before contrast and noise. So with slices that are the same in each draw,
    one low volume and three low maps of each person are kept, which take about the memory of one
    high volume, and a new scan costs very little. With a :class:`SliceGeometry` the high volume and
    its maps are kept, and are blurred and sampled in each draw.

    A scaler in a pipeline learns from draw 0 and then scales each draw when it is read.

    scikit-learn's ``GroupKFold``, ``cross_val_score`` and ``GridSearchCV`` select people from it,
    and indexing by a slice or by an array of numbers returns a collection.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import PatchwiseRegressor
    >>> from sklearn_iqt.simulation import SimulatedScans
    >>> labels = np.ones((3, 12, 12, 16), dtype=np.uint8)
    >>> labels[:, 3:] = 2
    >>> labels[:, 8:] = 3
    >>> high = np.array([0, 50, 100, 150], dtype=np.float32)[labels]
    >>> scans = SimulatedScans(high, labels, "narrow", random_state=0)
    >>> len(scans), scans[0].shape, scans.targets[0].shape
    (3, (12, 12, 4), (12, 12, 16))
    >>> bool((scans[0] == scans.drawn(1)[0]).any())
    False
    >>> model = PatchwiseRegressor(random_state=0).fit(scans, scans.targets)
    >>> len(model.predict(scans[:1]))
    1
    """

    _part = 0

    def __init__(
        self,
        high: Any,
        tissues: Any = None,
        simulator: str | LowFieldSimulator = "wide",
        *,
        mask: Any = None,
        n_draws: int = 4,
        most_in_memory: int = 16,
        memory: Any = None,
        random_state: Any = None,
    ) -> None:
        for name, value in (("n_draws", n_draws), ("most_in_memory", most_in_memory)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(
                    f"{_CALLER}: {name} must be an integer of at least 1, got {value!r}."
                )
        brains = Cohort(high, mask=mask, caller=_CALLER, names=("high", "", "mask"))
        if tissues is not None:
            tissues = one_for_each(tissues, len(brains), _CALLER)
        source = get_simulator(simulator)
        source._check()
        scanner = _Scanner(
            brains,
            tissues,
            source,
            _seed(source.random_state if random_state is None else random_state),
            int(most_in_memory),
            check_memory(fspath(memory) if isinstance(memory, PathLike) else memory),
        )
        super().__init__(scanner, np.arange(len(brains)), 0, int(n_draws))
        for n in range(len(self)):
            self.grid(n)  # refuses volumes that are too small

    @property
    def targets(self) -> VolumeCollection:
        """High volumes of the scans, for ``y``: a lazy sequence of the same draws."""
        return _Targets(self._scanner, self._subjects, self.draw, self.n_draws)

    def check_targets(self, targets: VolumeCollection) -> None:
        """Refuse high volumes that do not belong to the draws.

        Parameters
        ----------
        targets : VolumeCollection
            High volumes of a training.

        Raises
        ------
        GeometryMismatchError
            If high volumes differ between draws, and these are not the targets of the scans.
        """
        same = (
            isinstance(targets, _Targets)
            and targets._scanner is self._scanner
            and targets.draw == self.draw
            and np.array_equal(targets._subjects, self._subjects)
        )
        if self._scanner.simulator._changes_brains and not same:
            raise GeometryMismatchError(
                f"{_CALLER}: with this simulator the high volumes differ between draws, because "
                "their axes are turned or they have lesions. Pass scans.targets as y."
            )


class _Targets(_DrawnVolumes):
    """High volumes of simulated scans."""

    _part = 1


def _seed(random_state: Any) -> int:
    """Return the seed of all draws."""
    if isinstance(random_state, Integral):
        check_random_state(random_state)
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
