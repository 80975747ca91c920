"""A small scan that comes with the package, with its true lesion.

Drawn by the project's own generator from a label map and a lesion mask that training never saw;
`strokeseg.training.demo` draws it again. Credits are in README.md beside it.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from strokeseg.arrays import BoolArray
from strokeseg.images.reading import read_map

SCAN = "sub-demo_FLAIR.nii.gz"
TRUTH = "sub-demo_label-L_mask.nii.gz"


@dataclass(frozen=True)
class DemoCase:
    """Where the scan and its true lesion lie."""

    scan: Path
    truth: Path


def demo_case() -> DemoCase:
    """Find the demonstration scan in the installed package."""
    folder = Path(str(resources.files("strokeseg.demo")))
    return DemoCase(folder / SCAN, folder / TRUTH)


def demo_truth(case: DemoCase) -> BoolArray:
    """Read the true lesion, on the scan's grid."""
    return np.asarray(read_map(case.truth).data > 0.5)
