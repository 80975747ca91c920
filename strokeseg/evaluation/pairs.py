"""Which prediction belongs to which truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from strokeseg.errors import UsageError
from strokeseg.evaluation.finding import Found, Item
from strokeseg.evaluation.mask_names import IDENTITY

_SHOWN = 4


@dataclass(frozen=True)
class Pair:
    """A prediction and its truth."""

    name: str
    prediction: Item
    truth: Item


class Leftover(NamedTuple):
    """A case with one mask only: where that is, or why there is no other."""

    case: str
    why: str


@dataclass(frozen=True)
class Pairing:
    """What belongs together, and what was left over.

    Attributes
    ----------
    pairs : tuple of Pair
        Sorted by name.
    without_truth, without_prediction : tuple of Leftover
        What is there once only.
    """

    pairs: tuple[Pair, ...]
    without_truth: tuple[Leftover, ...] = ()
    without_prediction: tuple[Leftover, ...] = ()


def pair(predictions: Found, truths: Found) -> Pairing:
    """Pair predictions with truths.

    Two single files are a pair whatever they are called. Else names are compared: first those that
    are the same, then BIDS entities, where subject, session and run must be equal as far as both
    names have them. Where several truths are left, those that agree in more of the other entities
    (acquisition, space and so on) go first.

    Raises
    ------
    UsageError
        A prediction could belong to several truths, or a truth to several predictions, or nothing
        belongs together.
    """
    if predictions.single and truths.single:
        found, truth = predictions.items[0], truths.items[0]
        return Pairing((Pair(found.name, found, truth),))
    taken = _claims(predictions.items, truths.items)
    pairs = [Pair(i.name, i, taken[i.key]) for i in predictions.items if i.key in taken]
    if not pairs:
        raise UsageError(
            f"no prediction in {predictions.source} has a truth in {truths.source}: there are "
            f"predictions {_names(predictions.items)} and truths {_names(truths.items)}; name them "
            "alike, or give a table with the columns case and truth"
        )
    claimed = {truth.key for truth in taken.values()}
    return Pairing(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.name)),
        without_truth=tuple(
            Leftover(i.name, truths.absent.get(i.name, str(i.path)))
            for i in predictions.items
            if i.key not in taken
        ),
        without_prediction=tuple(
            Leftover(i.name, predictions.absent.get(i.name, str(i.path)))
            for i in truths.items
            if i.key not in claimed
        ),
    )


def _claims(predictions: Sequence[Item], truths: Sequence[Item]) -> dict[tuple[str, Path], Item]:
    """Give each prediction, by its key, the one truth that it belongs to."""
    taken: dict[tuple[str, Path], Item] = {}
    for same in (_same_name, _same_identity, _compatible):
        claimed = {truth.key for truth in taken.values()}
        free = [truth for truth in truths if truth.key not in claimed]
        wanted: dict[tuple[str, Path], list[Item]] = {}
        for item in (item for item in predictions if item.key not in taken):
            candidates = _closest(item, [truth for truth in free if same(item, truth)])
            if len(candidates) > 1:
                raise _ambiguous("prediction", item, "truths", candidates)
            for truth in candidates:
                wanted.setdefault(truth.key, []).append(item)
        for truth in free:
            rivals = _closest(truth, wanted.get(truth.key, []))
            if len(rivals) > 1:
                raise _ambiguous("truth", truth, "predictions", rivals)
            for item in rivals:
                taken[item.key] = truth
    return taken


def _same_name(a: Item, b: Item) -> bool:
    return bool(a.aliases & b.aliases)


def _same_identity(a: Item, b: Item) -> bool:
    return bool(a.entities and b.entities) and all(
        a.entities.get(key) == b.entities.get(key) for key in IDENTITY
    )


def _compatible(a: Item, b: Item) -> bool:
    """Whether two BIDS names contradict each other nowhere; what one does not say is open."""
    return a.entities.get("sub", "") == b.entities.get("sub") and all(
        a.entities[key] == b.entities[key]
        for key in IDENTITY
        if key in a.entities and key in b.entities
    )


def _closest(item: Item, candidates: list[Item]) -> list[Item]:
    """Keep the candidates that share most entities with an item, and contradict it least."""
    if len(candidates) < 2:
        return candidates

    def distance(other: Item) -> tuple[int, int]:
        shared = item.entities.keys() & other.entities.keys()
        equal = sum(item.entities[key] == other.entities[key] for key in shared)
        return len(shared) - equal, -equal

    least = min(distance(other) for other in candidates)
    return [other for other in candidates if distance(other) == least]


def _ambiguous(kind: str, item: Item, others: str, candidates: Sequence[Item]) -> UsageError:
    return UsageError(
        f"the {kind} {item.path} could belong to {len(candidates)} {others}: "
        f"{_listed([str(other.path) for other in candidates])}; move the wrong ones away, or name "
        "the right truths in a table with the columns case and truth"
    )


def _names(items: Sequence[Item]) -> str:
    return _listed([item.name for item in items])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
