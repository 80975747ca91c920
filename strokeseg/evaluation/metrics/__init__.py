"""Metrics of a mask against the truth, on arrays alone.

Start with `case_metrics`; `voxels` has Dice.
"""
