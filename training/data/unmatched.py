"""Names that were meant to hold something out, and match nothing: mistyped, most likely."""

from collections.abc import Collection

from strokeseg.training.data.inputs import (
    is_held_out,
    label_map_paths,
    lesion_paths,
    pair_paths,
    soft_map_paths,
    stem,
)
from strokeseg.training.data.real_scans import scan_rows
from strokeseg.training.data.slices import slice_subjects
from strokeseg.training.settings import DataConfig


def unmatched(data: DataConfig) -> tuple[str, ...]:
    """List the `held_out_*` names of a configuration that match nothing, each by its key.

    Names that a configuration did not change, and those whose data it does not name, are left out.

    Raises
    ------
    StrokesegError
        A folder or a table cannot be read.
    """
    usual = DataConfig()
    found = []
    for key, names in _names(data).items():
        patterns = getattr(data, key)
        if names is not None and patterns != getattr(usual, key):
            missed = (p for p in patterns if not any(is_held_out(name, (p,)) for name in names))
            found += [f"{key}: {pattern!r}" for pattern in missed]
    return tuple(found)


def _names(data: DataConfig) -> dict[str, Collection[str] | None]:
    """Give, by the key that holds some out, the names of what there is; None without data."""
    maps = [stem(path) for path in label_map_paths(data.label_maps)]
    maps += [paths.name for paths in soft_map_paths(data.soft_maps)]
    lesions = lesion_paths(data.lesions, (0,) * len(data.lesions), (), held_out=False)
    scans = scan_rows(data.scans, (), wanted=False)
    return {
        "held_out_maps": maps if data.label_maps or data.soft_maps else None,
        "held_out_lesions": {stem(path) for path in lesions} if data.lesions else None,
        "held_out_pairs": [paths.name for paths in pair_paths(data.pairs)] if data.pairs else None,
        "held_out_scans": [row.name for row in scans] if data.scans else None,
        "held_out_slices": slice_subjects(data.slices) if data.slices else None,
    }
