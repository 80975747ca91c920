"""The bench of `strokeseg evaluate --models`: a batch for each model, before all are measured."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from strokeseg.cli.method import models_of
from strokeseg.cli.show.lines import say
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.evaluation.bench import Cost

JOINED = "+"


@dataclass(frozen=True)
class Contestant:
    """What is put to the test: a model or several joined by ``+``, and where its results go."""

    name: str
    models: tuple[str, ...]
    folder: Path


def contestants(text: str, output: Path | None) -> list[Contestant]:
    """Read ``a,b,c+d``.

    Raises
    ------
    UsageError
        There is none, two are alike, or there is no folder to put results into.
    """
    if output is None or output.suffix.lower() == ".tsv":
        raise UsageError("--models: give a folder with -o; each model's results go into it")
    found = []
    for entry in (part.strip() for part in text.split(",")):
        models = tuple(name.strip() for name in entry.split(JOINED))
        if not all(models):
            raise UsageError(f"--models {text}: give names with commas, such as synth-open,other")
        name = JOINED.join(Path(model).name if _is_path(model) else model for model in models)
        found.append(Contestant(name, models, output / re.sub(r"[^\w.+-]+", "--", name)))
    if len({one.folder for one in found}) < len(found):
        raise UsageError(f"--models {text}: two of them are called alike")
    return found


def run_contestant(one: Contestant, scans: Path, given: Mapping[str, Any], *, quiet: bool) -> bool:
    """Segment every case with one contestant; tell whether all went well.

    Raises
    ------
    StrokesegError
        The models cannot be opened, or there are no cases.
    """
    from strokeseg.cli.batch import Show, find_cohort, run_cohort
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.cohort.batch.run import Runner
    from strokeseg.models.loading import Hardware
    from strokeseg.prediction.options import Options

    say(f"{one.name}: into {one.folder}")
    job = BatchJob(
        output=one.folder.absolute(),
        models=models_of({"model": one.models, "brain_model": given["brain_model"]}),
        hardware=Hardware(threads=given["threads"]),
        options=Options(tta=not given["fast"], stages=1 if given["fast"] else 2),
        kinds=frozenset({"mask"}),
        offline=given["offline"],
    )
    cohort = find_cohort(scans, {}, anonymise=False)
    try:
        run_cohort(cohort, job, Runner(), Show(quiet=quiet))
    except typer.Exit:
        return False
    return True


def cost_of(folder: Path) -> "Cost":
    """Read what the cases of a contestant cost from their records."""
    from strokeseg.evaluation.bench import Cost
    from strokeseg.results.archive import find_filed_cases

    records = [case.record for case in find_filed_cases(folder) if case.record is not None]
    seconds = [sum(record.seconds.values()) for record in records if record.seconds]
    peaks = [r.peak_memory_bytes for r in records if r.peak_memory_bytes is not None]
    return Cost(
        statistics.median(seconds) if seconds else Cost().seconds,
        max(peaks) / 1e9 if peaks else Cost().peak_memory_gb,
    )


def shown_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Leave what fits a screen of the table of models."""
    wanted = ["model", "n", "failed", "dice_mean", "dice_median", "hd95_mm_mean", "lf1_mean"]
    wanted += ["dice_minus_first", "p", "seconds_median", "peak_memory_gb"]
    places = [columns.index(name) for name in wanted]
    return wanted, [[_short(row[place]) for place in places] for row in rows]


def _short(text: str) -> str:
    return text if not re.fullmatch(r"-?\d+\.\d{4,}", text) else f"{float(text):.3f}"


def _is_path(name: str) -> bool:
    return ("/" in name or "\\" in name) and not name.startswith("hub:")
