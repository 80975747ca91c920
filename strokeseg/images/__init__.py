"""Scans as files: read and checked whole, results written whole; nibabel lives here alone.

It imports `files`, `space` and below. Start with `reading`; `writing` and `header` make the
header of a result.
"""
