"""Errors and warnings of this package."""

__all__ = [
    "GeometryMismatchError",
    "IntervalRefusedError",
    "MissingExtraError",
    "PatchGeometryWarning",
    "ScanWarning",
    "UntrustedModelError",
    "VolumeReadError",
]


class VolumeReadError(ValueError):
    """A file or image cannot be read as one finite 3-D volume with a usable affine."""


class GeometryMismatchError(ValueError):
    """The shapes, scales or affines of volumes do not match."""


class IntervalRefusedError(ValueError):
    """A scan differs too much from the scans on which intervals were calibrated."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message names the extra to install."""


class UntrustedModelError(ValueError):
    """A model file is damaged, has an unknown format, or holds more than parameters and arrays."""


class PatchGeometryWarning(UserWarning):
    """Rows do not have the length of a patch, so that methods for volumes cannot be used."""


class ScanWarning(UserWarning):
    """A scan differs from the training scans, so that its result may be worse."""
