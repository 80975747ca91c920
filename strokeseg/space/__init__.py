"""Where voxels lie: grids, axes, resampling and MNI152. Pure geometry on arrays."""
