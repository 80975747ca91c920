"""What the templates are filled with: the rows of the index, and the page of a case."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from strokeseg.models.classes import is_tissue
from strokeseg.report.case_files import Parts, picture_name, thumbnail_name
from strokeseg.report.charts import volume_by_side, volume_histogram
from strokeseg.report.facts import CaseFacts
from strokeseg.report.model_cards import model_cards
from strokeseg.report.thumbnails import THUMBNAIL_PX
from strokeseg.report.viewer_layers import LEVELS, OTHER
from strokeseg.report.wording import (
    MISSING,
    editing_lines,
    groups,
    measures,
    raw,
    span,
    volume,
)

# Grey matter, white matter, cerebrospinal fluid and what else a model knows; no orange, which is
# the lesion's. From Paul Tol's qualitative schemes, told apart with any colour vision.
TISSUE_COLOURS = ("#66ccee", "#4477aa", "#228833", "#aa3377", "#bbbbbb", "#ccddaa", "#222255")


@dataclass(frozen=True)
class Column:
    """A column of the index's table that sorts."""

    key: str
    title: str
    about: str
    numeric: bool = False


COLUMNS = (
    Column("name", "Case", "Sort by case"),
    Column("status", "Status", "Sort by status"),
    Column("volume", "Volume (ml)", "Sort by lesion volume; below it, the 90 % interval", True),
    Column("count", "Lesions", "Sort by number of lesions", True),
    Column("side", "Side", "Sort by side: the one that holds nine tenths of the lesion, or both"),
    Column("warnings", "Warnings", "Sort by number of warnings"),
    Column("model", "Model", "Sort by model"),
    Column("review", "Review", "Sort by mark"),
)


@dataclass(frozen=True)
class Control:
    """What the viewer's table says about a layer; `bar` is the upper end of its colours."""

    name: str
    title: str
    opacity: float
    shown: bool
    present: bool
    absence: str = "not saved"
    bar: str = ""

    @property
    def kind(self) -> str:
        """What it is coloured as; every further scan is a scan."""
        return "scan" if self.name.startswith(OTHER) else self.name


def index_content(
    cases: Sequence[CaseFacts], slugs: Sequence[str], parts: Sequence[Parts], lesion_map: str
) -> dict[str, Any]:
    """Give what index.html shows.

    Parameters
    ----------
    cases, slugs, parts : sequences of CaseFacts, str and Parts
        All cases, in one order.
    lesion_map : str
        Name of the picture of the cohort's lesion map; empty where there is none.
    """
    return {
        "rows": [_row(*each) for each in zip(cases, slugs, parts, strict=True)],
        "columns": COLUMNS,
        "figures": _figures(cases),
        "charts": [volume_histogram(cases), volume_by_side(cases)],
        "cards": model_cards(model for case in cases for model in case.models),
        "thumbnail_px": THUMBNAIL_PX,
        "lesion_map": lesion_map,
    }


def case_content(
    cases: Sequence[CaseFacts], slugs: Sequence[str], place: int, parts: Parts, viewer: bool
) -> dict[str, Any]:
    """Give what the page of the case at a place among all shows.

    Parameters
    ----------
    cases, slugs : sequence of CaseFacts, of str
        All of them, in the order of the index.
    place : int
        From 0.
    parts : Parts
        What was made for it.
    viewer : bool
        Whether viewers were asked for.
    """
    case, slug = cases[place], slugs[place]
    error = case.case.error
    tissues = _tissues(case)
    return {
        "case": case,
        "slug": slug,
        "place": place + 1,
        "total": len(cases),
        "previous": f"{slugs[place - 1]}.html" if place else "",
        "next": f"{slugs[place + 1]}.html" if place + 1 < len(cases) else "",
        "error": None if error is None else _error(error),
        "viewer": parts,
        "controls": _controls(parts, case.record.reference or ""),
        "editing": editing_lines(case),
        "no_viewer": _no_viewer(case, viewer),
        "voxel_size": " x ".join(f"{size:.3g}" for size in parts.voxel_size_mm),
        "tissues": tissues,
        "measures": measures(case),
        "picture": _base(picture_name(slug)) if picture_name(slug) in parts.files else "",
        "groups": groups(case),
        "raw": raw(case),
        "data": {
            "key": case.key,
            "result": result_id(case),
            "page": f"{slug}.html",
            "layers": parts.layers,
            "jumps": parts.jumps,
            "tissues": tissues,
        },
    }


