"""Errors and warnings of this package."""

__all__ = [
    "GeometryMismatchError",
    "MissingExtraError",
    "PatchGeometryWarning",
    "UntrustedModelError",
    "VolumeReadError",
]


class VolumeReadError(ValueError):
    """A file or image cannot be read as one finite 3-D volume with a usable affine."""


class GeometryMismatchError(ValueError):
    """Volumes that belong together do not fit: shapes, scale or affines disagree."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class UntrustedModelError(ValueError):
    """A model file is damaged, of an unknown kind, or asks for more than parameters and arrays."""


class PatchGeometryWarning(UserWarning):
    """Rows do not have the length of a patch, so what needs geometry cannot be used on them."""
