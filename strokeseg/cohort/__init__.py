"""Many cases: `cases` finds them, `batch` does them, `collect` makes their tables.

It imports `prediction`, `results` and below. Start with `batch.run`; `bids_derivative` and
`fmriprep` serve `strokeseg bids`.
"""
