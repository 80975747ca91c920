"""`strokeseg train-translator`, `train-lesions` and `train-stage-two`: beside `train`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokeseg.cli.show.lines import say, show_text
from strokeseg.cli.train import Lines, limit_seconds, require_torch
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.training.fitting.loop import Session

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="The run's folder; else runs/NAME."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")]
Limit = Annotated[
    float | None, typer.Option(metavar="M", help="Stop after so long, with a checkpoint.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def train_translator(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or a bundled one: flair-spade, flair-pix2pix, flair-cyclegan (these "
            "need data).",
        ),
    ],
    *,
    output: Output = None,
    resume: Resume = False,
    limit_minutes: Limit = None,
    debug: Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Train a network that draws slices of scans from label maps.

    A run draws with it once its [data] names the folder in translators, and its [contrast] has a
    translated_share.
    """
    require_torch()
    from strokeseg.training.fitting.translators import train_translator as run
    from strokeseg.training.translation.settings import read_translator_config

    settings = read_translator_config(config)
    folder = _folder(output, settings.name, resume=resume)
    say(f"training {settings.name} in {folder}: reading slices and labels")
    session = _session(limit_minutes, Lines(settings.fit.steps))
    show_text(str(run(settings, folder, session, resume=resume)))


def train_lesions(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A TOML file, or the bundled one: lesions.")
    ],
    *,
    output: Output = None,
    resume: Resume = False,
    limit_minutes: Limit = None,
    draw: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Write so many masks to DIR/lesions, and figures."),
    ] = 0,
    debug: Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Train a network that draws lesion masks, and draw a bank of them.

    DIR/lesions is a folder as data.lesions names it; lesions.tsv and real.tsv tell volumes, places,
    shapes and the nearest real mask of each.
    """
    require_torch()
    from strokeseg.training.fitting.masks import WEIGHTS, draw_bank
    from strokeseg.training.fitting.masks import train_masks as run
    from strokeseg.training.translation.settings import read_mask_config

    settings = read_mask_config(config)
    folder = _folder(output, settings.name, resume=resume)
    say(f"training {settings.name} in {folder}: reading masks")
    session = _session(limit_minutes, Lines(settings.fit.steps))
    model = run(settings, folder, session, resume=resume)
    shown = draw_bank(model, settings, folder, draw) if draw else folder / WEIGHTS
    show_text(str(shown))


def train_stage_two(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or a bundled one: smoke (made-up data, a minute), synth-open-two "
            "(needs data).",
        ),
    ],
    *,
    output: Output = None,
    resume: Resume = False,
    limit_minutes: Limit = None,
    debug: Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Train the second stage of a model, which looks again at what the first stage found.

    DIR/model is a model of both stages, as --model takes it.
    """
    require_torch()
    from strokeseg.training.data.layout import require_layout
    from strokeseg.training.fitting.curves import draw_curves
    from strokeseg.training.fitting.stage_two import train_stage_two as run
    from strokeseg.training.stage_two.settings import read_stage_two_config, samples_config

    settings = read_stage_two_config(config)
    require_layout(samples_config(settings), settings.samples)
    folder = _folder(output, settings.name, resume=resume)
    say(f"training {settings.name} in {folder}: reading heads and lesions")
    session = _session(limit_minutes, Lines(settings.fit.steps))
    made = run(settings, folder, session, resume=resume)
    draw_curves({settings.name: folder}, folder / "curves.png")
    show_text(str(made))


def _folder(output: Path | None, name: str, *, resume: bool) -> Path:
    from strokeseg.training.fitting.run import LAST

    folder = output or Path("runs") / name
    if (folder / LAST).exists() and not resume:
        raise UsageError(f"{folder} holds a run: go on with --resume, or name another with -o")
    return folder


def _session(limit_minutes: float | None, on_step: Callable[[int, float], None]) -> "Session":
    from strokeseg.training.fitting.devices import choose_device
    from strokeseg.training.fitting.loop import Session

    limit_s = limit_seconds(limit_minutes)
    return Session(device=choose_device("cpu"), limit_s=limit_s, on_step=on_step)
