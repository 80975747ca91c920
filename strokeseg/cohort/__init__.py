"""Many cases: find them, segment them here or on a cluster, resume, collect."""
