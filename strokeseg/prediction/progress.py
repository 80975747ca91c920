"""How a prediction gets on: who hears of it, and how long each stage took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Hears how a prediction gets on. `on_window` is called after each pass of the network."""

    def on_stage(self, name: str, windows: int = 0) -> None:
        """Begin a stage; `windows` is how many passes of the network it will take."""

    def on_window(self) -> None:
        """One pass of the network is done."""

    def on_note(self, text: str) -> None:
        """Hear of a choice that was made."""


class Silence:
    """The `Progress` that nobody listens to."""

    def on_stage(self, name: str, windows: int = 0) -> None:
        """Do nothing."""

    def on_window(self) -> None:
        """Do nothing."""

    def on_note(self, text: str) -> None:
        """Do nothing."""


@dataclass
class Clock:
    """Seconds per stage, in the order in which the stages came."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, windows: int = 0) -> Iterator[None]:
        """Time what happens inside, and tell of it."""
        self.progress.on_stage(name, windows)
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
