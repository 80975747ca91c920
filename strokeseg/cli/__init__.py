"""The command line: thin commands over the Python API, errors as one line and an exit code.

A file a command; it imports any room, and no room imports it. `arguments` has the options that
several commands share, `jobs` what they ask for, `show` what a person sees.
"""

import errno
import sys
import traceback
from typing import Annotated

import typer
from typer.exceptions import TyperException

from strokeseg._version import __version__
from strokeseg.cli import (
    batch,
    bids,
    brain,
    collect,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    other_training,
    overlap,
    predict,
    register,
    report,
    stopping,
    train,
    weights,
)
from strokeseg.cli.show.help_texts import plainly_helped
from strokeseg.errors import Interrupted, ReadWriteError, StrokesegError, UsageError

NAME = "strokeseg"
ANONYMISE = ("--anonymise", "--anonymize")
# What a disk that stdout goes to may say.
_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

app = typer.Typer(
    help="Find and measure stroke lesions in brain MRI. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict", cls=register.CaseCommand, no_args_is_help=True)(predict.predict)
app.command("batch", cls=register.CaseCommand, no_args_is_help=True)(batch.batch)
app.command("bids", cls=bids.BidsCommand, no_args_is_help=True)(bids.bids)
app.command("collect", no_args_is_help=True)(collect.collect)
app.command("convert", no_args_is_help=True)(convert.convert)
app.command("register", no_args_is_help=True)(register.register)
app.command("report", no_args_is_help=True)(report.report)
app.command("evaluate", no_args_is_help=True)(evaluate.evaluate)
app.command("compare", no_args_is_help=True)(compare.compare)
app.command("overlap", no_args_is_help=True)(overlap.overlap)
app.command("brain", no_args_is_help=True)(brain.brain)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(weights.app, name="weights")
app.command("train", no_args_is_help=True)(train.train)
app.command("synthesise", no_args_is_help=True)(train.synthesise)
app.command("synthesize", no_args_is_help=True, hidden=True)(train.synthesise)
app.command("train-translator", no_args_is_help=True)(other_training.train_translator)
app.command("train-lesions", no_args_is_help=True)(other_training.train_lesions)
app.command("train-stage-two", no_args_is_help=True)(other_training.train_stage_two)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", "-v", help="Print name and version.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and leave with its exit code."""
    stopping.heed_signals()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; every error becomes one line on stderr and an exit code.

    Parameters
    ----------
    arguments
        What follows the program's name.

    Returns
    -------
    int
        0, or the exit code of `strokeseg.errors`.
    """
    try:
        command = typer.main.get_command(app)
        plainly_helped(command)
        code = command(arguments, prog_name=NAME, standalone_mode=False)
    except Interrupted as error:
        return _fail(error.exit_code, str(error), arguments)
    except StrokesegError as error:
        if not stopping.was_asked():  # else it is what became of the signal
            return _fail(error.exit_code, str(error), arguments)
        code = Interrupted.exit_code
    except TyperException as error:
        if not error.format_message():  # the help was shown, as there were no arguments
            return error.exit_code
        hint = "; see --help" if error.exit_code == UsageError.exit_code else ""
        return _fail(error.exit_code, error.format_message().rstrip(".") + hint, arguments)
    except (typer.Abort, KeyboardInterrupt):
        code = Interrupted.exit_code
    except BrokenPipeError:
        return _fail(74, "nobody reads the output any more", arguments)
    except MemoryError:
        return _fail(1, "out of memory; close other programs, or try --max-memory", arguments)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        if isinstance(error, OSError) and error.errno in _LOST and error.filename is None:
            told = f"writing to the terminal, or where it is redirected, failed ({error.strerror})"
            return _fail(ReadWriteError.exit_code, f"{told}; free some space", arguments)
        kind = type(error).__name__
        what = kind if _is_anonymous(arguments) else f"{kind}: {error}"
        told = f"a fault of ours: {what}; please report it with --debug's output"
        return _fail(1, told, arguments)
    if code == Interrupted.exit_code:  # what typer makes of Ctrl-C
        return _fail(code, "interrupted; nothing was left half-written", arguments)
    return code if isinstance(code, int) else 0


def _fail(code: int, message: str, arguments: list[str]) -> int:
    """Say what went wrong: with a traceback if that was asked for, without names if that was."""
    from strokeseg.cli.show.lines import say_error

    if _is_anonymous(arguments):
        from strokeseg.results.anonymous import Redactor

        message = Redactor.over_arguments(arguments)(message)
    elif "--debug" in arguments:
        traceback.print_exc()
    say_error(message)
    return code


def _is_anonymous(arguments: list[str]) -> bool:
    return any(spelling in arguments for spelling in ANONYMISE)
