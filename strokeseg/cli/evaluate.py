"""`strokeseg evaluate`: predictions against the truth, and two models against each other."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli import method
from strokeseg.cli.show.lines import (
    say,
    say_error,
    say_warning,
    show_table,
    show_text,
    tell_damaged,
)
from strokeseg.errors import UsageError
from strokeseg.phrases import counted

if TYPE_CHECKING:
    from strokeseg.evaluation.comparison import ModelComparison
    from strokeseg.evaluation.evaluating import Evaluation, Terms

SECONDS_BETWEEN_LINES = 5.0
MOST_CASES_SHOWN = 50
MOST_LINES = 20

Predictions = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS",
        help="The OUTPUT of `strokeseg batch`, any folder of masks, or one mask; with --models the "
        "scans, as `strokeseg batch` takes them.",
        show_default=False,
    ),
]
Truths = Annotated[
    Path,
    typer.Argument(
        metavar="TRUTHS",
        help="A folder of masks, a CSV or TSV with the columns case and truth, or one mask.",
        show_default=False,
    ),
]


def evaluate(
    predictions: Predictions,
    truths: Truths,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR|TSV",
            show_default=False,
            help="Where tables go: metrics.tsv and summary.tsv in a folder, or NAME.tsv and "
            "NAME_summary.tsv; earlier ones are replaced.",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="native|paper",
            help="native: on the truth's grid. paper: both at 1 mm, padded or cropped to 256^3.",
        ),
    ] = "native",
    other: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="OTHER",
            show_default=False,
            help="Predictions of another model for the same truths: paired differences, and a "
            "figure.",
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            show_default=False,
            help="What to call PREDICTIONS and OTHER; else their folders' names.",
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            show_default=False,
            help="Segment the scans with each of these models first, and compare them: a batch and "
            "an evaluation in one. A+B is an ensemble.",
        ),
    ] = None,
    brain_model: method.BrainModel = None,
    fast: a.Fast = False,
    threads: a.Threads = None,
    offline: a.Offline = False,
    label: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, help="Which label is lesion, in masks with several."
        ),
    ] = None,
    prediction_label: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, help="The predictions' label, if it is another."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write everything to stdout as JSON, no tables.")
    ] = False,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Show every column, however narrow the terminal is."),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no tables.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Measure predictions against the truth: overlap, distances, volumes and lesions.

    Predictions and truths belong together by BIDS entities (sub, ses, run), else by name. Distances
    to an empty mask are infinite: they are left out of the mean, and counted.
    """
    given = dict(locals())
    from strokeseg.cli import bench as benching
    from strokeseg.evaluation.bench import bench, bench_cells
    from strokeseg.evaluation.comparison import compare
    from strokeseg.evaluation.evaluating import Terms
    from strokeseg.evaluation.tables import as_json as json_of
    from strokeseg.evaluation.writing import TableNames, check_tables, write_tables

    if protocol not in ("native", "paper"):
        raise UsageError(f"--protocol {protocol}: choose native or paper")
    if models is not None and (other is not None or names is not None):
        raise UsageError("--models names and compares what it segments: leave --compare out")
    tested = [] if models is None else benching.contestants(models, output)
    called = [one.name for one in tested] or _called(names, predictions, other)
    targets = None if output is None else TableNames.for_output(output)
    if targets is not None:
        check_tables(targets, [path for path in (predictions, truths, other) if path is not None])
    terms = Terms("native" if protocol == "native" else "paper", label, prediction_label)
    went_well = [
        benching.run_contestant(one, predictions, given, quiet=quiet or as_json) for one in tested
    ]
    sets = [one.folder for one in tested] or [p for p in (predictions, other) if p is not None]
    evaluations = [
        _evaluated(source, truths, terms, name, quiet=quiet)
        for source, name in zip(sets, called, strict=True)
    ]
    comparison = compare(*evaluations) if len(evaluations) == 2 else None
    rows = bench(evaluations, {one.name: benching.cost_of(one.folder) for one in tested})
    rows = rows if tested else ()
    written = () if targets is None else write_tables(targets, evaluations, comparison, rows)
    if as_json:
        show_text(json_of(evaluations, comparison))
    elif not quiet:
        _show(evaluations, comparison, cases=targets is None, wide=wide)
        if rows:
            show_table(*benching.shown_rows(*bench_cells(rows)), title="models", wide=wide)
        for path in written:
            say(f"written: {path}")
    tell_damaged(
        (f"{evaluation.name}: {case}", why)
        for evaluation in evaluations
        for case, why in evaluation.damaged.items()
    )
    if not all(went_well) or any(evaluation.failures for evaluation in evaluations):
        raise typer.Exit(1)


