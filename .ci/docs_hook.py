"""What MkDocs is told beside docs/: pages and pictures that lie elsewhere in the repository.

A page of docs/ links to them as one reads it in the repository (`../training/README.md`); here they
get a place on the site, and links that lead to them are turned to it. Links to other files of the
repository lose their target and keep their text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "weights/synth-open/README.md": "more/synth-open.md",
    "weights/meshnet-arc-t2/README.md": "more/meshnet-arc-t2.md",
    "weights/mindgrab/README.md": "more/mindgrab.md",
    "training/README.md": "more/training.md",
    "tests/TRUST.md": "more/trust.md",
    "tests/benchmarks/MEMORY.md": "more/memory.md",
    "CHANGELOG.md": "more/changelog.md",
}
# Pages of wide tables, which need the room of the table of contents.
WIDE = ("more/trust.md", "more/memory.md", "more/synth-open.md", "models.md")
PICTURES = ("strokeseg/demo", "tests/pictures", "training/pictures", "weights/synth-open")
_LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)]*)?\)")


def _places() -> dict[str, str]:
    """Give the place on the site of each file that lies elsewhere in the repository."""
    pictures = [path for folder in PICTURES for path in sorted((ROOT / folder).glob("*.png"))]
    shown = {path.relative_to(ROOT).as_posix(): f"more/{path.name}" for path in pictures}
    own = {f"docs/{p.relative_to(ROOT / 'docs').as_posix()}": p for p in ROOT.glob("docs/**/*.md")}
    return PAGES | shown | {name: name.removeprefix("docs/") for name in own}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them to the site."""
    for source, place in _places().items():
        if not source.startswith("docs/"):
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository to their places on the site."""
    del config, files
    if page.file.src_uri in WIDE:
        page.meta.setdefault("hide", []).append("toc")
    places = _places()
    here = page.file.src_uri
    source = next((s for s, place in places.items() if place == here), f"docs/{here}")

    def turned(match: re.Match[str]) -> str:
        mark, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if meant in places:
            link = posixpath.relpath(places[meant], posixpath.dirname(here) or ".")
            return f"{mark}[{text}]({link}{anchor})"
        return text if (ROOT / meant).exists() and not mark else match[0]

    return _LINK.sub(turned, re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL))
