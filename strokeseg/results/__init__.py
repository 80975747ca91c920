"""One case's result, in memory and on disk: record, names, tables, sidecars, picture, archive.

It imports `images`, `measure` and below. Start with `result` for one that is made, with `archive`
for one that lies there: a finished case on disk is all that reports, lesion maps and evaluation
share.
"""
