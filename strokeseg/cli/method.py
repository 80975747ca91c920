"""The options of what is seen of scans, and how several become one answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from strokeseg.cli.arguments import METHOD
from strokeseg.errors import UsageError

SeenField = Annotated[
    str | None,
    typer.Option(
        "--field-of-view",
        metavar="brain|whole",
        rich_help_panel=METHOD,
        help="Find the brain first and see that alone, or all that a scan shows; else the model's.",
        show_default=False,
    ),
]
FusionName = Annotated[
    str | None,
    typer.Option(
        "--fusion",
        metavar="RULE",
        rich_help_panel=METHOD,
        help="How several scans become one: mean_logits, noisy_or, best_two or pooled; else the "
        "model's.",
        show_default=False,
    ),
]
Tta = Annotated[
    bool | None,
    typer.Option(
        "--tta/--no-tta",
        rich_help_panel=METHOD,
        help="Average over 8 flips, as is usual; not with --fast.",
        show_default=False,
    ),
]
Stages = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=METHOD,
        help="1 leaves out the second stage of a model that has one, as --fast does; else 2.",
        show_default=False,
    ),
]
BrainModel = Annotated[
    str | None,
    typer.Option(
        "--brain-model",
        metavar="NAME|none",
        rich_help_panel=METHOD,
        help="A model that finds the brain, such as mindgrab, in place of the tissues of the "
        "lesion's model; none is the same as to leave it out.",
        show_default=False,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="NAME=NUMBER",
        rich_help_panel=METHOD,
        help="How much a scan counts beside the others, such as flair=2; may be repeated.",
    ),
]


def models_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the models that were asked for: for lesions, and for the brain if there is one.

    Raises
    ------
    UsageError
        What was asked for as a model of brains finds lesions.
    WeightsUnavailableError
        There is no such model.
    """
    models = tuple(given["model"] or ())
    brain = given.get("brain_model")
    if brain is None or brain == "none":
        return models
    from strokeseg.models.finding import what_it_finds
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry

    registry = load_registry()
    if what_it_finds(brain, hub_settings(offline=True), registry) == "lesion":
        raise UsageError(f"--brain-model {brain}: finds lesions, not brains; give mindgrab or none")
    return (*(models or (registry.default,)), brain)


def weights_of(pairs: list[str] | None) -> tuple[tuple[str, float], ...]:
    """Read NAME=NUMBER pairs.

    Raises
    ------
    UsageError
        If one is of another form, or names a scan twice.
    """
    weights: dict[str, float] = {}
    for pair in pairs or []:
        name, separator, text = pair.partition("=")
        try:
            number = float(text)
        except ValueError:
            separator = ""
        if not separator or not name or name in weights:
            raise UsageError(f"--weight {pair}: give NAME=NUMBER once a scan, such as flair=2")
        weights[name] = number
    return tuple(weights.items())
