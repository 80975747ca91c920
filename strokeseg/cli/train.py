"""`strokeseg train` and `strokeseg synthesise`: train models, and look at what they learn from."""

import importlib.util
import math
import time
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from strokeseg.cli.show.lines import say, show_text
from strokeseg.errors import EngineError, UsageError, printable

if TYPE_CHECKING:
    from strokeseg.training.settings import TrainConfig

SECONDS_BETWEEN_LINES = 30.0

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A TOML file, or a bundled one: smoke (made-up data, a minute), synth-open, "
        "synth-open-real, synthstroke-v1, synthstroke-released, baseline (these need data).",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def train(
    config: Config,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The run's folder; else runs/NAME."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make samples, where the device is the CPU.")
    ] = 1,
    limit_minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Stop after so long, with a checkpoint.")
    ] = None,
    layout: Annotated[
        bool,
        typer.Option(
            "--layout",
            help="Show what data the configuration expects where, and where it can be had.",
        ),
    ] = False,
    copy: Annotated[
        Path | None,
        typer.Option(
            "--copy",
            metavar="FILE",
            help="Copy a bundled configuration, to be changed; data/ is looked for beside it.",
        ),
    ] = None,
    debug: Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Train a model as a configuration says; checkpoints, losses and curves go into a folder.

    Try it with: strokeseg train smoke. It takes a minute and needs no data.
    """
    if copy is not None:
        _copy(config, copy)
        return
    if layout:
        _show_layout(config)
        return
    require_torch()
    from strokeseg.training.config import read_config
    from strokeseg.training.data.layout import require_layout
    from strokeseg.training.data.unmatched import unmatched
    from strokeseg.training.fitting.curves import LOSS_FILE, draw_curves
    from strokeseg.training.fitting.devices import choose_device
    from strokeseg.training.fitting.loop import Session
    from strokeseg.training.fitting.loop import train as run
    from strokeseg.training.fitting.run import LAST

    limit_s = limit_seconds(limit_minutes)
    settings = read_config(config)
    require_layout(settings, config)
    folder = output or Path("runs") / settings.name
    if (folder / LAST).exists() and not resume:
        raise UsageError(f"{folder} holds a run: go on with --resume, or name another with -o")
    lines = Lines(settings.optimiser.steps)
    session = Session(choose_device(device), workers, limit_s, on_step=lines)
    if resume:
        _say_how_it_goes_on(settings, folder / LAST)
    for pattern in unmatched(settings.data):
        say(f"{pattern} matches nothing, and holds nothing out")
    say(f"training {settings.name} on {session.device} in {folder}: reading heads and lesions")
    last = run(settings, folder, session, resume=resume)
    if (folder / LOSS_FILE).is_file():
        draw_curves({settings.name: folder}, folder / "curves.png")
    lines.say_where_it_stopped()
    show_text(str(last))


def _say_how_it_goes_on(settings: "TrainConfig", last: Path) -> None:
    from strokeseg.training.config import changed_keys
    from strokeseg.training.fitting.checkpoint import load_checkpoint

    if not last.exists():
        say(f"{last} is not there: a new run begins")
        return
    changed = changed_keys(load_checkpoint(last).config, settings)
    if changed:
        say(f"the run goes on with another configuration than it had: {', '.join(changed)}")


def synthesise(
    config: Config,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Made anew.")],
    count: Annotated[int, typer.Option("-n", "--number", min=1, help="How many samples.")] = 8,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the configuration's.")] = None,
    device: Device = "cpu",
    debug: Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Write training samples as NIfTI with their targets, and one picture of them all."""
    require_torch()
    from strokeseg.training.config import read_config
    from strokeseg.training.data.layout import require_layout
    from strokeseg.training.fitting.devices import choose_device
    from strokeseg.training.gallery import SHEET, write_samples

    settings = read_config(config)
    require_layout(settings, config)
    write_samples(settings, output, count, seed=seed, device=choose_device(device))
    show_text(str(output / SHEET))


def _copy(config: str, path: Path) -> None:
    from strokeseg.training.config import copy_config

    copy_config(config, path)
    show_text(str(path))
    say(f"put data where 'strokeseg train {path} --layout' says, or change its paths")


def _show_layout(config: str) -> None:
    from strokeseg.training.config import bundled_configs, read_config
    from strokeseg.training.data.layout import layout_of

    places = layout_of(read_config(config))
    for place in places:
        show_text(f"{place.key}: {place.found}\n  {printable(str(place.path))}")
        for text in (place.expects, place.source):
            if text:
                show_text(_indented(text))
    if config in bundled_configs() and any(place.found == "missing" for place in places):
        say(f"to have it beside data of your own: strokeseg train {config} --copy FILE")


def _indented(text: str) -> str:
    margin = "  "
    return fill(text, 78, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def require_torch() -> None:
    """Ask for what training needs and a plain installation lacks."""
    missing = [name for name in ("torch", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"training needs {missing[0]}: pip install 'strokeseg[train]'; without a GPU take "
            "torch's CPU wheel first, as docs/install.md has it, or it brings 6 GB of CUDA"
        )


def limit_seconds(limit_minutes: float | None) -> float | None:
    """Give --limit-minutes in seconds; None for no limit."""
    if limit_minutes is not None and not 0 < limit_minutes < math.inf:
        raise UsageError(f"--limit-minutes is {limit_minutes:g}: give a number above 0")
    return None if limit_minutes is None else 60 * limit_minutes


class Lines:
    """Says every half a minute where the run is, and where it stopped before its end."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._reached: int | None = None
        self._last: tuple[float, int] | None = None
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float) -> None:
        """Hear of a step."""
        now = time.monotonic()
        self._reached = step
        self._losses.append(loss)
        if self._last is None:
            self._last = (now, step)
            return
        then, before = self._last
        if now - then >= SECONDS_BETWEEN_LINES or step == self._steps:
            pace = (step - before) / max(now - then, 1e-9)
            mean = sum(self._losses) / len(self._losses)
            say(f"step {step} of {self._steps}: loss {mean:.4f}, {pace:.2f} steps a second")
            self._last, self._losses = (now, step), []

    def say_where_it_stopped(self) -> None:
        """Say at which step the time limit stopped a run that was not over."""
        if self._reached is not None and self._reached < self._steps:
            say(f"stopped at step {self._reached} of {self._steps}: go on with --resume")
