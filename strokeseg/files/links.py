"""Whether a file below a folder is really there, or a link leads somewhere else."""

import os
from pathlib import Path

_ANNEX = Path(".git", "annex", "objects")


def leads_out(path: Path, root: Path) -> bool:
    """Tell whether a path below `root` leads, by a link on its way or at its end, out of it.

    The root may be a link itself. Links of git-annex (DataLad) into the store of the repository
    that `root` lies in stay inside. What is not there yet is judged by the folders that are.
    """
    real, base = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    stores = (folder / _ANNEX for folder in (base, *base.parents))
    return not any(real.is_relative_to(place) for place in (base, *stores))


def is_link_out(path: Path, root: Path) -> bool:
    """Tell whether a path is itself a link that leads out of `root`; folders on its way are not."""
    return path.is_symlink() and leads_out(path, root)
