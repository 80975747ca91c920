"""How far a download is, told in lines rather than drawn as a bar."""

import inspect
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

_STEPS = 10


class DownloadSteps:
    """Says one line for every tenth of a file; takes the place of tqdm in huggingface_hub.

    Parameters
    ----------
    say
        Takes the lines.
    total, initial
        Bytes of the file, None where unknown, and bytes that are there already.
    desc
        Name of the file.
    _
        What else a bar would want to know.
    """

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        total: int | None = None,
        initial: int = 0,
        desc: str = "",
        **_: object,
    ) -> None:
        self._say = say
        self._total = total or 0
        self._bytes = initial
        self._desc = desc
        self._step = self._bytes * _STEPS // self._total if self._total else 0

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; whatever went wrong goes on."""

    def update(self, count: float | None = 1) -> None:
        """Count bytes that came, or that were lost where negative."""
        self._bytes += int(count or 0)
        step = self._bytes * _STEPS // self._total if self._total else 0
        if step > self._step:
            self._say(f"{self._desc}: {step * 100 // _STEPS} % of {self._total / 1e6:.1f} MB")
        self._step = max(step, self._step)


def progress_arguments(download: Callable[..., Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Give the arguments that make a function of huggingface_hub tell how far it is.

    Older versions of it cannot be told to; they get none and stay silent.
    """
    if "tqdm_class" not in inspect.signature(download).parameters:
        return {}
    return {"tqdm_class": partial(DownloadSteps, say=say)}
