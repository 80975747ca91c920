"""Trained weights: from a name to checked tensors in memory, and to an engine that runs them.

It imports `engines`, `network`, `images` and below. Start with `finding`, then `loading`.
"""
