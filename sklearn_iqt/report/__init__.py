"""Write a report on one scan: an HTML page on its enhancement and on how far to trust it."""

from sklearn_iqt.report._quality import describe_scans
from sklearn_iqt.report._write import write_report

__all__ = ["describe_scans", "write_report"]
