"""A network at work on one image: windows, flips, stitching, the engines, the choice of one.

It imports the ground and `network`, and knows no file. Start with `scan`; `choice` opens an
engine.
"""
