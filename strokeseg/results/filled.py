"""The T1w whose lesion was filled, and the files of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokeseg.arrays import FloatArray
from strokeseg.files.json_files import write_json
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write

# What is filled, where it is the reference.
FILLED_SCAN = "t1"


@dataclass(frozen=True, eq=False)
class Filled:
    """An image (I, J, K) float32 whose lesion was filled, and how that was done."""

    image: FloatArray
    how: Mapping[str, Any]

    def writers(
        self, like: Volume, sources: Sequence[str], reference: str, model: str
    ) -> dict[str, Callable[[Path], None]]:
        """Give what writes each file, by the fields of `OutputNames`."""
        about = {
            "Description": "T1w whose lesion was filled with mirrored tissue of matched intensity; "
            f"no scan as it was acquired. The lesion is as found by the model {model}",
            "Sources": list(sources),
            "SpatialReference": reference,
            "LesionFilled": True,
            "Filling": dict(self.how),
        }
        return {
            "filled": lambda path: write(path, self.image, like),
            "filled_sidecar": lambda path: write_json(path, about),
        }
