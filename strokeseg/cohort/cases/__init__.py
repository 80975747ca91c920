"""The cases of a cohort: found in a BIDS dataset, a folder or a table, and named."""
