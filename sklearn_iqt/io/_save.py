"""Write single volumes to NIfTI files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, DTypeLike, NDArray

from sklearn_iqt._axes import check_alignment
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io._carry import carried_image, image_header
from sklearn_iqt.io._gate import count_nonfinite, image_voxels
from sklearn_iqt.io._geometry import check_affine, check_zoom, scaled_affine
from sklearn_iqt.io._header import VOXEL_DTYPES, squeezed_shape
from sklearn_iqt.io._nifti import is_compressed, open_scan, read_header
from sklearn_iqt.io._replace import replaced_file


def save_volume(
    volume: ArrayLike | SpatialImage,
    path: str | os.PathLike[str],
    *,
    like: SpatialImage | str | os.PathLike[str] | None = None,
    affine: ArrayLike | None = None,
    zoom: ArrayLike = (1, 1, 1),
    alignment: str = "center",
    dtype: DTypeLike = "float32",
) -> Path:
    """Write one 3-D volume to a NIfTI file, completely or not at all.

    Parameters
    ----------
    volume : array-like of shape (i, j, k) or nibabel image
        Finite voxels. An image also brings its header and affine.
    path : str or path-like
        File to write, ending in ``.nii`` or ``.nii.gz``. An existing file is replaced only once
        the new one is complete.
    like : nibabel image or path, default=None
        Image whose header (units, qform and sform, description, intent) and affine are carried
        over, instead of the header of `volume`.
    affine : array-like of shape (4, 4), default=None
        Voxel-to-mm matrix of `volume` itself, instead of the one that is carried over.
    zoom : float or sequence of three floats, default=(1, 1, 1)
        How many times smaller the voxels of `volume` are than the voxels of the image whose affine
        is carried over.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned, see :func:`scaled_affine`.
    dtype : dtype, default="float32"
        Type of the voxels in the file. For an integer type values are rounded, and refused if they
        do not fit. No intensity scaling is written.

    Returns
    -------
    pathlib.Path
        Path of the file.

    Raises
    ------
    ValueError
        If the volume is not 3-D, real and finite, does not fit `dtype`, or a parameter is wrong.
    GeometryMismatchError
        If the shape of `volume` is not the shape of `like` times `zoom`.
    OSError
        If the file cannot be written. An existing file is left unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_iqt.io import load_volume, save_volume
    >>> folder = tempfile.TemporaryDirectory()
    >>> low, high = Path(folder.name) / "low.nii", Path(folder.name) / "high.nii.gz"
    >>> low = save_volume(np.ones((8, 8, 2)), low, affine=np.diag([1, 1, 4, 1]))
    >>> high = save_volume(np.ones((8, 8, 8)), high, like=low, zoom=(1, 1, 4))
    >>> [float(size) for size in load_volume(high).header.get_zooms()]
    [1.0, 1.0, 1.0]
    >>> folder.cleanup()
    """
    target = Path(path)
    compressed = is_compressed(target.name)
    if compressed is None:
        raise ValueError(
            f"save_volume: the path must end in '.nii' or '.nii.gz', got {str(target)!r}."
        )
    check_alignment(alignment, "save_volume")
    factors = check_zoom(zoom, "save_volume")
    if like is None and isinstance(volume, SpatialImage):
        like = volume
    voxels = _storable(volume, np.dtype(dtype))
    image = _as_image(voxels, like, affine, factors, alignment)
    _write_atomically(image, target, compressed)
    return target


def _storable(volume: ArrayLike | SpatialImage, dtype: np.dtype) -> NDArray:
    """Return the voxels in the type of the file, or raise ValueError if they do not fit."""
    if dtype.kind not in "iuf" or dtype.str[1:] not in VOXEL_DTYPES.values():
        allowed = ", ".join(sorted(np.dtype(code).name for code in VOXEL_DTYPES.values()))
        raise ValueError(f"save_volume: dtype must be one of {allowed}; got {dtype}.")
    name = "save_volume: the image"
    is_image = isinstance(volume, SpatialImage)
    voxels = image_voxels(volume, name) if is_image else np.asarray(volume)  # type: ignore[arg-type]
    if voxels.dtype.kind not in "biuf":
        raise ValueError(
            f"save_volume: the volume must hold real numbers, got dtype {voxels.dtype}."
        )
    if is_image:
        voxels = voxels.reshape(squeezed_shape(voxels.shape, name))
    if voxels.ndim != 3 or voxels.size == 0:
        raise ValueError(
            f"save_volume: the volume must be 3-D and not empty, got an array of shape "
            f"{voxels.shape}."
        )
    n_bad = count_nonfinite(voxels)
    if n_bad:
        raise ValueError(
            f"save_volume: {n_bad} of {voxels.size} voxels are NaN or infinite. Replace them first."
        )
    if dtype.kind != "f" and voxels.dtype.kind == "f":
        voxels = np.rint(voxels)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    # As Python numbers they compare exactly; as floats, 2**63 would count as an int64.
    smallest, largest = np.array([limits.min, limits.max], dtype=dtype).tolist()
    lowest, highest = voxels.min().item(), voxels.max().item()
    if lowest < smallest or highest > largest:
        raise ValueError(
            f"save_volume: values from {lowest:g} to {highest:g} do not fit {dtype}, which holds "
            f"{smallest:g} to {largest:g}. Use a wider dtype or rescale the volume."
        )
    return voxels.astype(dtype.newbyteorder("="), copy=False)


def _as_image(
    voxels: NDArray,
    like: SpatialImage | str | os.PathLike[str] | None,
    affine: ArrayLike | None,
    zoom: NDArray[np.float64],
    alignment: str,
) -> nibabel.Nifti1Image:
    """Return the voxels with the header and affine of the new file."""
    if affine is not None and (zoom != 1).any():
        raise ValueError(
            "save_volume: affine is the matrix of the volume itself, so it cannot be combined with "
            "zoom. Pass one of the two."
        )
    matrix = None if affine is None else check_affine(affine, "save_volume: affine")
    if like is None:
        header, base = Nifti1Header(), np.eye(4)
        header.set_xyzt_units("mm")
    else:
        header, base, like_shape = _reference(like, matrix)
        if matrix is None and (np.abs(zoom * like_shape - voxels.shape) >= 1).any():
            raise GeometryMismatchError(
                f"save_volume: a volume of shape {voxels.shape} does not cover the field of view "
                f"of `like`, shape {like_shape} times zoom {tuple(zoom.tolist())}. Pass the zoom "
                "between the two, or the affine of the volume."
            )
    if matrix is not None:
        replaced = not np.allclose(header.get_best_affine(), matrix)
        return carried_image(voxels, header, base, matrix, replaced=replaced)
    return carried_image(voxels, header, base, scaled_affine(base, zoom, alignment))


def _reference(
    like: SpatialImage | str | os.PathLike[str], affine: NDArray[np.float64] | None
) -> tuple[Nifti1Header, NDArray[np.float64], tuple[int, int, int]]:
    """Return header, affine and shape of an image or file without reading its voxels.

    If the user passes an affine, it replaces the affine of an image, which may then be missing.
    """
    if isinstance(like, SpatialImage):
        if like.affine is None and affine is None:
            raise ValueError("save_volume: the image has no affine. Pass affine as well.")
        return image_header(like, "save_volume: the image", affine)
    name = os.fspath(like)
    with open_scan(name) as (stream, _, _):
        checked = read_header(stream, name)
    return checked.header, checked.affine, checked.shape


def _write_atomically(image: nibabel.Nifti1Image, target: Path, compressed: bool) -> None:
    """Write the file completely or not at all."""
    final = Path(os.path.realpath(target))
    if not final.parent.is_dir():
        raise FileNotFoundError(
            f"save_volume: the folder {str(target.parent)!r} does not exist. Create it first."
        )
    with replaced_file(final) as stream:
        if compressed:
            # Level 1, as in nibabel, because noise hardly compresses better at higher levels. No
            # time stamp, so that the same volume gives the same bytes.
            with gzip.GzipFile("", "wb", 1, stream, mtime=0) as inflated:
                image.to_file_map({"image": FileHolder(fileobj=inflated)})
        else:
            image.to_file_map({"image": FileHolder(fileobj=stream)})
