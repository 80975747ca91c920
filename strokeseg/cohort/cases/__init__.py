"""The cases of a cohort: found in a BIDS dataset, a folder or a table, and named.

It imports nothing of the batch. Start with `find`; `case` is what all of it is about.
"""
