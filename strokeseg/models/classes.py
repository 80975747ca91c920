"""The classes that a network tells apart: what each is called, and what it is."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

BACKGROUND = "background"
LESION = "lesion"
BRAIN = "brain"
TISSUES = ("GM", "GM/WM", "WM", "CSF")
# Of the models that know tissues; the lesion is the last class of every model.
CLASSES = (BACKGROUND, *TISSUES, LESION)

_MATTER = frozenset({"gm", "wm", "gm/wm", "grey matter", "gray matter", "white matter"})
# How bright a T1w shows them, black 0 to white 1.
_GREYS: Mapping[str, float] = MappingProxyType(
    {"csf": 0.25, "gm": 0.6, "gm/wm": 0.8, "wm": 1.0, LESION: 0.6}
)
_OTHER_GREY = 0.5


def default_classes(count: int, finds: str = LESION) -> tuple[str, ...]:
    """Name the classes of a model whose config does not; the last is what it finds."""
    if count == len(CLASSES) and finds == LESION:
        return CLASSES
    return (BACKGROUND, *(f"class {index}" for index in range(1, count - 1)), finds)


def end_in_a_finding(names: Iterable[object]) -> bool:
    """Tell whether names can be a model's classes: two or more, lesion or brain the last."""
    given = list(names)
    return len(given) > 1 and given[-1] in (LESION, BRAIN)


def is_tissue(name: str) -> bool:
    """Tell whether a class is neither the background nor the lesion."""
    return name.lower() not in (BACKGROUND, LESION)


def is_matter(name: str) -> bool:
    """Tell whether a class is grey or white matter, or what lies between them."""
    return name.lower() in _MATTER


def is_fluid(name: str) -> bool:
    """Tell whether a class is cerebrospinal fluid: ventricles, and what is around the brain."""
    return name.lower() in ("csf", "cerebrospinal fluid")


def grey_of(name: str) -> float:
    """Give how bright a T1w shows a class, 0 to 1."""
    return _GREYS.get(name.lower(), _OTHER_GREY)
