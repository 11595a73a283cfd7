"""What an evaluation says, for people: a page, a table for the terminal, runs side by side."""

from antiphon.report.compare import compare_runs
from antiphon.report.page import render_report, write_report
from antiphon.report.tables import evaluation_table

__all__ = ["compare_runs", "evaluation_table", "render_report", "write_report"]
