"""Find and measure stroke lesions in brain MRI of any contrast, orientation and resolution."""

from strokeseg._version import __version__

__all__ = ["__version__"]
