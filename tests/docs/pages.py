"""The pages of docs/ and the README, taken apart: what they say one can run, where they lead."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(strokeseg [^`\n]+|strokeseg [^`]+?\n[^`]+)`(?!`)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    """The fenced blocks of a language, in their order."""
    return [body for found, body in _FENCE.findall(page.read_text()) if found == language]


def lines_of(page, language):
    """Their commands, without comments."""
    whole = (body.replace("\\\n", " ") for body in blocks(page, language))
    lines = (line.strip() for body in whole for line in body.splitlines())
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_commands(page):
    """What stands in the text as `strokeseg ...`, each as its words."""
    text = _FENCE.sub("", page.read_text())
    return [words(command) for command in _INLINE.findall(text)]


def words(command):
    try:
        return shlex.split(command)
    except ValueError:  # an apostrophe of prose
        return command.split()


def anchors(page):
    """The places within a page that a link can name, as MkDocs makes them."""
    text = _FENCE.sub("", page.read_text())
    slugs = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in _HEADING.findall(text))
    return {re.sub(r"[\s]+", "-", slug) for slug in slugs}


def table_columns(page):
    """Of each section of a page: the columns that its table names, in their order."""
    found = {}
    for part in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        title = part.splitlines()[0]
        cells = re.findall(r"^\| (`.+?) \|", part, re.MULTILINE)
        found[title] = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return found
