"""Tables as BIDS has them, which neither a cell nor a spreadsheet can turn into something else."""

import re
from collections.abc import Iterable, Sequence

_FORMULA = "=+-@"
_NUMBER = re.compile(r"[+-](\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-](inf|nan)", re.IGNORECASE)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as BIDS's TSV: a header, tabs, line feeds, ``n/a`` for what is missing."""
    return "".join("\t".join(map(_cell, line)) + "\n" for line in (columns, *rows))


def _cell(text: str) -> str:
    """Make one cell; a text that a spreadsheet would run as a formula gets a quote before it.

    Names of cases never start so (see `strokeseg.filenames`), and numbers stay as they are.
    """
    flat = re.sub(r"[\t\r\n]+", " ", text)
    if len(flat) > 1 and flat[0] in _FORMULA and not _NUMBER.fullmatch(flat):
        return f"'{flat}"
    return flat or "n/a"
