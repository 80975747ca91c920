"""Every error that a user can meet, each with the exit code that the process ends with.

The codes follow sysexits, as the BIDS execution specification does::

    StrokesegError                1   a fault of ours
      UsageError                  2   options that contradict each other or make no sense
      DataError                  65   an input that cannot be segmented
        ModelFormatError         65   a model folder that cannot be read or built
      InputNotFoundError         66   a path that does not lead to a file
      WeightsUnavailableError    69   a model that is not here and cannot be fetched
      EngineError                70   an inference engine that is missing or failed
      CannotCreateError          73   an output that cannot be created
      ReadWriteError             74   reading or writing failed half-way
      Interrupted               130   Ctrl-C

A message is one line: what is wrong, where (file, shape, value), and what to do. It may quote file
names and values that others wrote: what cannot be printed in one line is shown by its escape.
"""

from typing import ClassVar

_LONGEST_MESSAGE = 8000  # a path may have 4096 characters


class StrokesegError(Exception):
    """Base of every error that reaches the user; `exit_code` is the process's."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        """Keep the message as one printable line."""
        super().__init__(_one_line(message))


class UsageError(StrokesegError):
    """Options or arguments that contradict each other or make no sense."""

    exit_code = 2


class DataError(StrokesegError):
    """An input file was read and cannot be segmented as it is."""

    exit_code = 65


class ModelFormatError(DataError):
    """A model folder, its config or its tensors cannot be read or built."""


class InputNotFoundError(StrokesegError):
    """An input path does not lead to a readable file."""

    exit_code = 66


class WeightsUnavailableError(StrokesegError):
    """A model is not on this machine and could not be fetched or verified."""

    exit_code = 69


class EngineError(StrokesegError):
    """An inference engine or device is missing, or failed while running."""

    exit_code = 70


class CannotCreateError(StrokesegError):
    """An output exists already, or cannot be created where it was asked for."""

    exit_code = 73


class ReadWriteError(StrokesegError):
    """Reading or writing failed half-way (disk full, medium gone)."""

    exit_code = 74


class Interrupted(StrokesegError):  # noqa: N818 - it is no error
    """The user stopped the work."""

    exit_code = 130


def printable(text: str) -> str:
    """Show what cannot be printed, and what would steer a terminal, by its escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _one_line(message: str) -> str:
    """Escape what cannot be printed, and cut what is far too long."""
    start = message[:_LONGEST_MESSAGE]
    shown = printable(start)
    whole = len(message) == len(start) and len(shown) <= _LONGEST_MESSAGE
    return shown if whole else f"{shown[: _LONGEST_MESSAGE - 4]} ..."
