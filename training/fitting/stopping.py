"""When a run stops before its last step: a signal, or a time limit."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Asked between steps whether to stop; a context that listens to Ctrl-C and SIGTERM.

    The first signal lets the step that runs end, so that what is saved is whole; a second one
    acts as it would have without.

    Parameters
    ----------
    limit_s
        Seconds from the start after which to stop; None for no limit.
    """

    def __init__(self, limit_s: float | None) -> None:
        self.started = time.monotonic()
        self.interrupted = False
        self._limit_s = limit_s
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Listen, where signals can be listened to: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put back who listened before."""
        self._restore()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def now(self) -> bool:
        """Tell whether to stop."""
        return self.interrupted or (self._limit_s is not None and self.elapsed_s > self._limit_s)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupted = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
