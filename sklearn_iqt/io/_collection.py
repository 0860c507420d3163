"""Sequences of volumes that are read and checked one at a time."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import joblib
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.spatialimages import SpatialImage

from sklearn_iqt.io._carry import carried_image, image_header
from sklearn_iqt.io._gate import Nan, check_image, check_nan, check_place, fill_nan, intensity_fault
from sklearn_iqt.io._geometry import scaled_affine
from sklearn_iqt.io._grid import Grid
from sklearn_iqt.io._nifti import read_geometry, read_image

__all__ = ["VolumeCollection"]

_NO_VOXELS = np.zeros((1, 1, 1), np.float32)


class VolumeCollection(Sequence):
    """Sequence of volumes that checks each one when it is read.

    Parameters
    ----------
    items : ndarray of shape (n, i, j, k) or sequence
        Container that :func:`as_volumes` accepts.
    name : str, default="X"
        Name of the collection in messages.
    caller : str, default="as_volumes"
        Class or function that messages name.
    single : bool, default=False
        Whether the user passed one volume, which messages then call ``X`` instead of ``X[0]``.
    nan : {"refuse", "background"}, default="refuse"
        Whether volumes with NaN are refused, or NaN is replaced by 0.

    Attributes
    ----------
    name : str
        The parameter.
    kind : {"stack", "arrays", "images"}
        Container that the user passed: a 4-D array, a sequence of arrays, or images and paths.
    redraws : bool
        Whether each draw holds other volumes, see :class:`sklearn_iqt.simulation.SimulatedScans`.
    turns : bool
        Whether the axes of each volume were exchanged on purpose, so that its slices are in the
        place that the model expects, and their order does not have to be checked.
    draw : int
        Number of the draw that the volumes are.
    n_draws : int
        Draws of each volume that an estimator on patches learns from.
    most_in_memory : int or None
        Most volumes that a training may hold in memory at a time; None for all.
    """

    redraws: bool = False
    turns: bool = False
    draw: int = 0
    n_draws: int = 1
    most_in_memory: int | None = None

    def __init__(
        self,
        items: Any,
        *,
        name: str = "X",
        caller: str = "as_volumes",
        single: bool = False,
        nan: str = "refuse",
    ) -> None:
        self._items = items
        self._nan = check_nan(nan, caller)
        self.name = name
        self._caller = caller
        self._single = single
        self._sources: dict[int, SpatialImage] = {}
        self.kind: Literal["stack", "arrays", "images"]
        if isinstance(items, np.ndarray) and items.dtype.kind not in "OU":
            self.kind = "stack"
        elif isinstance(items[0], (SpatialImage, str, os.PathLike)):
            self.kind = "images"
        else:
            self.kind = "arrays"

    def __len__(self) -> int:
        return len(self._items)

    @property
    def shape(self) -> tuple[int]:
        """Number of volumes, as scikit-learn asks for it: it then selects by arrays of numbers."""
        return (len(self),)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | Sequence | np.ndarray) -> VolumeCollection: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]  # scikit-learn selects along the first axis
        if isinstance(index, slice) or np.ndim(index) == 1:
            return self._take(
                np.arange(len(self))[index if isinstance(index, slice) else np.asarray(index)]
            )
        return self.read(operator.index(index))[0]

    def _take(self, numbers: np.ndarray) -> VolumeCollection:
        """Return the collection of the volumes with these numbers."""
        if isinstance(self._items, np.ndarray):
            items = self._items[numbers]
        else:
            items = [self._items[n] for n in numbers]
        return VolumeCollection(items, name=self.name, caller=self._caller, nan=self._nan)

    def drawn(self, number: int) -> VolumeCollection:
        """Return another draw of the volumes.

        Parameters
        ----------
        number : int
            Number of the draw, at least 0.

        Returns
        -------
        VolumeCollection
            The collection itself, unless its volumes are drawn again.
        """
        return self

    def scaled_by(self, scaler: Any, mask: VolumeCollection | None) -> Any:
        """Return the volumes after a scaler, for collections whose volumes are drawn again.

        Parameters
        ----------
        scaler : transformer
            Fitted scaler of intensities.
        mask : VolumeCollection or None
            Foreground of each volume.

        Returns
        -------
        VolumeCollection
            Scaled when they are read.
        """
        raise NotImplementedError("Only volumes that are drawn again are scaled later.")

    def check_targets(self, targets: VolumeCollection) -> None:
        """Refuse high volumes that do not belong to the draws of these volumes.

        Parameters
        ----------
        targets : VolumeCollection
            High volumes of a training.
        """

    def read(
        self, index: int, background: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Load and check one volume.

        Parameters
        ----------
        index : int
            Position in the collection.
        background : ndarray of bool, shape (i, j, k), default=None
            Voxels where NaN is replaced by 0. None is nowhere, unless the collection was made with
            ``nan="background"``.

        Returns
        -------
        volume : ndarray of shape (i, j, k), float32 or float64
            It may share memory with the user's array, so do not write to it.
        affine : ndarray of shape (4, 4) or None
            Voxel to mm; None for an array.

        Raises
        ------
        VolumeReadError
            If a file or image cannot be read as one finite volume.
        ValueError
            If an array is not a finite, non-empty 3-D volume of real numbers, or its largest
            absolute intensity is neither 0 nor between 1e-12 and 1e12.
        """
        item = self._items[index]
        where = f"{self._caller}: {self.name_of(index)}"
        nan = self._nan if background is None or self._nan == "background" else background
        if isinstance(item, (str, os.PathLike)):
            image = read_image(item, nan=nan)
            # The affine and the header, which wrap needs later, without the voxels.
            self._sources[index] = Nifti1Image(_NO_VOXELS, image.affine, image.header)
            return np.asarray(image.dataobj), image.affine
        if isinstance(item, SpatialImage):
            return check_image(item, name=where, nan=nan)
        return self._check_array(item, where, nan), None

    def name_of(self, index: int) -> str:
        """Return the name of one volume in messages.

        Parameters
        ----------
        index : int
            Position in the collection.

        Returns
        -------
        str
            For instance ``"X[2]"``.
        """
        return self.name if self._single else f"{self.name}[{index}]"

    def grid(self, index: int) -> Grid:
        """Return the shape and place of one volume without reading its voxels.

        Parameters
        ----------
        index : int
            Position in the collection.

        Returns
        -------
        Grid
            From the header of an image or a file. Arrays have no affine.

        Raises
        ------
        VolumeReadError
            If a file is missing or its header is damaged.
        ValueError
            If an array is not 3-D.
        """
        item = self._items[index]
        if isinstance(item, (str, os.PathLike)):
            return Grid(*read_geometry(item))
        where = f"{self._caller}: {self.name_of(index)}"
        if isinstance(item, SpatialImage):
            return Grid(*check_place(item, where))
        _check_dimensions(item, where)
        return Grid(np.shape(item))

    def fingerprint(self) -> str:
        """Return a digest that identifies the volumes, as a key for caches.

        Returns
        -------
        str
            Digest of the voxels of arrays and images. Files are not read; they are identified by
            path, size and time of the last change.
        """
        return joblib.hash([self._fingerprint(item) for item in self._items])

    def _fingerprint(self, item: Any) -> Any:
        if isinstance(item, (str, os.PathLike)):
            state = os.stat(item)
            return os.path.realpath(item), state.st_size, state.st_mtime_ns
        if isinstance(item, SpatialImage):
            return joblib.hash((np.asanyarray(item.dataobj), item.affine))
        return joblib.hash(np.asarray(item))

    def wrap(
        self,
        volumes: Iterable[np.ndarray],
        zoom: Sequence[float] = (1, 1, 1),
        alignment: str = "center",
    ) -> np.ndarray:
        """Put results into a container of the kind that the user passed.

        Parameters
        ----------
        volumes : iterable of ndarray
            One result for each volume of this collection, in order.
        zoom : sequence of 3 floats, default=(1, 1, 1)
            How many times smaller the voxels of the results are, along each axis.
        alignment : {"center", "corner"}, default="center"
            See :func:`sklearn_iqt.io.scaled_affine`.

        Returns
        -------
        ndarray
            A 4-D array for a 4-D array. Otherwise a 1-D object array of arrays, or of images with
            the affine and header carried over. (A plain list would break ``cross_val_predict``.)
        """
        results: list[Any] = []
        for index, volume in enumerate(volumes):
            result: Any = volume
            if self.kind == "images":
                header, base, affine = self._place(index)
                place = scaled_affine(affine, zoom, alignment)
                result = carried_image(volume, header, base, place)
            results.append(result)
        return self.join(results)

    def join(self, results: Sequence[Any]) -> np.ndarray:
        """Put results that are arrays or images into a container of the kind that the user passed.

        Parameters
        ----------
        results : sequence of ndarray or of images
            One for each volume of this collection, in order.

        Returns
        -------
        ndarray
            A 4-D array for a 4-D array, if the results have one shape. Otherwise a 1-D object
            array. (A plain list would break ``cross_val_predict``.)
        """
        if self.kind == "stack" and len({np.shape(result) for result in results}) == 1:
            return np.stack(results)
        joined = np.empty(len(results), dtype=object)
        for index, result in enumerate(results):
            joined[index] = result
        return joined

    def as_item(self, index: int, voxels: np.ndarray, affine: np.ndarray | None) -> Any:
        """Return voxels on another grid as an item of the kind that the user passed.

        Parameters
        ----------
        index : int
            Position in the collection.
        voxels : ndarray of shape (i, j, k)
            The voxels.
        affine : ndarray of shape (4, 4) or None
            Their place; None for arrays.

        Returns
        -------
        ndarray or nibabel.Nifti1Image
            An image with the header of that volume, if the collection holds images.
        """
        if self.kind != "images" or affine is None:
            return voxels
        header, base, _ = self._place(index)
        return carried_image(voxels, header, base, affine)

    def as_image(self, index: int, voxels: np.ndarray) -> Nifti1Image:
        """Return other voxels on the grid of an image of this collection, with its header.

        Parameters
        ----------
        index : int
            Position in the collection.
        voxels : ndarray of shape (i, j, k)
            For instance the result of :meth:`read`.

        Returns
        -------
        nibabel.Nifti1Image
            The voxels are not copied.
        """
        header, base, affine = self._place(index)
        return carried_image(voxels, header, base, affine)

    def _place(self, index: int) -> tuple[Nifti1Header, np.ndarray, np.ndarray]:
        """Return the header and affine of an image, and the affine of the volume."""
        source = self._items[index]
        if not isinstance(source, SpatialImage):
            source = self._sources.get(index) or read_image(source, nan="background")
        header, affine, _ = image_header(source, f"{self._caller}: {self.name_of(index)}")
        return header, affine, affine

    @staticmethod
    def _check_array(item: Any, where: str, nan: Nan) -> np.ndarray:
        _check_dimensions(item, where)
        volume = np.asarray(item)
        if volume.dtype.kind not in "fiub":
            raise ValueError(f"{where} has dtype {volume.dtype}, but must hold real numbers.")
        if volume.size == 0:
            raise ValueError(
                f"{where} is empty, shape {volume.shape}. Pass a volume with at least one voxel "
                "along each axis."
            )
        volume = volume.astype(volume.dtype.newbyteorder("="), copy=False)
        if volume.dtype not in (np.float32, np.float64):
            volume = volume.astype(np.float32)
        volume = fill_nan(volume, nan)
        fault = intensity_fault(volume)
        if fault is not None:
            raise ValueError(f"{where}: {fault}")
        return volume


def _check_dimensions(item: Any, where: str) -> None:
    if np.ndim(item) != 3:
        raise ValueError(
            f"{where} has {np.ndim(item)} dimensions, shape {np.shape(item)}. Each volume must be "
            "a 3-D array, and all items must be of one kind."
        )
