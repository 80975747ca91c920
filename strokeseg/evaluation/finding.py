"""Find masks: in the output of a batch, in any folder, in a table, or as one file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from strokeseg.errors import InputNotFoundError
from strokeseg.evaluation.mask_names import (
    case_name,
    entities_of,
    folder_name,
    likelihood,
    map_names,
    stem_of,
)
from strokeseg.evaluation.truths import TABLES, read_truths
from strokeseg.images.listing import list_images
from strokeseg.results.archive import FiledCase, find_filed_cases


@dataclass(frozen=True)
class Item:
    """One mask, and what is known about whose it is.

    Attributes
    ----------
    name : str
        The case's.
    path : Path
        The mask.
    aliases : frozenset of str
        Every name that it can be paired by.
    entities : mapping
        BIDS entities; none where the name is not BIDS's.
    probability : Path or None
        The map beside it.
    binary : bool
        Whether it is 0 and 1 for sure, so that no label is looked for.
    """

    name: str
    path: Path
    aliases: frozenset[str]
    entities: Mapping[str, str] = field(default_factory=dict)
    probability: Path | None = None
    binary: bool = False

    @property
    def key(self) -> tuple[str, Path]:
        """What tells it from the other masks of its source."""
        return self.name, self.path


@dataclass(frozen=True)
class Found:
    """The masks of one source.

    Attributes
    ----------
    source : Path
    items : tuple of Item
        Sorted by name.
    absent : mapping
        Why a case that the source knows has no mask, by the case's name.
    damaged : mapping
        Which of them have no mask because their record or error file cannot be read, or their line
        of a table is wrong, and why.
    single : bool
        Whether the source is one mask, which the user has pointed at.
    """

    source: Path
    items: tuple[Item, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    single: bool = False


def find_masks(source: Path) -> Found:
    """Find the masks of a source.

    Parameters
    ----------
    source : Path
        The OUTPUT of a batch; any other folder, looked through to its depth; a CSV or TSV with the
        columns case and truth, paths relative to it; or one mask.

    Raises
    ------
    InputNotFoundError
        Nothing is there, or no mask in it.
    DataError
        A table without these columns, or without one line that is right; a file of a case that is
        a link out of the folder, a pipe or a device.
    """
    if source.is_file():
        if source.suffix.lower() in TABLES:
            return _of_table(source)
        return Found(source, (_single(source),), single=True)
    if not source.is_dir():
        raise InputNotFoundError(f"{source}: no such file or folder; check the path")
    filed = find_filed_cases(source)
    found = _of_records(source, filed) if filed else _of_folder(source)
    if not found.items:
        why = "; its cases failed or were run without --save mask" if filed else ""
        raise InputNotFoundError(f"{source}: holds no mask{why}; give a folder of masks")
    return found


def _of_records(source: Path, cases: Sequence[FiledCase]) -> Found:
    items, absent = [], {}
    for case in cases:
        if case.error is not None:
            absent[case.name] = f"it failed: {case.error.get('message', 'no message')}"
        elif not case.names.mask.is_file():
            absent[case.name] = f"{case.names.mask} is missing; run it with --save mask"
        else:
            probability = case.names.probability
            items.append(
                Item(
                    name=case.name,
                    path=case.names.mask,
                    aliases=frozenset({case.name, case.prefix}),
                    entities=entities_of(case.name) or entities_of(case.prefix),
                    probability=probability if probability.is_file() else None,
                    binary=True,
                )
            )
    damaged = {case.name: case.damage for case in cases if case.damage}
    return Found(source, tuple(items), absent, damaged)


def _of_folder(source: Path) -> Found:
    """Take, for each case, the files whose names look most like a lesion mask's."""
    best: dict[str, list[tuple[int, Item]]] = {}
    for item in _named_apart([_item(path, source) for path in _images(source)]):
        rank = likelihood(str(stem_of(item.path)))
        if rank is not None:
            best.setdefault(item.name, []).append((rank, item))
    kept = [
        item
        for ranked in best.values()
        for rank, item in ranked
        if rank == min(rank for rank, _ in ranked)
    ]
    return Found(source, tuple(sorted(kept, key=lambda item: (item.name, item.path))))


def _images(source: Path) -> list[Path]:
    """List the image files below a folder, hidden ones left out."""
    return sorted(path for path in map(source.joinpath, list_images(source)) if stem_of(path))


def _item(path: Path, root: Path) -> Item:
    name = case_name(str(stem_of(path))) or _of_folders(path, root)
    return Item(
        name=name or str(stem_of(path)),
        path=path,
        aliases=frozenset({name}) - {""},
        entities=entities_of(name),
        probability=_map_beside(path),
    )


def _of_folders(path: Path, root: Path) -> str:
    return folder_name(path.parent.relative_to(root).parts)


def _named_apart(items: list[Item]) -> list[Item]:
    """Name cases after their folders where each has its own, and all files are called alike."""
    masks = [item for item in items if likelihood(str(stem_of(item.path))) is not None]
    folders = {item.path.parent for item in masks}
    alike = len({item.name for item in masks}) == 1 and not masks[0].entities
    if not alike or len(masks) < 2 or len(folders) < len(masks):
        return items
    root = Path(os.path.commonpath(folders))
    names = [_of_folders(item.path, root) or item.name for item in masks]
    return [
        replace(item, name=name, aliases=frozenset({name}), entities=entities_of(name))
        for item, name in zip(masks, names, strict=True)
    ]


def _single(path: Path) -> Item:
    if stem_of(path) is None:
        return Item(path.name, path, frozenset({path.name}))
    return _item(path, path.parent)


def _map_beside(path: Path) -> Path | None:
    stem = str(stem_of(path))
    ending = path.name.removeprefix(stem)
    beside = [path.with_name(name + ending) for name in map_names(stem)]
    return next((other for other in beside if other.is_file() and other != path), None)


def _of_table(source: Path) -> Found:
    items, truths = [], read_truths(source)
    absent = dict(truths.faults)
    for name, path in truths.masks.items():
        if path is None:
            absent[name] = "the table names no truth"
        else:
            items.append(Item(name, path, frozenset({name}), entities_of(name)))
    if not items:
        raise InputNotFoundError(f"{source}: names no truth; fill the column truth")
    return Found(source, tuple(sorted(items, key=lambda item: item.name)), absent, truths.faults)
