"""A folder of pages to look through a cohort in a browser, from disk, without a network."""

from strokeseg.pages.building import VIEWER_MB, BuiltReport, build_report

__all__ = ["VIEWER_MB", "BuiltReport", "build_report"]
