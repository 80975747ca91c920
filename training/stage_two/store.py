"""Samples of a second stage on the disk, so that another run need not draw them again."""

import hashlib
import json
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import CannotCreateError, DataError
from strokeseg.files.atomic import write_atomically
from strokeseg.training.settings import TrainConfig
from strokeseg.training.stage_two.settings import StageTwoConfig


@dataclass(frozen=True)
class SampleStore:
    """A folder of samples that were all made alike; some 50 MB each at 192^3 voxels."""

    folder: Path

    @classmethod
    def of(cls, config: StageTwoConfig, run: TrainConfig, first: str) -> "SampleStore | None":
        """Open the store of a run behind weights of a sha256, None where it has none.

        Its samples lie in a folder named for all that makes them what they are.

        Raises
        ------
        CannotCreateError
            The folder cannot be made.
        """
        if not config.crops.store:
            return None
        objective = config.objective
        made_of = {
            "run": asdict(run),
            "first": first,
            "cut": "as inference does",
            "sees": config.network.sees,
            "threshold": config.crops.threshold,
            "parts": (objective.rim_mm, objective.distance_mm),
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        folder = Path(config.crops.store) / digest[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
        return cls(folder)

    def read(self, index: int) -> dict[str, AnyArray] | None:
        """Read a sample, None where there is none.

        Raises
        ------
        DataError
            The file is none of a sample.
        """
        path = self._path(index)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: is no sample ({error}); delete it") from error

    def write(self, index: int, arrays: dict[str, AnyArray]) -> None:
        """Write a sample, whole or not at all.

        Raises
        ------
        ReadWriteError
            The disk is full, say.
        """
        stream = BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        write_atomically(self._path(index), [stream.getvalue()])

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"
