"""What is chosen about memory before a prediction starts, so that a limit holds; or a refusal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from strokeseg.engines.flips import FLIPS
from strokeseg.errors import DataError, UsageError
from strokeseg.images.outline import Outline
from strokeseg.machine import available_memory_bytes, resident_bytes, thread_count
from strokeseg.models.loading import Ensemble, LoadedModel
from strokeseg.prediction.decision import make_rule
from strokeseg.prediction.memory_forecast import (
    FIND_BRAIN,
    Demand,
    ModelSize,
    ScanSize,
    Settings,
    stages,
)
from strokeseg.prediction.options import Options
from strokeseg.prediction.window_choice import smaller_windows, usual_window

SMALLEST_SLAB_BYTES = 1 << 20
# Of a reference larger than this, the engine's memory is given back before it is classified.
LARGE_VOXELS = 1 << 26


@dataclass(frozen=True)
class MemoryPlan:
    """What was chosen, within which limit (None for none), and what it will take at most.

    `whole_windows` is what the windows would be without a limit; `stage` is when it takes most.
    """

    settings: Settings
    whole_windows: tuple[int, ...]
    limit_bytes: int | None
    predicted_bytes: int | None
    stage: str | None
    exact: tuple[bool, ...] = ()

    @property
    def is_reduced(self) -> bool:
        """Whether a window is smaller than it would be without the limit, and changes what is seen.

        Windows that are exact are not told of: they change nothing.
        """
        return any(
            edge != whole and not exact
            for edge, whole, exact in zip(
                self.settings.windows, self.whole_windows, self.exact, strict=True
            )
        )

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values; the windows stand with the models."""
        chosen = asdict(self.settings)
        chosen.pop("windows")
        return {
            "limit_bytes": self.limit_bytes,
            "predicted_bytes": self.predicted_bytes,
            "predicted_stage": self.stage,
            "window_reduced": self.is_reduced,
            **chosen,
        }

    def note(self) -> str:
        """Say what was chosen, in one line."""
        chosen = self.settings
        return (
            f"memory: window {_text(chosen.windows)}, slabs of {chosen.slab_bytes >> 20} MiB, "
            f"{chosen.threads} thread{'s' if chosen.threads > 1 else ''} around the network: up to "
            f"{(self.predicted_bytes or 0) / 1e9:.2f} of {(self.limit_bytes or 0) / 1e9:.2f} GB "
            f"({self.stage})"
        )

    def warnings(self) -> tuple[str, ...]:
        """Warn of windows that are not whole."""
        if not self.is_reduced:
            return ()
        return (
            f"the window is {_text(self.settings.windows)} voxels, not "
            f"{_text(self.whole_windows)}, to hold --max-memory: a network that sees less around "
            "a lesion can find another one, or none; allow more memory where you can",
        )


def plan_memory(
    scans: Mapping[str, Outline],
    reference: str,
    ensemble: Ensemble,
    options: Options,
    asked_bytes: int | None,
) -> MemoryPlan:
    """Choose the settings of a prediction, from what the headers say.

    Parameters
    ----------
    scans
        By modality, their voxels not read.
    reference
        Whose grid results have.
    ensemble
        The models, their engines open.
    options
        Of the prediction.
    asked_bytes
        A limit that was asked for with this prediction; a model may have been loaded with one too.

    Raises
    ------
    UsageError
        If the models alone do not hold the limit, run on a GPU, or were loaded without it.
    DataError
        If the scans do not hold it.
    """
    demand = _demand(scans, reference, ensemble, options)
    exact = tuple(m.model.config.spec.window_rule == "exact" for m in ensemble.members)
    usual = usual_settings(demand, thread_count())
    brain = () if ensemble.brain is None else (ensemble.brain,)
    limit = _limit((*ensemble.members, *brain), asked_bytes)
    held = resident_bytes() or 0
    if limit is None:
        return MemoryPlan(_that_fits(demand, usual, held), usual.windows, None, None, None, exact)
    chosen = choose_settings(demand, usual.threads, limit, held)
    predicted = stages(demand, chosen, held)
    stage = max(predicted, key=lambda name: predicted[name])
    return MemoryPlan(chosen, usual.windows, limit, predicted[stage], stage, exact)


def _that_fits(demand: Demand, usual: Settings, held: int) -> Settings:
    """Give settings without a limit that was asked for: whole heads, where the machine has room.

    Windows that change nothing are made smaller where it has not; others are left as they are.
    """
    available = available_memory_bytes()
    rules = {model.config.spec.window_rule for model in demand.models}
    if available is None or "exact" not in rules:
        return usual
    limit = available + held
    for windows in smaller_windows(demand, usual.windows):
        tried = replace(usual, windows=windows)
        kept = all(
            edge == whole or model.config.spec.window_rule == "exact"
            for edge, whole, model in zip(windows, usual.windows, demand.models, strict=True)
        )
        if kept and max(stages(demand, tried, held).values()) <= limit:
            return tried
    return usual


