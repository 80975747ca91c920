"""Words of messages: how many there are, and lists that stay short."""

from collections.abc import Iterable, Sequence

MOST_SHOWN = 10


def counted(number: int, thing: str, things: str = "") -> str:
    """Say how many there are: 1 case, 2 cases."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def cut_short(items: Iterable[str], most: int = MOST_SHOWN, *, between: str = ", ") -> str:
    """Join the first items, and say how many more there are."""
    every = list(items)
    stop = "; " if between == "; " else ", "
    more = f"{stop}and {len(every) - most} more" if len(every) > most else ""
    return between.join(every[:most]) + more


def lesions_named(numbers: Sequence[str]) -> str:
    """Name lesions by their numbers: `lesion 2`, `lesions 1, 2`; a long list is cut short."""
    return f"lesion{'s' if len(numbers) > 1 else ''} {cut_short(numbers)}"
