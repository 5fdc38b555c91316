"""The report: records in, one self-contained HTML page out."""

from dataworth.report.page import write_report

__all__ = ["write_report"]
