"""Cases done on many machines: Dask and SLURM, whose libraries live here alone.

It imports the rest of `batch` but `run`. Start with `drive`.
"""
