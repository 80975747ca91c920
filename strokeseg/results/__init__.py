"""One case's result, in memory and on disk: names, tables, sidecars, picture, record, archive."""
