"""The parts of a lesion, such as core and rim, and the files of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strokeseg.arrays import BoolArray, LabelArray
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.measure.counting import count_labels
from strokeseg.results.case_tables import tissue_table
from strokeseg.results.sidecars import parts_sidecar
from strokeseg.space.grid import Grid


@dataclass(frozen=True, eq=False)
class LesionParts:
    """The parts of a lesion on the reference's grid.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Number of the part, from 1; 0 where there is none.
    names : tuple of str
        Of the parts, by their numbers.
    """

    labels: LabelArray
    names: tuple[str, ...]

    def keep(self, mask: BoolArray) -> None:
        """Part a lesion: nothing beyond it, and what no second stage saw is the first part."""
        self.labels[~mask] = 0
        self.labels[mask & (self.labels == 0)] = 1

    def volumes_ml(self, grid: Grid) -> Mapping[str, float]:
        """Give each part's volume; together they are the lesion's."""
        return dict(zip(self.names, self._volumes_ml(grid)[1:], strict=True))

    def _volumes_ml(self, grid: Grid) -> list[float]:
        counts = count_labels(self.labels, len(self.names) + 1).tolist()
        return [count * grid.voxel_volume_ml for count in counts]

    def writers(
        self, like: Volume, sources: Sequence[str], reference: str, model: str
    ) -> dict[str, Callable[[Path], None]]:
        """Give what writes each file, by the fields of `OutputNames`."""
        names = ("background", *self.names)
        volumes = self._volumes_ml(like.grid)
        about = parts_sidecar(sources, reference, model)
        return {
            "parts": lambda path: write(path, self.labels, like),
            "parts_sidecar": lambda path: write_json(path, about),
            "parts_table": lambda path: write_text(path, tissue_table(names, volumes)),
        }
