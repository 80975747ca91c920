"""A model with its engine, loaded once and kept for many calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from strokeseg.arrays import FloatArray
from strokeseg.engines.base import Engine
from strokeseg.engines.choice import PREFERENCE, choose_engine, open_engine
from strokeseg.engines.footprint import footprint
from strokeseg.engines.kept_networks import KeptNetworks
from strokeseg.errors import UsageError
from strokeseg.models.classes import LESION
from strokeseg.models.finding import load_model_files, locate_model
from strokeseg.models.folder import Model
from strokeseg.models.hub.errors import offline_error
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.registry import load_registry
from strokeseg.network.state import Spec


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run.

    `threads` is what the work around the network may use, `max_memory_bytes` what the process may
    hold at once while the model is used. `second` runs the second stage, where the model has one
    and it was not left away.
    """

    model: Model
    engine: Engine
    threads: int | None = None
    max_memory_bytes: int | None = None
    second: Engine | None = None


@dataclass(frozen=True)
class Hardware:
    """Where to run; see `strokeseg.engines.choice.open_engine`.

    Parameters
    ----------
    engine
        auto, openvino, onnxruntime or torch.
    device
        auto, cpu, cuda, cuda:1 or mps.
    precision
        fp32 or bf16.
    threads
        CPU threads; all if None.
    max_memory_bytes
        What the process may hold at once, on a CPU; no limit if None. Windows, slabs and threads
        are chosen so that it holds, or the prediction is refused before it starts.
    """

    engine: str = "auto"
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    max_memory_bytes: int | None = None


def load_model(
    name: str | None = None,
    hardware: Hardware | None = None,
    *,
    offline: bool = False,
    stages: int = 2,
    say: Callable[[str], None] = lambda _: None,
) -> LoadedModel:
    """Load a model and open an engine for it.

    Parameters
    ----------
    name
        Registry name, folder, or ``hub:owner/name[@revision]``; the bundled default if None.
        A model of the Hub that is not in the cache yet is downloaded and checked.
    hardware
        Where to run; by default the best engine that is installed.
    offline
        Never reach for the network.
    stages
        With 1, a second stage is left away.
    say
        Takes a line when a download starts and ends.

    Raises
    ------
    WeightsUnavailableError
        The model is not here and cannot be had.
    ModelFormatError
        Its files are damaged or of another architecture.
    EngineError
        The engine or device is missing.
    UsageError
        The number of threads is not positive, or the limit of memory cannot hold.
    """
    hardware = hardware or Hardware()
    _check_threads(hardware)
    model = load_model_files(name, offline=offline, say=say)
    if hardware.max_memory_bytes is not None:
        _check_room(model, hardware.engine, hardware.max_memory_bytes, stages)
    kept = _kept_networks(model, hardware)
    engine = _opened(model.config.spec, model.state, hardware, kept)
    second = None
    if model.config.second is not None and stages > 1:
        kept = None if kept is None else replace(kept, model=f"second stage of {kept.model}")
        second = _opened(model.config.second.spec, model.second_state, hardware, kept)
    return LoadedModel(model, engine, hardware.threads, hardware.max_memory_bytes, second)


def _opened(
    spec: Spec, state: Mapping[str, FloatArray], hardware: Hardware, kept: KeptNetworks | None
) -> Engine:
    return open_engine(
        spec,
        state,
        engine=hardware.engine,
        device=hardware.device,
        threads=hardware.threads,
        precision=hardware.precision,
        lean=hardware.max_memory_bytes is not None,
        kept=kept,
    )


def _kept_networks(model: Model, hardware: Hardware) -> KeptNetworks | None:
    """Say where compiled networks are kept: nowhere under a limit of memory, which counts none."""
    folder = hub_settings().compiled
    if folder is None or hardware.max_memory_bytes is not None:
        return None
    return KeptNetworks(folder, f"{model.sha256} {model.config!r}")


