"""Metrics of a mask against the truth, on arrays alone."""
