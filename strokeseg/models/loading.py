"""A model with its engine, loaded once and kept for many calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from strokeseg.arrays import FloatArray
from strokeseg.engines.base import Engine
from strokeseg.engines.choice import PREFERENCE, open_engine
from strokeseg.engines.footprint import footprint
from strokeseg.errors import UsageError
from strokeseg.models.classes import LESION
from strokeseg.models.finding import load_model_files
from strokeseg.models.folder import Model
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
    if hardware.threads is not None and hardware.threads < 1:
        raise UsageError(f"--threads is {hardware.threads}: give 1 or more")
    model = load_model_files(name, offline=offline, say=say)
    if hardware.max_memory_bytes is not None:
        _check_room(model, hardware.engine, hardware.max_memory_bytes, stages)
    engine = _opened(model.config.spec, model.state, hardware)
    second = None
    if model.config.second is not None and stages > 1:
        second = _opened(model.config.second.spec, model.second_state, hardware)
    return LoadedModel(model, engine, hardware.threads, hardware.max_memory_bytes, second)


def _opened(spec: Spec, state: Mapping[str, FloatArray], hardware: Hardware) -> Engine:
    return open_engine(
        spec,
        state,
        engine=hardware.engine,
        device=hardware.device,
        threads=hardware.threads,
        precision=hardware.precision,
        lean=hardware.max_memory_bytes is not None,
    )


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
    members = tuple(m for m in models if m.model.config.finds == LESION)
    brains = [m for m in models if m.model.config.finds != LESION]
    if not models:
        raise UsageError("no model was given: name one with --model, or leave it out")
    if not members:
        name = brains[0].model.name
        raise UsageError(
            f"{name} finds the brain, not lesions: give it to --brain-model or `strokeseg brain`"
        )
    if len(brains) > 1:
        names = " and ".join(m.model.name for m in brains)
        raise UsageError(f"{names} both find the brain: give --brain-model one of them")
    return Ensemble(members, brains[0] if brains else None)
