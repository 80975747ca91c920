"""Scans as files: read and checked whole, results written whole; nibabel lives here alone."""
