"""A report on one scan: a single HTML page with its enhancement and how far to trust it."""

from sklearn_iqt.report._write import write_report

__all__ = ["write_report"]
