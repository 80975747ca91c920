"""Do measures of a cohort go with what is known of its people: what `strokeseg compare` makes.

It imports `lesion_map`, `evaluation`, `results` and below. Start with `comparing`.
"""
