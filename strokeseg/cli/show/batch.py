"""What a person sees of a batch: bar and running cases on a terminal, a line per case elsewhere."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from strokeseg.cli.stopping import stop_if_asked
from strokeseg.errors import printable
from strokeseg.phrases import counted

if TYPE_CHECKING:
    from strokeseg.cohort.batch.job import Outcome

_RUNNING_SHOWN = 8
_BAR_WIDTH = 30


class BatchReporter:
    """Shows how the cases of a batch get on, on stderr; it is the `Listener` of a batch.

    Parameters
    ----------
    total : int
        Number of cases.
    quiet : bool
        Show nothing at all.
    veil : callable
        Takes out of a notice what may not be named.
    """

    def __init__(
        self, total: int, *, quiet: bool = False, veil: Callable[[str], str] = str
    ) -> None:
        self._veil = veil
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._quiet = quiet
        self._total = total
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._stages: dict[str, str] = {}
        self._untold = 0
        self._started = time.monotonic()
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = Live(console=self._console, transient=True, get_renderable=self._picture)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._started = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear the bar away."""
        with self._lock:
            self._tell_skipped()
        if self._live is not None:
            self._live.stop()

    def on_stage(self, case: str, stage: str) -> None:
        """Show which stage a case has come to, on a terminal."""
        with self._lock:
            self._stages[case] = stage

    def on_outcome(self, outcome: "Outcome") -> None:
        """Count a case that has ended, and tell of it."""
        self._count(outcome)
        stop_if_asked()

    def _count(self, outcome: "Outcome") -> None:
        with self._lock:
            self._stages.pop(outcome.case, None)
            if outcome.status == "skipped":
                self._counts["skipped"] += 1
                self._untold += 1
                if not self._worked():  # what was there already says nothing of the speed
                    self._started = time.monotonic()
                return
            self._tell_skipped()
            self._counts[outcome.status] += 1
            place = escape(f"[{self._ended()}/{self._total}] {outcome.case}")
            if outcome.status == "failed":
                self._say(f"{place}: [bold red]failed[/]: {escape(outcome.message)}")
            elif self._live is None:
                why = f" ({outcome.message})" if outcome.message else ""
                self._say(f"{place}: done in {outcome.seconds:.1f} s{escape(why)}{self._pace()}")

    def on_notice(self, text: str) -> None:
        """Show a line."""
        with self._lock:
            self._say(escape(printable(self._veil(text))))

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(line)

    def _tell_skipped(self) -> None:
        """Say in one line how many cases were there already since the last one that was not."""
        if self._untold and self._live is None:
            self._say(escape(f"[{self._ended()}/{self._total}] {self._untold} done before"))
        self._untold = 0

    def _ended(self) -> int:
        return self._counts.total()

    def _worked(self) -> int:
        return self._counts["done"] + self._counts["failed"]

    def _pace(self) -> str:
        """Say how long a case takes and how long the rest will."""
        left = self._total - self._ended()
        if not self._worked() or not left:
            return ""
        pace_s = (time.monotonic() - self._started) / self._worked()
        whole = timedelta(seconds=round(left * pace_s))
        return f"; {pace_s:.1f} s per case, {whole} left"

    def _picture(self) -> Group:
        """Draw the bar, the figures, and the cases that are running."""
        with self._lock:
            counts, stages = Counter(self._counts), list(self._stages.items())
            ended, pace = self._ended(), self._pace()
        line = Table.grid(padding=(0, 1))
        failed = Text(f"{counts['failed']} failed", style="bold red" if counts["failed"] else "dim")
        skipped = f", {counts['skipped']} done before" if counts["skipped"] else ""
        line.add_row(
            ProgressBar(total=max(self._total, 1), completed=ended, width=_BAR_WIDTH),
            Text(f"{ended}/{counted(self._total, 'case')}{skipped}{pace}"),
            failed,
        )
        running = [Text(f"  {name}: {stage}", style="dim") for name, stage in stages]
        more = len(running) - _RUNNING_SHOWN
        if more > 0:
            running = [*running[:_RUNNING_SHOWN], Text(f"  and {more} more", style="dim")]
        return Group(line, *running)
