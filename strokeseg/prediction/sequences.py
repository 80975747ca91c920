"""Which scans each model of a case sees: those that it is meant for."""

from collections.abc import Sequence
from dataclasses import dataclass

from strokeseg.models.loading import LoadedModel


@dataclass(frozen=True)
class Sights:
    """The scans that each model sees, by its number, and what to say about it.

    Parameters
    ----------
    scans
        Names for each model; none for one that is left out.
    warnings
        One line each.
    """

    scans: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...] = ()

    def sees(self, number: int, name: str) -> bool:
        """Tell whether a model sees a scan."""
        return name in self.scans[number]


def choose_scans(models: Sequence[LoadedModel], names: Sequence[str]) -> Sights:
    """Give each model the scans of its own sequences.

    A model without any of them is left out where another one has its own; where none has, all see
    everything, and the warnings say so.

    Parameters
    ----------
    models
        Those that find lesions.
    names
        The scans of the case.
    """
    suited = tuple(
        tuple(name for name in names if loaded.model.config.suits(name)) for loaded in models
    )
    without = [loaded.model for loaded, own in zip(models, suited, strict=True) if not own]
    if any(suited):
        left_out = [
            f"{model.name} is meant for {_text(model.config.sequences)}, which was not given, and "
            "was left out"
            for model in without
        ]
        return Sights(suited, tuple(left_out))
    told = [
        f"{model.name} is meant for {_text(model.config.sequences)} and was given "
        f"{_text(names)}: look at the picture before using the result, or choose another model"
        for model in without
    ]
    return Sights(tuple(tuple(names) for _ in models), tuple(told))


def _text(names: Sequence[str]) -> str:
    return " and ".join(names)
