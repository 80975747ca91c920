"""Pages from facts: templates that escape every value, under a policy that runs only our scripts.

A record, a table or a card can hold anything. It reaches a page as text alone: the templates
escape, scripts read what they need from one JSON element, and the policy forbids every script but
those that carry the page's nonce, every request, and making markup from text.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from strokeseg._version import __version__
from strokeseg.report.wording import decimals, millimetres

NIIVUE_VERSION = "0.69.0"
ASSETS = (
    *("report.css", "review.js", "index.js", "case.js", "viewer.js"),
    *("niivue/niivue.umd.js", "niivue/LICENSE", "niivue/THIRD-PARTY.txt"),
)
_POLICY = (
    "default-src 'none'",
    "script-src 'nonce-{nonce}'",
    "style-src 'nonce-{nonce}'",
    "img-src 'self' data:",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)


@dataclass(frozen=True)
class Identity:
    """What all pages of a report have in common.

    Attributes
    ----------
    report_id : str
        What reviews are kept under in a browser; stays when the report is made again.
    title : str
        Of the cohort.
    built : str
        When, ISO 8601 in UTC.
    """

    report_id: str
    title: str
    built: str


class Pages:
    """Fills the templates.

    Parameters
    ----------
    identity : Identity
        Of the report.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_folder() / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )
        self._templates.filters |= {"decimals": decimals, "millimetres": millimetres}

    def index(self, content: Mapping[str, Any]) -> bytes:
        """Make index.html."""
        return self._fill("index.html", "", ("review.js", "index.js"), content)

    def case(self, content: Mapping[str, Any], volumes: str | None) -> bytes:
        """Make a case's page; `volumes` is the name of the script that holds them."""
        scripts: tuple[str, ...] = ("review.js", "case.js")
        page = self._fill
        if volumes is None:
            return page("case.html", "../", scripts, content)
        # The viewer comes last, so that the page answers while volumes load.
        late = ("niivue/niivue.umd.js", volumes, "viewer.js")
        return page("case.html", "../", (*scripts, *late), content)

    def _fill(
        self, template: str, root: str, scripts: tuple[str, ...], content: Mapping[str, Any]
    ) -> bytes:
        nonce = secrets.token_urlsafe(16)
        places = [f"{root}assets/{s}" if s in ASSETS else s for s in scripts]
        text = self._templates.get_template(template).render(
            content,
            report_id=self._identity.report_id,
            title=self._identity.title,
            built=self._identity.built,
            version=__version__,
            niivue_version=NIIVUE_VERSION,
            nonce=nonce,
            policy="; ".join(_POLICY).replace("{nonce}", nonce),
            root=root,
            scripts=places,
        )
        # A name can hold what is no character; it shows as a question mark.
        return text.encode("utf-8", "replace")


def assets() -> dict[str, bytes]:
    """Give the files that all pages share, by their POSIX path below the report."""
    folder = _folder() / "assets"
    return {f"assets/{name}": (folder / name).read_bytes() for name in ASSETS}


def _folder() -> Path:
    return Path(str(resources.files("strokeseg.report")))
