"""What a network says of the validation scans: computed once and kept, for rules to be compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.base import ScanLogits
from strokeseg.images.reading import outline
from strokeseg.models.loading import LoadedModel, ensemble_of
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.leaving_out import LeftOut
from strokeseg.prediction.memory_plan import plan_memory
from strokeseg.prediction.options import Options
from strokeseg.prediction.progress import Clock, Silence
from strokeseg.prediction.scans import Run, read_scans, see_scans
from strokeseg.space.grid import Grid
from strokeseg.training.validation.whole_scans import ScanCase


@dataclass(frozen=True, eq=False)
class SeenCase:
    """A case and the networks' logits, judged on the working grid of its first scan.

    Logits are kept in half precision. `truth` is None where there is no lesion.
    """

    name: str
    group: str
    members: tuple[Member, ...]
    grid: Grid
    truth: BoolArray | None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of its scans."""
        return tuple(member.modality for member in self.members)


def seen_folder(output: Path, loaded: LoadedModel, cases: str, *, fast: bool) -> Path:
    """Name the folder, in `output`, of what a model says of some cases; `see_cases` fills it.

    Its offsets are part of what it says.
    """
    config = loaded.model.config
    leaning = "".join(f"-{name}{offset:+g}" for name, offset in config.lesion_offsets.items())
    passes = "one-" if fast else ""
    return output / f"seen-{passes}{loaded.model.sha256[:12]}{leaning}-{cases}"


def see_cases(
    cases: Iterable[ScanCase], loaded: LoadedModel, options: Options, folder: Path
) -> Iterator[SeenCase]:
    """Let a model see cases as inference does; what `folder` has of an earlier run is read.

    Cases are known there by their number: a folder is of one model, one set of cases and one way
    to see them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        path = folder / f"{number:04d}.npz"
        if not path.is_file():
            _keep(_see(case, loaded, options), path)
        yield _read(path)


def _see(case: ScanCase, loaded: LoadedModel, options: Options) -> SeenCase:
    """Run the passes of one case."""
    order = tuple(case.scans)
    outlines = {name: outline(volume) for name, volume in case.scans.items()}
    ensemble = ensemble_of([loaded])
    plan = plan_memory(outlines, order[0], ensemble, options, None)
    run = Run(ensemble, options, plan, Clock(Silence()))
    left_out = LeftOut(case.scans, order[0], strict=True)
    passed = see_scans(read_scans(case.scans, order, left_out, run), run)
    grid = passed.sights[0, order[0]].whole
    return SeenCase(case.name, case.group, tuple(passed.members), grid, case.truth)


def _keep(case: SeenCase, path: Path) -> None:
    truth = np.zeros(0, np.uint8) if case.truth is None else np.packbits(case.truth)
    arrays: dict[str, Any] = {
        "about": np.array([case.name, case.group]),
        "modalities": np.array(case.modalities),
        "is_cut": np.array([member.is_cut for member in case.members]),
        "truth": truth,
    }
    grids = {"grid": case.grid}
    for number, member in enumerate(case.members):
        arrays[f"logits{number}"] = member.logits.mean.astype(np.float16)
        grids |= {f"working{number}": member.working, f"native{number}": member.native}
    for name, grid in grids.items():
        arrays |= {f"{name}_shape": np.array(grid.shape), f"{name}_affine": grid.affine}
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as stream:
        np.savez(stream, **arrays)
    unfinished.replace(path)


def _read(path: Path) -> SeenCase:
    with np.load(path) as stored:
        name, group = stored["about"].tolist()
        grid = _grid(stored, "grid")
        count = int(np.prod(grid.shape))
        packed = stored["truth"]
        truth = (
            np.unpackbits(packed, count=count).reshape(grid.shape).astype(np.bool_)
            if packed.size
            else None
        )
        members = tuple(
            Member(
                ScanLogits(_full(stored[f"logits{number}"]), []),
                _grid(stored, f"working{number}"),
                _grid(stored, f"native{number}"),
                modality,
                is_cut,
            )
            for number, (modality, is_cut) in enumerate(
                zip(stored["modalities"].tolist(), stored["is_cut"].tolist(), strict=True)
            )
        )
    return SeenCase(name, group, members, grid, truth)


def _grid(stored: Any, name: str) -> Grid:  # noqa: ANN401 - an archive of arrays
    i, j, k = stored[f"{name}_shape"].tolist()
    return Grid((i, j, k), stored[f"{name}_affine"])


def _full(logits: Any) -> FloatArray:  # noqa: ANN401 - an array of half precision
    return np.asarray(logits, np.float32)
