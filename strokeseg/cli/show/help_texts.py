"""Help texts as they were written: brackets are no markup, and lines break where there is room."""

import inspect
from typing import Any


def plainly_helped(command: Any) -> None:  # noqa: ANN401 - a command or group, as Typer hides them
    """Make the help of a command, of its options and of the commands below it plain text.

    Typer takes ``[itk]`` for markup and shows nothing of it, and keeps the line ends of docstrings,
    which then stand in the middle of sentences.
    """
    command.help = _escaped(_flowing(command.help or ""))
    for parameter in command.params:
        told = getattr(parameter, "help", None)
        if told:
            parameter.help = _escaped(told)
    for below in getattr(command, "commands", {}).values():
        plainly_helped(below)


def _flowing(text: str) -> str:
    """Leave line ends between paragraphs alone."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
