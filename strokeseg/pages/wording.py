"""Numbers and records as text for the pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strokeseg.pages.facts import CaseFacts, inputs_of, is_anonymised, number

MISSING = "-"


@dataclass(frozen=True)
class Group:
    """A part of the record: a title, and names with values."""

    title: str
    rows: tuple[tuple[str, str], ...]


def decimals(value: float | None, places: int) -> str:
    """Write a number with so many decimals; a dash where there is none."""
    return MISSING if value is None else f"{value:.{places}f}"


def millimetres(place: Sequence[float] | None) -> str:
    """Write a place in mm, without decimals."""
    # Adding 0 makes a zero of a minus zero.
    return MISSING if place is None else ", ".join(f"{round(value) + 0:d}" for value in place)


def volume(case: CaseFacts) -> str:
    """Write a lesion volume, without its unit."""
    if case.volume_ml is None:
        return MISSING
    return f"{case.volume_ml:.2f}" if case.volume_ml < 100 else f"{case.volume_ml:.1f}"


def volume_range(case: CaseFacts) -> str:
    """Write the least and largest volume of single flips; empty where there is none."""
    if case.range_ml is None:
        return ""
    low, high = case.range_ml
    return f"{low:.1f} to {high:.1f}"


def measures(case: CaseFacts) -> list[tuple[str, str]]:
    """Give the main figures of a case."""
    if case.case.record is None:
        return []
    spread = volume_range(case)
    brain = number(case.record.get("brain_volume_ml"))
    rows = [("lesion volume", f"{volume(case)} ml")]
    if spread:
        rows.append(("single flips", f"{spread} ml"))
    rows += [
        ("lesions", MISSING if case.count is None else str(case.count)),
        ("side", case.side or MISSING),
        ("brain of the model", MISSING if brain is None else f"{brain:.0f} ml"),
        ("model", case.model_names or MISSING),
    ]
    return rows


def groups(case: CaseFacts) -> list[Group]:
    """Give the record in groups, in words."""
    told = "not named" if is_anonymised(case) else "an array in memory"
    found = [Group("Inputs", tuple((name, _input(entry, told)) for name, entry in _inputs(case)))]
    if case.case.record is not None:
        record = case.record
        found.append(Group("Method", tuple(_method(case))))
        found.append(
            Group(
                "Class volumes",
                tuple((name, f"{decimals(ml, 1)} ml") for _, name, ml in case.tissues),
            )
        )
        found.append(Group("Run", tuple(_run(record))))
        found.append(Group("Files", _files(record)))
    return [group for group in found if group.rows]


def raw(case: CaseFacts) -> str:
    """Give the record, and the error where there is one, as JSON for people."""
    both = {"record": case.case.record, "error": case.case.error}
    kept = {name: content for name, content in both.items() if content is not None}
    shown = next(iter(kept.values())) if len(kept) == 1 else kept
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)


def _inputs(case: CaseFacts) -> list[tuple[str, Mapping[str, Any]]]:
    reference = case.record.get("reference")
    return [
        (f"{name} (reference)" if name == reference else name, entry)
        for name, entry in inputs_of(case).items()
    ]


def _input(entry: Mapping[str, Any], unnamed: str) -> str:
    pieces = [str(entry.get("path") or unnamed)]
    if entry.get("shape"):
        pieces.append(" x ".join(str(size) for size in _list(entry["shape"])))
    if entry.get("voxel_size_mm"):
        sizes = [number(size) for size in _list(entry["voxel_size_mm"])]
        pieces.append(" x ".join(MISSING if s is None else f"{s:.3g}" for s in sizes) + " mm")
    if entry.get("orientation"):
        pieces.append(str(entry["orientation"]))
    if entry.get("sha256"):
        pieces.append(f"sha256 {str(entry['sha256'])[:12]}")
    return ", ".join(pieces)


def _method(case: CaseFacts) -> list[tuple[str, str]]:
    rows = []
    for model in case.models:
        where = ", ".join(
            str(model[field]) for field in ("engine", "device", "precision") if model.get(field)
        )
        revision = f" at {str(model['revision'])[:12]}" if model.get("revision") else ""
        checksum = f", sha256 {str(model['sha256'])[:12]}" if model.get("sha256") else ""
        rows.append(("model", f"{model.get('name')}{revision} ({where}){checksum}"))
    flips = number(case.record.get("flips"))
    if flips is not None:
        rows.append(("flips", "none, one pass" if flips <= 1 else f"{flips:.0f}, averaged"))
    for title in ("rule", "options"):
        rows += [
            (str(name).replace("_", " "), _plain(value))
            for name, value in _mapping(case.record.get(title)).items()
            if value is not None and not (title == "options" and name in _named(case))
        ]
    return rows


def _named(case: CaseFacts) -> set[str]:
    """Give the options that the rule states already."""
    stated = {"threshold", "min_volume_ml", "min_peak", "brain_mask", "tta", "fusion", "weights"}
    return stated & {*_mapping(case.record.get("options"))}


def _run(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = {str(k): number(v) for k, v in _mapping(record.get("seconds")).items()}
    known = {name: value for name, value in seconds.items() if value is not None}
    memory = number(record.get("peak_memory_bytes"))
    rows = [
        ("strokeseg", str(record.get("strokeseg", MISSING))),
        ("Python", str(record.get("python", MISSING))),
        ("platform", str(record.get("platform", MISSING))),
    ]
    if known:
        stages = ", ".join(f"{name} {value:.1f}" for name, value in known.items() if value >= 0.05)
        rows.append(("seconds", f"{sum(known.values()):.1f}" + (f" ({stages})" if stages else "")))
    if memory is not None:
        rows.append(("peak memory", f"{memory / 1e9:.2f} GB"))
    return rows


def _files(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    files = _mapping(record.get("files"))
    return tuple((str(name), f"sha256 {str(sha)[:12]}") for name, sha in files.items())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]
