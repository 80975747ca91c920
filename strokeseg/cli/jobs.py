"""What a command's arguments ask for: options, where to run, the job of a batch.

A command hands its arguments on as one mapping by the names of its parameters, ``dict(locals())``
in its first line, so that an option that several commands have is gathered in one place.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strokeseg.cli.method import models_of, weights_of
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.models.loading import Hardware
    from strokeseg.prediction.options import Options


def options_of(given: Mapping[str, Any], kinds: frozenset[str]) -> "Options":
    """Gather how to predict; `kinds` are the results to save.

    Raises
    ------
    UsageError
        If a value is out of range, or two options contradict each other.
    """
    from strokeseg.prediction.options import Options

    _check_fast(given)
    weights = weights_of(given["weight"])
    named = {one.name: given[one.name] for one in fields(Options) if one.name in given}
    fast, stages = given["fast"], given["stages"]
    rest = {
        "tta": not fast and given["tta"] is not False,
        "uncertainty": "uncertainty" in kinds,
        "mni": "mni" in kinds,
        "filled": "filled" in kinds,
        "parts": "parts" in kinds,
        "stages": 1 if fast else 2 if stages is None else stages,
        "weights": weights,
    }
    return Options(**{**named, **rest})


def _check_fast(given: Mapping[str, Any]) -> None:
    """Refuse to be fast and to do what takes the time."""
    for option, asked in (("--tta", given["tta"]), ("--stages 2", given["stages"] == 2)):
        if given["fast"] and asked:
            raise UsageError(f"--fast leaves out what {option} asks for: give one of them")


def hardware_of(given: Mapping[str, Any]) -> "Hardware":
    """Gather where to run.

    Raises
    ------
    UsageError
        If ``--max-memory`` is no size.
    """
    from strokeseg.machine import parse_memory
    from strokeseg.models.loading import Hardware

    named = {name: given[name] for name in ("engine", "device", "precision", "threads")}
    memory = given["max_memory"]
    return Hardware(**named, max_memory_bytes=None if memory is None else parse_memory(memory))


def job_of(given: Mapping[str, Any], output: Path, kinds: frozenset[str]) -> "BatchJob":
    """Gather what a batch is to do with each case; its results go into `output`.

    Raises
    ------
    UsageError
        If a value is out of range.
    EngineError
        If SimpleITK is asked for and not installed.
    """
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.results.other_formats import check_format

    check_format(given["save_format"])
    return BatchJob(
        output=output.absolute(),
        models=models_of(given),
        hardware=hardware_of(given),
        options=options_of(given, kinds),
        kinds=kinds,
        offline=given["offline"],
        anonymise=given["anonymise"],
        save_format=given["save_format"],
        resume=given["resume"],
    )


def check_anonymity(*, anonymise: bool, debug: bool = False, dry_run: bool = False) -> None:
    """Refuse to be anonymous and to show what has names.

    Raises
    ------
    UsageError
        If both were asked for.
    """
    for name, given in (("--debug", debug), ("--dry-run", dry_run)):
        if anonymise and given:
            raise UsageError(f"{name} shows names of files: leave it or --anonymise out")
