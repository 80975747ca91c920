"""Numbers and records as text for the pages."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from strokeseg.report.facts import CaseFacts, inputs_of, is_anonymised
from strokeseg.results.record import InputRecord, Record

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


def span(ends_ml: tuple[float, float] | None) -> str:
    """Write a least and a largest volume, without their unit; empty where there are none."""
    return "" if ends_ml is None else f"{ends_ml[0]:.1f} to {ends_ml[1]:.1f}"


def measures(case: CaseFacts) -> list[tuple[str, str]]:
    """Give the main figures of a case."""
    if case.case.record is None:
        return []
    brain = case.record.brain_volume_ml
    rows = [("lesion volume", f"{volume(case)} ml")]
    if case.interval_ml is not None:
        rows.append(("90 % interval", f"{span(case.interval_ml)} ml"))
    if case.range_ml is not None:
        rows.append(("single flips", f"{span(case.range_ml)} ml{_outside(case)}"))
    rows += [
        ("lesions", MISSING if case.count is None else str(case.count)),
        ("side", case.side or MISSING),
        ("brain of the model", MISSING if brain is None else f"{brain:.0f} ml"),
        ("model", case.model_names or MISSING),
    ]
    return rows


def _outside(case: CaseFacts) -> str:
    """Say how the volume can lie outside the range of single flips, where it does."""
    if case.volume_ml is None or case.range_ml is None:
        return ""
    low, high = case.range_ml
    told = "; averaged first and cut then, so the volume can lie outside"
    return "" if low <= case.volume_ml <= high else told


def editing_lines(case: CaseFacts) -> list[tuple[str, str]]:
    """Give the path of a case's mask, and how ITK-SNAP and 3D Slicer open it on its scan.

    The mask is named from the folder of all results on, which may be moved as a whole.
    """
    mask, scan = case.case.names.mask, case.record.reference_input.path
    if not mask.is_file():
        return []
    where = (PurePosixPath(case.key).parent / mask.name).as_posix()
    label = shlex.quote(where)
    lines = [("mask", where)]
    if scan is not None:
        grey = shlex.quote(scan)
        lines.append(("ITK-SNAP", f"itksnap -g {grey} -s {label}"))
        named = (json.dumps(path, ensure_ascii=False) for path in (scan, where))
        code = "slicer.util.loadVolume({}); slicer.util.loadSegmentation({})".format(*named)
        lines.append(("3D Slicer", f"Slicer --python-code {shlex.quote(code)}"))
    return lines


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
    both = {"record": case.case.content, "error": case.case.error}
    kept = {name: content for name, content in both.items() if content is not None}
    shown = next(iter(kept.values())) if len(kept) == 1 else kept
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)


def _inputs(case: CaseFacts) -> list[tuple[str, InputRecord]]:
    reference = case.record.reference
    return [
        (f"{name} (reference)" if name == reference else name, entry)
        for name, entry in inputs_of(case).items()
    ]


def _input(entry: InputRecord, unnamed: str) -> str:
    pieces = [entry.path or unnamed]
    if entry.shape:
        pieces.append(" x ".join(str(size) for size in entry.shape))
    if entry.voxel_size_mm:
        pieces.append(" x ".join(f"{size:.3g}" for size in entry.voxel_size_mm) + " mm")
    if entry.orientation:
        pieces.append(entry.orientation)
    if entry.sha256:
        pieces.append(f"sha256 {entry.sha256[:12]}")
    return ", ".join(pieces)


def _method(case: CaseFacts) -> list[tuple[str, str]]:
    rows = []
    for model in case.models:
        where = ", ".join(filter(None, (model.engine, model.device, model.precision)))
        revision = f" at {model.revision[:12]}" if model.revision else ""
        checksum = f", sha256 {model.sha256[:12]}" if model.sha256 else ""
        rows.append(("model", f"{model.name}{revision} ({where}){checksum}"))
    flips = case.record.flips
    if flips is not None:
        rows.append(("flips", "none, one pass" if flips <= 1 else f"{flips:.0f}, averaged"))
    rule, options = case.record.rule or {}, case.record.options or {}
    # The rule states them.
    ruled = {"threshold", "min_volume_ml", "min_peak", "brain_mask", "tta", "fusion", "weights"}
    for title, value in (*rule.items(), *((k, v) for k, v in options.items() if k not in ruled)):
        if value is not None:
            rows.append((str(title).replace("_", " "), _plain(value)))
    return rows


def _run(record: Record) -> list[tuple[str, str]]:
    seconds, memory = record.seconds or {}, record.peak_memory_bytes
    rows = [
        ("strokeseg", record.strokeseg or MISSING),
        ("Python", record.python or MISSING),
        ("platform", record.platform or MISSING),
    ]
    if seconds:
        stages = ", ".join(
            f"{name} {spent:.1f}" for name, spent in seconds.items() if spent >= 0.05
        )
        rows.append(
            ("seconds", f"{sum(seconds.values()):.1f}" + (f" ({stages})" if stages else ""))
        )
    if memory is not None:
        rows.append(("peak memory", f"{memory / 1e9:.2f} GB"))
    return rows


def _files(record: Record) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"sha256 {sha[:12]}") for name, sha in (record.files or {}).items())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
