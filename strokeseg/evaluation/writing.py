"""Where the tables of an evaluation go, all of them or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import CannotCreateError, UsageError
from strokeseg.evaluation.bench import Row, bench_table
from strokeseg.evaluation.comparison import ModelComparison
from strokeseg.evaluation.evaluating import Evaluation
from strokeseg.evaluation.figure import draw_comparison
from strokeseg.evaluation.tables import case_table, comparison_table, definitions, summary_table
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging


@dataclass(frozen=True)
class TableNames:
    """The full path of every file that an evaluation writes."""

    metrics: Path
    definitions: Path
    summary: Path
    comparison: Path
    figure: Path
    models: Path

    @classmethod
    def for_output(cls, output: Path) -> "TableNames":
        """Name the files: ``metrics.tsv`` and so on in a folder, or after a ``.tsv``.

        ``results.tsv`` gives ``results.tsv``, ``results.json``, ``results_summary.tsv``,
        ``results_comparison.tsv`` and ``results_comparison.png``.

        Raises
        ------
        UsageError
            The name is of another kind of file.
        """
        if output.suffix.lower() == ".tsv" and not output.is_dir():
            folder, first, start = output.parent, output.stem, f"{output.stem}_"
        elif output.suffix.lower() in (".csv", ".txt", ".json", ".xlsx", ".png"):
            raise UsageError(f"-o {output}: name a folder, or a file that ends in .tsv")
        else:
            folder, first, start = output, "metrics", ""
        return cls(
            metrics=folder / f"{first}.tsv",
            definitions=folder / f"{first}.json",
            summary=folder / f"{start}summary.tsv",
            comparison=folder / f"{start}comparison.tsv",
            figure=folder / f"{start}comparison.png",
            models=folder / f"{start}models.tsv",
        )

    def all(self) -> tuple[Path, ...]:
        """List them."""
        return (
            *(self.metrics, self.definitions, self.summary),
            *(self.comparison, self.figure, self.models),
        )


def check_tables(names: TableNames, inputs: Sequence[Path]) -> None:
    """Refuse, before any work is done, to write over an input, a folder, or into a file.

    Raises
    ------
    CannotCreateError
    """
    for path in names.all():
        if path.is_dir():
            raise CannotCreateError(f"{path} is a folder: move it away, or choose another -o")
        if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
            raise CannotCreateError(f"{path} is an input and would be replaced: choose another -o")
    folder = names.metrics.parent
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise CannotCreateError(f"{above} is a file, not a folder: choose another -o")


def write_tables(
    names: TableNames,
    evaluations: Sequence[Evaluation],
    comparison: ModelComparison | None,
    rows: Sequence[Row] = (),
) -> tuple[Path, ...]:
    """Write tables and, with a comparison, its table and picture; earlier ones are replaced.

    Raises
    ------
    CannotCreateError, ReadWriteError
        They cannot be written; nothing is left behind.
    """
    with Staging(names.metrics.parent) as staging:
        write_text(staging.path_for(names.metrics.name), case_table(evaluations))
        write_json(staging.path_for(names.definitions.name), definitions(evaluations[0]))
        write_text(staging.path_for(names.summary.name), summary_table(evaluations))
        if comparison is not None:
            write_text(staging.path_for(names.comparison.name), comparison_table(comparison))
            picture = draw_comparison(comparison)
            write_atomically(staging.path_for(names.figure.name), [picture])
        if rows:
            write_text(staging.path_for(names.models.name), bench_table(rows))
        return staging.commit()
