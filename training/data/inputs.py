"""Which files a researcher's folders and tables name."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.models.classes import TISSUES

NIFTI = "*.nii*"
SOFT_CLASSES = TISSUES
SOFT_COLUMNS = ("gm", "gm_wm", "wm", "csf")


@dataclass(frozen=True)
class PairPaths:
    """A real image and the mask of its lesion."""

    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """Name of the image without extension."""
        return stem(self.image)


@dataclass(frozen=True)
class SoftPaths:
    """The tissue probability maps of one head, in the order of `SOFT_CLASSES`.

    One file of four volumes, or a file for each; SPM has no map of the GM/WM partial volume,
    whose place is None.
    """

    name: str
    files: tuple[Path | None, ...]


def is_held_out(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a name is, or matches (`*`, `?`), one of those that training never sees."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def stem(path: Path) -> str:
    """Give a file's name up to its first dot."""
    return path.name.split(".")[0]


def label_map_paths(source: str) -> tuple[Path, ...]:
    """List label maps: every NIfTI of a folder, or the column `label_map` of a table."""
    if not source:
        return ()
    if _is_folder(source):
        return _all_images(Path(source))
    return tuple(Path(row["label_map"]) for row in read_rows(Path(source), ("label_map",)))


def soft_map_paths(source: str) -> tuple[SoftPaths, ...]:
    """List soft tissue maps.

    A folder holds SPM's `c1NAME`, `c2NAME`, `c3NAME` (a `c4NAME`, bone, is not needed), or files
    of four volumes (GM, GM/WM, WM, CSF, as MultiBrain gives them). A table has a column `maps`
    (files of four volumes) or the columns `gm`, `wm`, `csf` and, if there is one, `gm_wm`.

    Raises
    ------
    DataError
        A map of a head is missing.
    """
    if not source:
        return ()
    if not _is_folder(source):
        return _soft_table(Path(source))
    images = _all_images(Path(source))
    found = []
    for path in images:
        if path.name.startswith("c1"):
            others = [path.with_name(f"c{number}{path.name[2:]}") for number in (2, 3)]
            missing = [other for other in others if not other.is_file()]
            if missing:
                raise DataError(f"{path}: its map {missing[0].name} is missing beside it")
            found.append(SoftPaths(stem(path)[2:], (path, None, others[0], others[1])))
    parts = {"c1", "c2", "c3", "c4", "c5", "c6"}
    whole = [SoftPaths(stem(p), (p,)) for p in images if p.name[:2] not in parts]
    return tuple(found or whole)


def pair_paths(source: str) -> tuple[PairPaths, ...]:
    """List pairs of a real image and its lesion mask.

    A table has the columns `image` and `mask`. In a folder a mask is a file whose name ends in
    `_mask`, and every other file that begins with the same word (`sub-01`) is an image of it. Of
    several masks with that word, as of two sessions, an image has the one whose name without
    `_mask` its own begins with.

    Raises
    ------
    DataError
        A folder has no pair, or an image has several masks and none is named like it.
    """
    if not source:
        return ()
    if not _is_folder(source):
        rows = read_rows(Path(source), ("image", "mask"))
        return tuple(PairPaths(Path(row["image"]), Path(row["mask"])) for row in rows)
    images = _all_images(Path(source))
    masks: dict[str, list[Path]] = {}
    for path in images:
        if stem(path).endswith("_mask"):
            masks.setdefault(stem(path).split("_")[0], []).append(path)
    pairs = [
        PairPaths(path, _mask_of(path, masks[stem(path).split("_")[0]]))
        for path in images
        if not stem(path).endswith("_mask") and stem(path).split("_")[0] in masks
    ]
    if not pairs:
        raise DataError(f"{source}: no image with a mask (NAME_mask.nii.gz) of the same first word")
    return tuple(pairs)


def _mask_of(image: Path, masks: Sequence[Path]) -> Path:
    """Choose the mask of an image among those that begin with its first word."""
    if len(masks) == 1:
        return masks[0]
    named = [mask for mask in masks if f"{stem(image)}_".startswith(stem(mask)[: -len("mask")])]
    if not named:
        raise DataError(
            f"{image}: {len(masks)} masks begin with {stem(image).split('_')[0]}, and none is "
            "named like it; name the pairs in a table with the columns image and mask"
        )
    return max(named, key=lambda mask: len(stem(mask)))


def lesion_paths(
    folders: Sequence[str], every: Sequence[int], names: Sequence[str], *, held_out: bool
) -> tuple[Path, ...]:
    """List lesion masks of training, or the held out: those named, and every so-many-th."""
    chosen = []
    for folder, step in zip(folders, every, strict=True):
        for rank, path in enumerate(sorted(_all_images(Path(folder)), key=_number), start=1):
            out = is_held_out(stem(path), names) or (step > 0 and rank % step == 0)
            if out == held_out:
                chosen.append(path)
    return tuple(chosen)


def _number(path: Path) -> tuple[int, str]:
    digits = "".join(c for c in stem(path) if c.isdigit())
    return (int(digits) if digits else 0, path.name)


def _is_folder(source: str) -> bool:
    path = Path(source)
    if not path.exists():
        raise InputNotFoundError(f"{path}: no such folder or table; give one in [data]")
    return path.is_dir()


def _all_images(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: no such folder; give one in [data]")
    found = tuple(sorted(folder.glob(NIFTI)))
    if not found:
        raise DataError(f"{folder}: holds no NIfTI file (.nii, .nii.gz)")
    return found


def _soft_table(path: Path) -> tuple[SoftPaths, ...]:
    if "maps" in read_rows(path, ())[0]:
        rows = read_rows(path, ("maps",))
        return tuple(SoftPaths(stem(Path(r["maps"])), (Path(r["maps"]),)) for r in rows)
    needed = tuple(column for column in SOFT_COLUMNS if column != "gm_wm")
    found = []
    for row in read_rows(path, needed):
        files = tuple(Path(row[c]) if row.get(c) else None for c in SOFT_COLUMNS)
        found.append(SoftPaths(stem(Path(row["gm"])), files))
    return tuple(found)


def read_rows(
    path: Path, needed: Sequence[str], plain: Sequence[str] = ()
) -> list[Mapping[str, str]]:
    """Read a CSV or TSV; paths in it count from the table's own folder; `plain` are no paths."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a CSV or TSV ({error})") from error
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else ","
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a CSV or TSV ({error})") from error
    missing = [c for c in needed if not rows or c not in rows[0]]
    if not rows or missing:
        what = f"no column {missing[0]!r}" if missing else "no rows"
        raise DataError(f"{path}: has {what}; needed are {', '.join(needed) or 'maps'}")
    for number, row in enumerate(rows, start=1):
        empty = [c for c in needed if not row[c]]
        if empty:
            raise DataError(f"{path}: row {number} has no {empty[0]}; name a file, or drop the row")
    return [
        {
            key: value if key in plain or not value else str(path.parent / value)
            for key, value in row.items()
            if key
        }
        for row in rows
    ]
