"""Ends a command when a person or a scheduler asks, also where the request was lost on its way.

Python turns a signal into an exception at whatever line runs. Compiled modules, above all while
they are imported, may swallow it, or make another error of it. So it is remembered, too.
"""

import signal
from types import FrameType

_asked: list[int] = []


def heed_signals() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, and be remembered.

    A signal that whoever started this process had ignored stays ignored.
    """
    _asked.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def was_asked() -> bool:
    """Tell whether this process was asked to stop."""
    return bool(_asked)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if this process was asked to stop, and still runs.

    Raises
    ------
    KeyboardInterrupt
    """
    if _asked:
        raise KeyboardInterrupt


def _stop(number: int, _frame: FrameType | None) -> None:
    _asked.append(number)
    raise KeyboardInterrupt
