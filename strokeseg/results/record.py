"""The record of a case: one schema for what is written, and for what is read again.

It is written whole and read with distrust. A record may be older than this version, or changed by
hand: what is not of its kind is None, or an empty collection, and nothing fails for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

SCHEMA = 1


@dataclass(frozen=True)
class InputRecord:
    """One scan that went in.

    `pair_sha256` is of the other file of an .img/.hdr pair, or of further runs that were averaged
    with it. `scanner` is what DICOM says of how it was acquired.
    """

    path: str | None = None
    sha256: str | None = None
    shape: tuple[int, ...] = ()
    voxel_size_mm: tuple[float, ...] = ()
    orientation: str | None = None
    pair_sha256: str | None = None
    scanner: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, content: object) -> Self:
        """Read what is of its kind; an error file has the path alone."""
        if not isinstance(content, Mapping):
            return cls(path=text(content))
        sizes = [number(size) for size in _list(content.get("voxel_size_mm"))]
        return cls(
            path=text(content.get("path")),
            sha256=text(content.get("sha256")),
            shape=tuple(n for n in map(whole, _list(content.get("shape"))) if n is not None),
            voxel_size_mm=tuple(size for size in sizes if size is not None),
            orientation=text(content.get("orientation")),
            pair_sha256=text(content.get("pair_sha256")),
            scanner=_mapping(content.get("scanner")),
        )


@dataclass(frozen=True)
class LeftOutRecord:
    """One scan that could not be used, and why; `pair_sha256` as of an input."""

    path: str | None = None
    sha256: str | None = None
    why: str | None = None
    pair_sha256: str | None = None

    @classmethod
    def read(cls, content: object) -> Self:
        """Read what is of its kind."""
        found = _mapping(content) or {}
        return cls(**{one.name: text(found.get(one.name)) for one in fields(cls)})


@dataclass(frozen=True)
class ModelRecord:
    """One model that was used, and what ran it.

    `config_sha256` is known to a batch alone, `second_sha256` of a second stage that was used.
    `lesion_offsets` is what was added to the lesion's logit, by modality, where anything was.
    """

    name: str | None = None
    revision: str | None = None
    sha256: str | None = None
    engine: str | None = None
    device: str | None = None
    precision: str | None = None
    window: int | None = None
    finds: str | None = None
    config_sha256: str | None = None
    second_sha256: str | None = None
    lesion_offsets: Mapping[str, float | None] | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read what is of its kind."""
        found: dict[str, Any] = {one.name: text(content.get(one.name)) for one in fields(cls)}
        found["window"] = whole(content.get("window"))
        found["lesion_offsets"] = _numbers(content.get("lesion_offsets"))
        return cls(**found)


