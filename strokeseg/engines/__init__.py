"""A network at work on one image: windows, flips, stitching, the engines, the choice of one."""