def models_here(names: Sequence[str | None], *, offline: bool = False) -> list[Model] | None:
    """Read models that are all on this machine; no request is made.

    Returns
    -------
    list of Model or None
        None where one of them would have to be fetched.

    Raises
    ------
    WeightsUnavailableError
        There is no such model, or one would have to be fetched and may not.
    ModelFormatError
        Its files cannot be read or do not fit each other.
    """
    settings, registry = hub_settings(offline=offline), load_registry()
    named = [registry.default if name is None else name for name in names]
    found = [locate_model(name, settings, registry) for name in named]
    for name, one in zip(named, found, strict=True):
        if one is None and settings.offline:
            raise offline_error(name, settings)
    here = [one.read() for one in found if one is not None]
    return here if len(here) == len(found) else None


def check_hardware(models: Sequence[Model], hardware: Hardware, stages: int = 2) -> None:
    """Refuse what `load_model` would refuse of where models shall run; opens no engine.

    Raises
    ------
    EngineError, UsageError
        As `load_model` does.
    """
    _check_threads(hardware)
    if hardware.max_memory_bytes is not None:
        for model in models:
            _check_room(model, hardware.engine, hardware.max_memory_bytes, stages)
    choose_engine(hardware.engine, hardware.device, hardware.threads, hardware.precision)


def _check_threads(hardware: Hardware) -> None:
    if hardware.threads is not None and hardware.threads < 1:
        raise UsageError(f"--threads is {hardware.threads}: give 1 or more")


def _check_room(model: Model, engine: str, limit_bytes: int, stages: int) -> None:
    """Refuse a limit that opening the model would break, before it does."""
    name = PREFERENCE["cpu"][0] if engine == "auto" else engine
    if name not in PREFERENCE["cpu"]:
        return  # what opens it says that there is no such engine
    taken = footprint(name, model.config.spec)
    alone = taken.library + taken.opening
    if model.config.second is not None and stages > 1:
        alone = max(
            alone, taken.library + taken.opened + footprint(name, model.config.second.spec).opening
        )
    if alone > limit_bytes:
        raise UsageError(
            f"--max-memory is {limit_bytes / 1e9:.2f} GB, and to open the model alone takes "
            f"{alone / 1e9:.2f} GB: allow more"
        )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Models that work on one case.

    Attributes
    ----------
    members
        Those that find lesions, in the order in which they were named.
    brain
        The one that finds the brain for them, if there is one.
    """

    members: tuple[LoadedModel, ...]
    brain: LoadedModel | None = None

    @property
    def leader(self) -> LoadedModel:
        """The member whose classes, rule and fusion hold: the first that knows tissues, if any."""
        knowing = (m for m in self.members if m.model.config.spec.out_channels > 2)
        return next(knowing, self.members[0])

    def tells_classes(self, number: int) -> bool:
        """Tell whether a member speaks for every class; else it speaks for the lesion alone."""
        config = self.members[number].model.config
        return config.class_names == self.leader.model.config.class_names


def ensemble_of(models: Sequence[LoadedModel]) -> Ensemble:
    """Tell models that find lesions from the one that finds the brain.

    Raises
    ------
    UsageError
        None of them finds lesions, or several find the brain.
    """
    check_roles([loaded.model for loaded in models])
    members = tuple(m for m in models if m.model.config.finds == LESION)
    brains = [m for m in models if m.model.config.finds != LESION]
    return Ensemble(members, brains[0] if brains else None)


def check_roles(models: Sequence[Model]) -> None:
    """Refuse models that make no `Ensemble`.

    Raises
    ------
    UsageError
        None of them finds lesions, or several find the brain.
    """
    brains = [model.name for model in models if model.config.finds != LESION]
    if not models:
        raise UsageError("no model was given: name one with --model, or leave it out")
    if len(brains) == len(models):
        raise UsageError(
            f"{brains[0]} finds the brain, not lesions: give it to --brain-model or `strokeseg "
            "brain`"
        )
    if len(brains) > 1:
        raise UsageError(
            f"{' and '.join(brains)} both find the brain: give --brain-model one of them"
        )
