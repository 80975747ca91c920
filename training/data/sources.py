"""Everything that samples are drawn from, read once and kept in memory."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from strokeseg.errors import UsageError
from strokeseg.training.data.contrast_table import Sequence3D, read_sequences
from strokeseg.training.data.inputs import (
    is_held_out,
    label_map_paths,
    lesion_paths,
    pair_paths,
    soft_map_paths,
    stem,
)
from strokeseg.training.data.label_maps import Subject, prepare_subject
from strokeseg.training.data.label_table import LabelTable, read_table
from strokeseg.training.data.lesion_bank import LesionMask, read_bank
from strokeseg.training.data.pairs import Pair, read_pair
from strokeseg.training.data.real_scans import (
    RealScan,
    ScanRow,
    labelled_subjects,
    read_real_scan,
    scan_rows,
)
from strokeseg.training.data.slices import Slices, read_slices
from strokeseg.training.data.soft_maps import prepare_soft_subject
from strokeseg.training.settings import DataConfig

# Some MB each: one or two translators' variants of the bundled data's heads.
MOST_KEPT = 256


@dataclass(frozen=True)
class Sources:
    """Heads, lesions, contrasts, real pairs, slices and scans."""

    table: LabelTable
    sequences: tuple[Sequence3D, ...]
    subjects: tuple[Subject, ...]
    bank: tuple[LesionMask, ...]
    pairs: tuple[Pair, ...] = ()
    slices: tuple[Slices, ...] = ()
    scans: tuple[RealScan, ...] = ()


def load_sources(
    data: DataConfig, *, held_out: bool = False, families: tuple[str, ...] = ()
) -> Sources:
    """Read and prepare what training draws from, or what it never sees.

    Raises
    ------
    UsageError
        The configuration names neither heads nor real pairs.
    StrokesegError
        A file cannot be read or used; see `strokeseg.errors`.
    """
    table = read_table(Path(data.label_table) if data.label_table else None)
    contrasts = Path(data.contrast_table) if data.contrast_table else None
    sequences = read_sequences(table.class_names, contrasts)
    _check_families(families, sequences)
    subjects = [
        prepare_subject(path, table, data.voxel_size_mm)
        for path in label_map_paths(data.label_maps)
        if is_held_out(stem(path), data.held_out_maps) == held_out
    ]
    subjects += [
        prepare_soft_subject(paths, table, data.voxel_size_mm, in_mni=data.soft_maps_in_mni)
        for paths in soft_map_paths(data.soft_maps)
        if is_held_out(paths.name, data.held_out_maps) == held_out
    ]
    rows = scan_rows(data.scans, data.held_out_scans, wanted=held_out)
    _check_sequences(data.scans, rows, sequences)
    labelled = labelled_subjects(rows, table, data.voxel_size_mm)
    subjects += labelled.values()
    scans = tuple(read_real_scan(row, labelled, table, data.voxel_size_mm) for row in rows)
    pairs = tuple(
        read_pair(paths, data.voxel_size_mm)
        for paths in pair_paths(data.pairs)
        if is_held_out(paths.name, data.held_out_pairs) == held_out
    )
    bank: tuple[LesionMask, ...] = ()
    if subjects:
        folders = (data.lesions, data.held_out_every, data.held_out_lesions)
        bank = read_bank(lesion_paths(*folders, held_out=held_out))
    slices = read_slices(data.slices, data.held_out_slices, wanted=held_out)
    _check(data, subjects, pairs, held_out=held_out)
    return Sources(table, sequences, tuple(subjects), bank, pairs, slices, scans)


def _check(
    data: DataConfig, subjects: list[Subject], pairs: tuple[Pair, ...], *, held_out: bool
) -> None:
    which = "held out" if held_out else "to train on"
    if not subjects and data.real_share < 1:
        raise UsageError(f"[data] leaves no head {which}: set label_maps or soft_maps")
    if not pairs and data.real_share > 0 and not held_out:
        raise UsageError(f"[data] real_share is {data.real_share:g} and no pair is {which}")
    for name, share, source in (
        ("slice", data.slice_share, data.slices),
        ("scan", data.scan_share, data.scans),
    ):
        if share > 0 and not source:
            raise UsageError(f"[data] {name}_share is {share:g}: name {name}s to draw from")


def _check_families(families: tuple[str, ...], sequences: tuple[Sequence3D, ...]) -> None:
    known = [sequence.name for sequence in sequences]
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise UsageError(
            f"contrast.families names {unknown[0]!r}, which the table of contrasts has not; it has "
            f"{', '.join(known)}"
        )


def _check_sequences(
    table: str, rows: tuple[ScanRow, ...], sequences: tuple[Sequence3D, ...]
) -> None:
    """Refuse a scan of a sequence that is nowhere: no lesion could be pasted into it."""
    known = [sequence.name for sequence in sequences]
    for row in rows:
        if row.sequence not in known:
            raise UsageError(
                f"{table}: {row.name} is called {row.sequence!r}; the table of contrasts has "
                f"{', '.join(known)}"
            )


class Heads:
    """The heads' voxels on a device, each carried there once; (3, I, J, K) uint8.

    `kept` is what was made of them and serves again, by who made it; the last `MOST_KEPT`.
    """

    def __init__(self, subjects: tuple[Subject, ...], device: torch.device) -> None:
        self.device = device
        self._subjects = subjects
        self._carried: dict[int, torch.Tensor] = {}
        self.kept: dict[Hashable, tuple[torch.Tensor, ...]] = {}

    def __getitem__(self, index: int) -> torch.Tensor:
        """Give first class, second class and share of one head."""
        if index not in self._carried:
            subject = self._subjects[index]
            stacked = np.stack((subject.first, subject.second, subject.share))
            self._carried[index] = torch.as_tensor(stacked, device=self.device)
        return self._carried[index]

    def keep(
        self, key: Hashable, make: Callable[[], tuple[torch.Tensor, ...]]
    ) -> tuple[torch.Tensor, ...]:
        """Give what was kept under a key, or make it and keep it."""
        if key not in self.kept:
            self.kept[key] = make()
            if len(self.kept) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        return self.kept[key]
