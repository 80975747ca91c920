"""Cases whose own records cannot be read: named, so that they are done again."""

from collections.abc import Iterable

import typer

from strokeseg.console import say_error

_MOST_SHOWN = 20


def tell_damaged(damaged: Iterable[tuple[str, str]]) -> None:
    """Name cases that are damaged and say why.

    Raises
    ------
    typer.Exit
        With 1, if there are any.
    """
    found = list(damaged)
    for case, why in found[:_MOST_SHOWN]:
        say_error(f"{case}: {why}")
    if len(found) > _MOST_SHOWN:
        say_error(f"and {len(found) - _MOST_SHOWN} more cases")
    if found:
        raise typer.Exit(1)
