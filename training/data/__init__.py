"""What training draws from: label maps, lesion masks, real scans, contrasts, read once.

It imports `strokeseg.images`, `strokeseg.space` and below. Start with `sources`; `contrast_table`
has the lesion contrasts.
"""