def _called(names: str | None, predictions: Path, other: Path | None) -> list[str]:
    """Name the models: as was said, else after their folders, with more of the path if alike."""
    if names is not None:
        given = [name.strip() for name in names.split(",")]
        if other is None:
            raise UsageError("--names: there is one model only; give --compare OTHER")
        if len(given) != 2 or not all(given) or given[0] == given[1]:
            raise UsageError(f"--names {names}: give two different names, such as synth,baseline")
        return given
    paths = [path.resolve() for path in (predictions, other) if path is not None]
    for depth in range(1, max(len(path.parts) for path in paths)):
        called = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(called)) == len(called):
            return called
    raise UsageError(f"--compare {other}: is PREDICTIONS itself; name another, or give --names A,B")


def _evaluated(
    source: Path, truths: Path, terms: "Terms", name: str, *, quiet: bool
) -> "Evaluation":
    """Evaluate one model, and say on stderr what was left over or failed."""
    from strokeseg.evaluation.evaluating import evaluate as run

    lines = None if quiet else _Lines(name)
    evaluation = run(source, truths, terms, name=name, on_case=lines)
    pairing = evaluation.pairing
    _warn_of(pairing.without_truth, f"{name}: a prediction without truth")
    _warn_of(pairing.without_prediction, f"{name}: a truth without prediction")
    resampled = sum(case.how == "resampled" for case in evaluation.cases)
    if resampled:
        say_warning(
            f"{name}: {resampled} of {len(evaluation.cases)} predictions are not on their truth's "
            "grid and were resampled onto it"
        )
    noted = [(case.name, "; ".join(case.notes)) for case in evaluation.cases if case.notes]
    _warn_of(noted, f"{name}: note")
    for case in evaluation.failures:
        say_error(f"{name}: {case.name}: {case.error}")
    if not quiet:
        say(
            f"{name}: pairs {len(evaluation.cases)}, of them failed {len(evaluation.failures)}; "
            f"predictions without truth {len(pairing.without_truth)}, "
            f"truths without prediction {len(pairing.without_prediction)}"
        )
    return evaluation


def _warn_of(found: Sequence[tuple[str, str]], what: str) -> None:
    """Warn of each case, and of how many more there are."""
    for case, why in found[:MOST_LINES]:
        say_warning(f"{what}: {case} ({why})")
    if len(found) > MOST_LINES:
        say_warning(f"{what}: {len(found) - MOST_LINES} more")


def _show(
    evaluations: "Sequence[Evaluation]",
    comparison: "ModelComparison | None",
    *,
    cases: bool,
    wide: bool,
) -> None:
    """Print the tables; many cases are printed only where no file has them."""
    left_out: list[str] = []

    def show(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
        left_out.extend(show_table(columns, rows, title, wide=wide))

    from strokeseg.cli.show.evaluation import case_rows, comparison_rows, size_rows, summary_rows
    from strokeseg.evaluation.comparison import STARS_MEAN, TEST
    from strokeseg.evaluation.statistics import FEW, FEW_NOTE
    from strokeseg.evaluation.tables import INTERVAL

    for evaluation in evaluations:
        title = f"{evaluation.name}, {evaluation.terms.protocol} protocol"
        if cases or len(evaluation.cases) <= MOST_CASES_SHOWN:
            show(*case_rows(evaluation), title=f"{title}: cases")
        if len(evaluation.metrics) > 1:
            show(*summary_rows(evaluation), title=f"{title}: all cases")
            columns, rows = size_rows(evaluation)
            if len(columns) > 2:
                show(columns, rows, title=f"{title}: by true volume")
    if comparison is not None:
        first, second = comparison.names
        show(*comparison_rows(comparison), title=f"{first} minus {second}, case by case")
        show_text(f"{STARS_MEAN}, ns otherwise; {TEST}")
    if any(len(evaluation.metrics) > 1 for evaluation in evaluations):
        show_text(f"{INTERVAL}; infinite and undefined values are left out of it and of the mean")
    few = max((len(evaluation.metrics) for evaluation in evaluations), default=0)
    if 1 < few < FEW:
        show_text(FEW_NOTE)
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        say(f"no room for {names}: --wide shows them, and -o writes them to tables")


class _Lines:
    """Says every few seconds how many cases are done."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = time.monotonic()

    def __call__(self, done: int, count: int, case: str) -> None:
        """Hear of a case that is done."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            say(f"{self._name}: {done} of {counted(count, 'case')} done ({case})")
            self._last = now
