"""How `python -m strokeseg.training.NAME` begins and ends: a result, or one line and exit code."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence

from strokeseg.errors import (
    CannotCreateError,
    InputNotFoundError,
    Interrupted,
    ReadWriteError,
    StrokesegError,
)

DEBUG = "--debug"


def command_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """Give a parser for ``python -m strokeseg.training.NAME``, whose help says what it is for.

    Parameters
    ----------
    name
        Of the module.
    about
        Its docstring.
    """
    return argparse.ArgumentParser(
        prog=f"python -m strokeseg.training.{name}",
        description=(about or "").replace("`", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_command(main: Callable[[Sequence[str]], str]) -> None:
    """Run a command on what the shell gave it, and leave with its exit code.

    Its result goes to stdout. An error is one line on stderr, as those of `strokeseg` are; its
    traceback comes before it where `--debug` is among the arguments.

    Parameters
    ----------
    main
        Takes the arguments after the program's name and returns what to show.
    """
    sys.exit(exit_code_of(main, sys.argv[1:]))


def exit_code_of(main: Callable[[Sequence[str]], str], arguments: Sequence[str]) -> int:
    """Run a command; give 0 or the exit code of `strokeseg.errors`."""
    try:
        shown = main([argument for argument in arguments if argument != DEBUG])
        if shown:
            sys.stdout.write(shown.rstrip("\n") + "\n")
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback for users
        if DEBUG in arguments:
            traceback.print_exception(error)
        code, message = _told(error)
        sys.stderr.write(f"strokeseg: error: {StrokesegError(' '.join(message.split()))}\n")
        return code
    return 0


def _told(error: BaseException) -> tuple[int, str]:
    """Give the exit code and the line for what went wrong."""
    if isinstance(error, StrokesegError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return Interrupted.exit_code, "interrupted"
    if isinstance(error, OSError):
        # A folder is to be made where a file is: what is read is never said to exist.
        kinds = {FileNotFoundError: InputNotFoundError, FileExistsError: CannotCreateError}
        kind = kinds.get(type(error), ReadWriteError)
        return kind.exit_code, f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return StrokesegError.exit_code, "out of memory; close other programs"
    told = f"{type(error).__name__}: {error}"
    return (
        StrokesegError.exit_code,
        f"a fault of ours: {told}; please report it with {DEBUG}'s output",
    )
