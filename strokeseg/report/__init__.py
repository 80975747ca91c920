"""A folder of pages to look through a cohort in a browser, from disk, without a network.

It imports `results`, `models` and below. Start with `building`; `thumbnails` draws the small
pictures.
"""
