"""Cases done on many machines: Dask and SLURM, whose libraries live here alone."""
