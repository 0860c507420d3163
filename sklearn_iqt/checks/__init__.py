"""Checks of a scan before it is enhanced."""

from sklearn_iqt.checks._check import Finding, ScanCheck, check_scan

__all__ = ["Finding", "ScanCheck", "check_scan"]
