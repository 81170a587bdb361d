"""Report: issues in, lessons out."""

from lessonbook.services.report.files import report_file, summary
from lessonbook.services.report.refinement import Batch, refine, report_issues

__all__ = ["Batch", "refine", "report_file", "report_issues", "summary"]
