"""Scans as files: read and checked whole, results written whole; nibabel lives here alone."""

from strokeseg.volume.outline import Outline
from strokeseg.volume.volume import Source, Volume, outline, read, write

__all__ = ["Outline", "Source", "Volume", "outline", "read", "write"]
