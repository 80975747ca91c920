"""Malformed files against every reader: ``python -m tests.fuzz --help``.

A target is a kind of file and the code that reads it; a trial is one input to it, measured. Three
engines make the inputs: atheris (coverage-guided, where it is installed), hypothesis (whole files
from strategies) and mutate (seeded mutations of the seed corpus, no coverage).
"""