def usual_settings(demand: Demand, threads: int) -> Settings:
    """Give the settings of a prediction whose memory is not limited."""
    windows = tuple(usual_window(demand, number) for number in range(len(demand.models)))
    return Settings(windows, threads, releases=demand.scans[0].voxels > LARGE_VOXELS)


def choose_settings(demand: Demand, threads: int, limit_bytes: int, held_bytes: int) -> Settings:
    """Choose the settings that hold a limit: the largest windows, then the least that costs time.

    Parameters
    ----------
    demand
        What is to be done.
    threads
        For the work around the network, at most.
    limit_bytes
        What the process may hold at once.
    held_bytes
        What it holds now, with the models' engines open.

    Raises
    ------
    UsageError
        If the models alone do not hold the limit.
    DataError
        If no settings hold it.
    """
    peaks = []
    for settings in _candidates(demand, threads):
        predicted = stages(demand, settings, held_bytes)
        peaks.append(max((size, stage) for stage, size in predicted.items()))
        if peaks[-1][0] <= limit_bytes:
            return settings
    least, stage = min(peaks)
    alone = stages(demand, usual_settings(demand, threads), held_bytes)["load model"]
    if alone > limit_bytes:
        raise UsageError(
            f"--max-memory is {_gb(limit_bytes)}, and to open the model alone takes {_gb(alone)}: "
            "allow more"
        )
    scan = demand.scans[0]
    shape = " x ".join(str(size) for size in scan.grid.shape)
    maps = "leave uncertainty out of --save, " if demand.uncertainty else ""
    maps += "take --stages 1, " if any(model.second for model in demand.models) else ""
    maps = "leave --brain-model out, " if stage == FIND_BRAIN and demand.brain else maps
    raise DataError(
        f"{scan.name}: its {shape} voxels take up to {_gb(least)} of memory even in the "
        f"smallest windows, and --max-memory is {_gb(limit_bytes)}: {maps}crop the scan or bring "
        "it to larger voxels, take a model with larger voxels, or allow more"
    )


def _limit(models: Sequence[LoadedModel], asked_bytes: int | None) -> int | None:
    limits = [m.max_memory_bytes for m in models if m.max_memory_bytes is not None]
    if asked_bytes is not None:
        limits.append(asked_bytes)
    if not limits:
        return None
    for model in models:
        if model.engine.device != "cpu":
            raise UsageError(
                "--max-memory counts the memory of a CPU alone, and the model runs on "
                f"{model.engine.device}: choose --device cpu, or leave --max-memory out"
            )
        if model.max_memory_bytes is None:
            raise UsageError(
                f"{model.model.name} was loaded without a limit of memory: give load_model the "
                "same Hardware(max_memory_bytes=...)"
            )
    return min(limits)


def _demand(
    scans: Mapping[str, Outline], reference: str, ensemble: Ensemble, options: Options
) -> Demand:
    order = [reference, *(name for name in scans if name != reference)]
    models, brain, config = ensemble.members, ensemble.brain, ensemble.leader.model.config
    seen = {options.field_of_view or m.model.config.field_of_view for m in models}
    return Demand(
        scans=tuple(_size(scans[name]) for name in order),
        models=tuple(_model_size(loaded, options.stages) for loaded in models),
        flips=len(FLIPS) if options.tta and any(m.model.config.flips for m in models) else 1,
        overlap=options.overlap,
        window=options.window,
        uncertainty=options.uncertainty,
        argmax=make_rule(config, options).threshold is None,
        looks="brain" in seen,
        voices=len(scans) > 1 and options.fused(config.fusion).rule != "mean_logits",
        brain=None if brain is None else _model_size(brain),
        brain_flips=len(FLIPS) if options.tta and brain and brain.model.config.flips else 1,
    )


def _model_size(loaded: LoadedModel, stages: int = 1) -> ModelSize:
    second = loaded.model.config.second if loaded.second is not None and stages > 1 else None
    return ModelSize(loaded.model.config, loaded.engine.name, loaded.engine.precision, second)


def _size(scan: Outline) -> ScanSize:
    return ScanSize(scan.grid, scan.stored_bytes, scan.name)


def _text(windows: tuple[int, ...]) -> str:
    return " and ".join(str(window) for window in dict.fromkeys(windows))


def _candidates(demand: Demand, threads: int) -> Iterator[Settings]:
    """Give settings from the fastest and the truest to those that take least."""
    # Releasing costs half a second. What a process holds before the next scan is then the same.
    usual = replace(usual_settings(demand, threads), releases=True)
    for windows in smaller_windows(demand, usual.windows):
        tried = replace(usual, windows=windows)
        yield tried
        tried = replace(tried, kept_bytes=0)
        yield tried
        tried = replace(tried, slab_bytes=SMALLEST_SLAB_BYTES)
        yield tried
        yield replace(tried, threads=1)


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
