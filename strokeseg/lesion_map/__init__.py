"""Where a cohort's lesions lie, in one space: what `strokeseg overlap` makes.

It imports `results`, `models` and below. Start with `mapping`.
"""
