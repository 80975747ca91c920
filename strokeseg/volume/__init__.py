"""Scans as files: read and checked whole, results written whole; nibabel lives here alone."""

from strokeseg.volume.volume import Source, Volume, read, write

__all__ = ["Source", "Volume", "read", "write"]