@dataclass(frozen=True)
class Record:
    """What went in, what made it, what was found, how long it took, what to mind.

    `alignment` and `registration` are by the scans that are not the reference: how the brain lies
    in each, and what was done to those that were moved.
    `mni` says how the lesion came to MNI152, where that was asked for. `stages` says where second
    stages looked again, and `part_volumes_ml` what parts they told, where there are any.
    `kinds` and `files` come with the saving, `case` and `truth` with a batch. `lesion_volume_ml`
    and what is measured beside it are as in `strokeseg.results.result.Result`.
    """

    schema: int | None = None
    strokeseg: str | None = None
    python: str | None = None
    platform: str | None = None
    inputs: Mapping[str, InputRecord] = field(default_factory=dict)
    left_out: Mapping[str, LeftOutRecord] = field(default_factory=dict)
    reference: str | None = None
    models: tuple[ModelRecord, ...] = ()
    options: Mapping[str, Any] | None = None
    rule: Mapping[str, Any] | None = None
    flips: int | None = None
    lesion_volume_ml: float | None = None
    lesion_volume_range_ml: tuple[float, float] | None = None
    lesion_volume_interval_ml: tuple[float, float] | None = None
    lesion_count: int | None = None
    tissue_volumes_ml: Mapping[str, float | None] | None = None
    brain_volume_ml: float | None = None
    memory: Mapping[str, Any] | None = None
    peak_memory_bytes: int | None = None
    fusion: Mapping[str, Any] | None = None
    shares: tuple[Mapping[str, Any], ...] | None = None
    fields_of_view: tuple[Mapping[str, Any], ...] | None = None
    alignment: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    registration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mni: Mapping[str, Any] | None = None
    stages: tuple[Mapping[str, Any], ...] | None = None
    part_volumes_ml: Mapping[str, float | None] | None = None
    warnings: tuple[str, ...] | None = None
    seconds: Mapping[str, float] | None = None
    kinds: tuple[str, ...] | None = None
    files: Mapping[str, str] | None = None
    case: str | None = None
    truth: str | None = None
    anonymised: bool = False

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read what is of its kind; see the module."""
        spent = _numbers(content.get("seconds"))
        files = _mapping(content.get("files"))
        return cls(
            schema=whole(content.get("schema")),
            strokeseg=text(content.get("strokeseg")),
            python=text(content.get("python")),
            platform=text(content.get("platform")),
            inputs=read_inputs(content),
            left_out={
                name: LeftOutRecord.read(entry) for name, entry in _by_scan(content, "left_out")
            },
            reference=text(content.get("reference")),
            models=tuple(
                ModelRecord.read(m) for m in _list(content.get("models")) if isinstance(m, Mapping)
            ),
            options=_mapping(content.get("options")),
            rule=_mapping(content.get("rule")),
            flips=whole(content.get("flips")),
            lesion_volume_ml=number(content.get("lesion_volume_ml")),
            lesion_volume_range_ml=_range(content.get("lesion_volume_range_ml")),
            lesion_volume_interval_ml=_range(content.get("lesion_volume_interval_ml")),
            lesion_count=whole(content.get("lesion_count")),
            tissue_volumes_ml=_numbers(content.get("tissue_volumes_ml")),
            brain_volume_ml=number(content.get("brain_volume_ml")),
            memory=_mapping(content.get("memory")),
            peak_memory_bytes=whole(content.get("peak_memory_bytes")),
            fusion=_mapping(content.get("fusion")),
            shares=_mappings(content.get("shares")),
            fields_of_view=_mappings(content.get("fields_of_view")),
            alignment={
                name: _numbers(entry) or {} for name, entry in _by_scan(content, "alignment")
            },
            registration={
                name: _mapping(entry) or {} for name, entry in _by_scan(content, "registration")
            },
            mni=_mapping(content.get("mni")),
            stages=_mappings(content.get("stages")),
            part_volumes_ml=_numbers(content.get("part_volumes_ml")),
            warnings=_texts(content.get("warnings")),
            seconds=None
            if spent is None
            else {name: s for name, s in spent.items() if s is not None},
            kinds=_texts(content.get("kinds")),
            files=None
            if files is None
            else {str(name): text(sha) or "" for name, sha in files.items()},
            case=text(content.get("case")),
            truth=text(content.get("truth")),
            anonymised=content.get("anonymised") is True,
        )

    @property
    def model_names(self) -> str:
        """The models, in one line; one that found the brain for them stands behind."""
        found = [str(model.name) for model in self.models if model.finds != "brain"]
        brains = [f", brain by {model.name}" for model in self.models if model.finds == "brain"]
        return " + ".join(found) + "".join(brains)

    @property
    def reference_input(self) -> InputRecord:
        """The scan whose grid the results have; one without a path where none is named."""
        return self.inputs.get(self.reference or "", InputRecord())

    def write(self) -> dict[str, Any]:
        """Give it as plain values, ready for JSON.

        What only some records have (see the class) is left out where it is not known; whatever
        else is not known is None.
        """
        content = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        late = {"kinds", "files", "case", "mni", "stages", "part_volumes_ml"} | (
            {"truth"} if self.case is None else set()
        )
        content = {k: v for k, v in content.items() if v is not None or k not in late}
        if not self.anonymised:
            del content["anonymised"]
        return content


def read_inputs(content: Mapping[str, Any]) -> dict[str, InputRecord]:
    """Read the scans that a record or an error file names, by modality."""
    return {name: InputRecord.read(entry) for name, entry in _by_scan(content, "inputs")}


def _by_scan(content: Mapping[str, Any], key: str) -> list[tuple[str, object]]:
    """Give what a record says of each scan, by modality."""
    return [(str(name), entry) for name, entry in (_mapping(content.get(key)) or {}).items()]


def number(value: object) -> float | None:
    """Give a finite number as it is, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond every float
        return None


def whole(value: object) -> int | None:
    """Give a whole number, and None for anything else."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def text(value: object) -> str | None:
    """Give a text, and None for anything else."""
    return value if isinstance(value, str) else None


def _range(value: object) -> tuple[float, float] | None:
    ends = [number(end) for end in _list(value)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    return ends[0], ends[1]


def _numbers(value: object) -> dict[str, float | None] | None:
    found = _mapping(value)
    return None if found is None else {name: number(item) for name, item in found.items()}


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else None


def _mappings(value: object) -> tuple[Mapping[str, Any], ...] | None:
    if not isinstance(value, list | tuple):
        return None
    return tuple(item for item in value if isinstance(item, Mapping))


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, InputRecord | LeftOutRecord | ModelRecord):
        found = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        # What few have.
        late = ("pair_sha256", "config_sha256", "scanner", "second_sha256", "lesion_offsets")
        return {k: v for k, v in found.items() if v is not None or k not in late}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