def result_id(case: CaseFacts) -> str:
    """Name a result in 12 letters, so that a review of another one is known."""
    record = case.case.content or {}
    said = [record.get("files"), record.get("lesion_volume_ml"), record.get("models")]
    content = json.dumps([said, case.case.error] if case.case.record is None else said)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _row(case: CaseFacts, slug: str, parts: Parts) -> dict[str, Any]:
    error = case.case.error
    folder = case.key.rpartition("/")[0]
    return {
        "slug": slug,
        "href": f"cases/{slug}.html",
        "key": case.key,
        "result": result_id(case),
        "name": case.name,
        "place": "" if case.name in folder.split("/") or not folder else folder,
        "status": case.status,
        "volume_ml": "" if case.volume_ml is None else f"{case.volume_ml:.6g}",
        "volume": volume(case),
        "interval": span(case.interval_ml),
        "count": MISSING if case.count is None else str(case.count),
        "side": case.side,
        "warnings": case.warnings,
        "error": "" if error is None else str(error.get("message") or error.get("exception")),
        "model": case.model_names,
        "thumbnail": thumbnail_name(slug) if thumbnail_name(slug) in parts.files else "",
    }


def _figures(cases: Sequence[CaseFacts]) -> list[dict[str, Any]]:
    volumes = [case.volume_ml for case in cases if case.volume_ml is not None]
    failed = sum(case.status != "done" for case in cases)
    warned = sum(bool(case.warnings) for case in cases)
    figures: list[dict[str, Any]] = [
        {"value": str(len(cases)), "about": "case" if len(cases) == 1 else "cases"},
        {"value": str(sum(v > 0 for v in volumes)), "about": "with lesion"},
    ]
    if volumes:
        figures.append({"value": f"{median(volumes):.1f} ml", "about": "median lesion volume"})
        found = [v for v in volumes if v > 0]
        if 0 < len(found) < len(volumes):
            value, about = f"{median(found):.1f} ml", "median of those with lesion"
            figures.append({"value": value, "about": about})
    figures.append({"value": str(warned), "about": "with warnings"})
    figures.append({"value": str(failed), "about": "failed", "alarm": failed > 0})
    return [{"alarm": False, **figure} for figure in figures]


def _controls(parts: Parts, reference: str) -> list[Control]:
    worth = {str(layer.get("name")): layer for layer in parts.layers}
    scan = f"Scan ({reference})" if reference else "Scan"
    others = [name for name in worth if name.startswith(OTHER)]
    controls = [Control("scan", scan, 1.0, True, "scan" in worth, "not there")]
    for name in others:
        controls.append(Control(name, f"Scan ({name.removeprefix(OTHER)})", 1.0, False, True))
    controls += [
        Control("mask", "Lesion mask", 0.6, True, "mask" in worth),
        Control("probability", "Lesion probability", 0.6, False, "probability" in worth, bar="1"),
        Control("tissue", "Tissues", 0.4, False, "tissue" in worth),
    ]
    if "uncertainty" in worth:
        most = LEVELS * float(worth["uncertainty"].get("slope", 0.0))
        title = "Uncertainty (entropy)"
        controls.append(Control("uncertainty", title, 0.6, False, True, bar=f"{most:.2g} nat"))
    if "truth" in worth:
        controls.append(Control("truth", "Truth, drawn by hand", 0.6, False, True))
    return controls


def _tissues(case: CaseFacts) -> list[dict[str, Any]]:
    """Give the classes their colours; background and lesion have none."""
    colours = iter(TISSUE_COLOURS)
    return [
        {
            "index": index,
            "name": name,
            "colour": "" if not is_tissue(name) else next(colours, TISSUE_COLOURS[-1]),
        }
        for index, name, _ in case.tissues
    ]


def _error(error: Any) -> dict[str, str]:  # noqa: ANN401 - whatever the file holds
    return {
        "message": str(error.get("message") or MISSING),
        "exception": str(error.get("exception") or MISSING),
        "exit_code": str(error.get("exit_code", MISSING)),
        "time": str(error.get("time") or ""),
    }


def _no_viewer(case: CaseFacts, viewer: bool) -> str:
    if case.case.record is None:
        return "There is no result to show."
    if not viewer:
        return "This report was made without viewers."
    return "There is no volume to show."


def _base(name: str) -> str:
    return name.rpartition("/")[2]
