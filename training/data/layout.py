"""What data a configuration expects where, whether it is there, and where it can be had."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from strokeseg.errors import InputNotFoundError
from strokeseg.training.settings import MODEL, DataConfig, TrainConfig

SINGLE = ("label_maps", "soft_maps", "pairs", "slices", "scans", "label_table", "contrast_table")


@dataclass(frozen=True)
class Place:
    """One path of a configuration.

    Parameters
    ----------
    key
        Of [data], or `start_from`.
    path
        Where it is looked for.
    expects
        What has to be there.
    source
        What the bundled configurations have there, where it can be had and under which licence;
        empty for data that only its user knows.
    """

    key: str
    path: Path
    expects: str
    source: str

    @property
    def found(self) -> str:
        """What is there, in words."""
        if self.path.is_dir():
            count = sum(1 for entry in self.path.iterdir() if entry.is_file())
            return f"there, {count} files"
        return "there" if self.path.exists() else "missing"


def layout_of(config: TrainConfig) -> tuple[Place, ...]:
    """List every path that a configuration names."""
    named = [(key, path) for key, path in _paths(config.data) if path]
    if config.start_from and not config.start_from.startswith(MODEL):
        named.append(("start_from", config.start_from))
    return tuple(_place(key, Path(path)) for key, path in named)


def require_layout(config: TrainConfig, name: str) -> None:
    """Check that every path of a configuration leads somewhere, before anything is made.

    Raises
    ------
    InputNotFoundError
        The first that does not, with what it is for and where it can be had.
    """
    for place in layout_of(config):
        if place.found == "missing":
            had = f" ({place.source})" if place.source else ""
            raise InputNotFoundError(
                f"{place.path}: no such file or folder; {place.key} expects {place.expects}{had}. "
                f"'strokeseg train {name} --layout' shows all that is needed"
            )


def _paths(data: DataConfig) -> list[tuple[str, str]]:
    single = [(key, getattr(data, key)) for key in SINGLE]
    lesions = [("lesions", path) for path in data.lesions]
    translators = [("translators", path) for path in data.translators]
    return [*single[:1], *lesions, *single[1:], *translators]


def _place(key: str, path: Path) -> Place:
    table = _table()
    entry = table["known"].get(path.name)
    source = "" if entry is None else "{what}; {where}; licence: {licence}".format(**entry)
    return Place(key, path, table["expects"][key], source)


def _table() -> dict[str, Any]:
    text = resources.files("strokeseg.training").joinpath("tables/data_sets.toml").read_text()
    return tomllib.loads(text)
