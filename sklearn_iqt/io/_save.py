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

from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io._gate import count_nonfinite
from sklearn_iqt.io._geometry import check_affine, check_alignment, check_zoom, scaled_affine
from sklearn_iqt.io._header import VOXEL_DTYPES, clean_header, drop_unusable_qform, squeezed_shape
from sklearn_iqt.io._nifti import as_image, is_compressed, open_nifti, read_header
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
    header, matrix = _geometry(voxels.shape, like, affine, factors, alignment)
    header.set_data_dtype(voxels.dtype)
    header["cal_min"] = header["cal_max"] = 0
    image = as_image(voxels, matrix, header)
    image.header.set_slope_inter(1, 0)
    _write_atomically(image, target, compressed)
    return target


def _storable(volume: ArrayLike | SpatialImage, dtype: np.dtype) -> NDArray:
    """Return the voxels in the type of the file, or raise ValueError if they do not fit."""
    if dtype.kind not in "iuf" or dtype.str[1:] not in VOXEL_DTYPES.values():
        allowed = ", ".join(sorted(np.dtype(code).name for code in VOXEL_DTYPES.values()))
        raise ValueError(f"save_volume: dtype must be one of {allowed}; got {dtype}.")
    voxels = np.asarray(volume.dataobj if isinstance(volume, SpatialImage) else volume)
    if voxels.dtype.kind not in "biuf":
        raise ValueError(
            f"save_volume: the volume must hold real numbers, got dtype {voxels.dtype}."
        )
    if isinstance(volume, SpatialImage):
        voxels = voxels.reshape(squeezed_shape(voxels.shape, "save_volume: the image"))
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


def _geometry(
    shape: tuple[int, ...],
    like: SpatialImage | str | os.PathLike[str] | None,
    affine: ArrayLike | None,
    zoom: NDArray[np.float64],
    alignment: str,
) -> tuple[Nifti1Header, NDArray[np.float64]]:
    """Return the header and affine of a new file."""
    if affine is not None and (zoom != 1).any():
        raise ValueError(
            "save_volume: affine is the matrix of the volume itself, so it cannot be combined with "
            "zoom. Pass one of the two."
        )
    if like is None:
        header, base = Nifti1Header(), np.eye(4)
        header.set_xyzt_units("mm")
    else:
        header, base, like_shape = _reference(like, replaced=affine is not None)
        if affine is None and (np.abs(zoom * like_shape - shape) >= 1).any():
            raise GeometryMismatchError(
                f"save_volume: a volume of shape {shape} does not cover the field of view of "
                f"`like`, shape {like_shape} times zoom {tuple(zoom.tolist())}. Pass the zoom "
                "between the two, or the affine of the volume."
            )
        if affine is None and (zoom == 1).all() and _has_affine(header, base):
            return _reshaped(header, shape), base
    header = _reshaped(header, shape)
    for field in ("slice_start", "slice_end", "slice_code", "slice_duration"):
        header[field] = 0
    if affine is None:
        matrix = scaled_affine(base, zoom, alignment)
    else:
        matrix = check_affine(affine, "save_volume: affine")
    _set_affine(header, matrix, base, zoom, alignment)
    return header, matrix


def _reference(
    like: SpatialImage | str | os.PathLike[str], replaced: bool
) -> tuple[Nifti1Header, NDArray[np.float64], tuple[int, int, int]]:
    """Return header, affine and shape of an image or file without reading its voxels.

    If ``replaced``, the affine of an image is ignored, and the image does not have to have one.
    """
    if not isinstance(like, SpatialImage):
        name = os.fspath(like)
        with open_nifti(name) as (stream, _, _):
            checked = read_header(stream, name)
        return checked.header, checked.affine, checked.shape
    shape = squeezed_shape(tuple(like.shape), "save_volume: like")
    if like.affine is None and not replaced:
        raise ValueError("save_volume: the image has no affine. Pass affine as well.")
    affine = np.eye(4)
    if not replaced:
        affine = check_affine(like.affine, "save_volume: the affine of the image")
    if not isinstance(like.header, Nifti1Header):
        header = Nifti1Header()
        header.set_xyzt_units("mm")
        return header, affine, shape
    header = clean_header(like.header, shape)
    drop_unusable_qform(header)
    return header, affine, shape


def _has_affine(header: Nifti1Header, affine: NDArray[np.float64]) -> bool:
    """Return whether a header already has this affine, at the precision of a file."""
    coded = header["sform_code"] > 0 or header["qform_code"] > 0
    return coded and np.array_equal(np.float32(header.get_best_affine()), np.float32(affine))


def _reshaped(header: Nifti1Header, shape: tuple[int, ...]) -> Nifti1Header:
    # nibabel would fall back on a FreeSurfer convention that other tools cannot read.
    if header.sizeof_hdr == 348 and max(shape) > np.iinfo(np.int16).max:
        raise ValueError(
            f"save_volume: NIfTI-1 cannot hold the shape {shape}. Pass a NIfTI-2 image as `like`."
        )
    header.set_data_shape(shape)
    return header


def _set_affine(
    header: Nifti1Header,
    matrix: NDArray[np.float64],
    base: NDArray[np.float64],
    zoom: NDArray[np.float64],
    alignment: str,
) -> None:
    """Write the affine as sform, and keep a qform that names another space."""
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    moved = not np.allclose(scaled_affine(base, zoom, alignment), matrix)
    if qform_code > 0 and not moved:
        header.set_qform(scaled_affine(header.get_qform(), zoom, alignment), qform_code)
    else:
        header.set_qform(matrix, qform_code)
        if qform_code > 0 and not np.allclose(header.get_qform(), matrix, atol=1e-3):
            # A qform cannot store a shear, and a wrong qform is worse than a missing one.
            header.set_qform(None, 0)
    header.set_sform(matrix, sform_code or qform_code or 2)


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
