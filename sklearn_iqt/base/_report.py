"""The method of estimators that writes a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

__all__ = ["ReportMixin"]


class ReportMixin:
    """Method of estimators that writes a report on the enhancement of a scan."""

    def report(self, low: Any, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write a page that shows the enhancement of a scan, and how far to trust it.

        Parameters
        ----------
        low : array of shape (i, j, k), nibabel image or path
            Scan to enhance.
        path : str or path-like
            HTML file to write.
        **options : dict
            Other parameters of :func:`sklearn_iqt.report.write_report`, such as ``truth``, ``mask``
            and ``card``.

        Returns
        -------
        pathlib.Path
            Path of the file.

        See Also
        --------
        sklearn_iqt.report.write_report : Content of the page, and the other parameters.
        """
        # Imported here, because the report is built on the estimators.
        from sklearn_iqt.report import write_report

        check_is_fitted(self)
        return write_report(self, low, path, **options)
