"""A folder of pages to look through a cohort in a browser, from disk, without a network."""
