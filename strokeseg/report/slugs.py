"""Names of a case's files in the report: plain letters alone, whatever the case is called."""

import hashlib
import re
from collections.abc import Iterable

_LONGEST = 80
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
# Names that a file system of another kind keeps for devices.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# What the index calls its own parts; a row of that name would be taken for one.
_PARTS = re.compile(
    r"filter(s|-.*)|shown|review(ed|er)|export|import(-file)?|message|cases|nothing"
)


def plain_names(keys: Iterable[tuple[str, str]]) -> list[str]:
    """Give each case a file name of its own, of letters that need no escaping anywhere.

    Parameters
    ----------
    keys : pairs of str
        Name and key of each case; the key tells cases of one name apart.

    Returns
    -------
    list of str
        The name itself where it is plain and nobody else's, whatever the case of its letters;
        else its plain part, and a piece of the key's hash. The same from run to run.
    """
    pairs = list(keys)
    lower = [name.lower() for name, _ in pairs]
    names = []
    for name, key in pairs:
        plain = _PLAIN.sub("-", name).strip(".-")[:_LONGEST]
        unsure = (
            not plain
            or plain != name
            or lower.count(name.lower()) > 1
            or _DEVICES.fullmatch(plain)
            or _PARTS.fullmatch(plain)
        )
        if unsure:
            digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:10]
            plain = f"{plain or 'case'}-{digest}"
        names.append(plain)
    return names
