"""`--dry-run`: what a batch would do."""

from typing import TYPE_CHECKING

from strokeseg.cli.show.lines import say, say_warning, show_table
from strokeseg.phrases import counted

if TYPE_CHECKING:
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.cohort.cases.case import Cohort


def show_plan(cohort: "Cohort", job: "BatchJob", *, here: bool) -> None:
    """Show what would run; what would not run at all is refused as it would be.

    Raises
    ------
    StrokesegError
        The batch would not begin.
    """
    from strokeseg.cohort.batch.plan import CANNOT, DONE, check_models, states_of
    from strokeseg.cohort.batch.run import check_job
    from strokeseg.cohort.cases.find import plan_rows

    check_job(job, cohort.root)
    check_models(job, here=here)
    (first, *others), rows = plan_rows(cohort)
    states = states_of(cohort.cases, job)
    shown = [(row[0], state, *row[1:]) for row, state in zip(rows, states, strict=True)]
    show_table((first, "state", *others), shown)
    for note in cohort.notes:
        say_warning(note)
    done, cannot = (sum(s.startswith(word) for s in states) for word in (DONE, CANNOT))
    told = (f", {done} of them done before" if done else "") + (
        f", {cannot} cannot be done" if cannot else ""
    )
    say(f"{counted(len(rows), 'case')}{told}; nothing was done")
