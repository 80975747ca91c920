"""Where voxels lie: grids, axes, resampling and MNI152. Pure geometry on arrays.

It imports the ground below (errors, arrays, machine). Start with `grid`, then `resample`.
"""
