"""Check the models that are on this machine, without a request."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from strokeseg.errors import EngineError, StrokesegError, WeightsUnavailableError
from strokeseg.models.finding import FoundModel, locate_model
from strokeseg.models.golden import GoldenResult, check_golden, check_second_golden
from strokeseg.models.hub_settings import HubSettings
from strokeseg.models.registry import Registry
from strokeseg.models.store import imported_models
from strokeseg.models.tensors import WEIGHTS_FILE

if TYPE_CHECKING:
    from strokeseg.engines.base import Engine
    from strokeseg.models.folder import Model


@dataclass(frozen=True)
class Verdict:
    """What a check of one model found.

    Attributes
    ----------
    name, folder
        The model.
    sha256
        Of its weights; empty where they could not be read.
    checksum_known
        Whether there was an expected sha256 to compare with.
    engine
        The engine that ran it, or None.
    golden
        How it did, or None where no engine ran or the model has no record.
    error
        What is wrong, or None.
    """

    name: str
    folder: Path
    sha256: str = ""
    checksum_known: bool = False
    engine: str | None = None
    golden: GoldenResult | None = None
    error: StrokesegError | None = None


def models_here(settings: HubSettings, registry: Registry) -> list[FoundModel]:
    """List the models of the registry and of the store that are on this machine."""
    imported = [manifest.name for manifest in imported_models(settings)]
    found = []
    for name in dict.fromkeys([*registry.entries, *imported]):
        entry = registry.entries.get(name)
        if entry is not None and entry.folder is not None and not entry.folder.is_dir():
            continue
        found.append(locate_model(name, settings, registry))
    return [model for model in found if model is not None]


def verify_model(
    found: FoundModel, *, engine: str = "auto", device: str = "auto", run: bool = True
) -> Verdict:
    """Check one model's files, and run it on its golden input where it has one.

    Parameters
    ----------
    found
        The model.
    engine, device
        As `strokeseg.engines.choice.open_engine` takes them.
    run
        False to check the files alone.

    Returns
    -------
    Verdict
        With the error in it where something is wrong.
    """
    known = WEIGHTS_FILE in found.checksums
    try:
        model = found.read()
    except StrokesegError as error:
        return Verdict(found.name, found.folder, checksum_known=known, error=error)
    if not run:
        return Verdict(found.name, found.folder, model.sha256, known)
    try:
        runner = _open(model, engine, device)
        golden = check_networks(model, runner)
    except StrokesegError as error:
        return Verdict(found.name, found.folder, model.sha256, known, error=error)
    label = f"{runner.name} on {runner.device} in {runner.precision}"
    return Verdict(
        found.name, found.folder, model.sha256, known, label, golden, _judge(found, label, golden)
    )


def check_networks(model: "Model", runner: "Engine") -> GoldenResult | None:
    """Run a model's networks on their golden inputs; give the worse result.

    The networks of an ensemble are run together: the record is of the mean of their logits. A
    second stage has a record of its own, and is opened on the engine and device of the first.

    Parameters
    ----------
    model
        Its folder may hold a golden record.
    runner
        Opened on the model's network, of two stages on that of the first.

    Returns
    -------
    GoldenResult or None
        None where the model has no record.

    Raises
    ------
    ModelFormatError, EngineError
        As `strokeseg.models.golden.check_golden` does.
    """
    return _worse(check_golden(model, runner), _check_second(model, runner))


def _check_second(model: "Model", first: "Engine") -> GoldenResult | None:
    """Run a second stage on its golden input, where the model has both."""
    from strokeseg.engines.choice import open_engine

    second = model.config.second
    if second is None:
        return None
    runner = open_engine(second.spec, model.second_state, engine=first.name, device=first.device)
    found = check_second_golden(model, runner)
    return None if found is None else replace(found, worst=f"{found.worst} of its second stage")


def _worse(first: GoldenResult | None, second: GoldenResult | None) -> GoldenResult | None:
    """Give the result that says more against an engine."""
    if first is None or second is None:
        return first or second
    return max(first, second, key=lambda found: (not found.passed, found.worst_difference))


def _open(model: "Model", engine: str, device: str) -> "Engine":
    from strokeseg.engines.choice import open_engine

    return open_engine(
        model.config.spec,
        model.state,
        engine=engine,
        device=device,
        threads=None,
        precision="fp32",
    )


def _judge(found: FoundModel, engine: str, golden: GoldenResult | None) -> EngineError | None:
    if golden is None or golden.passed:
        return None
    return EngineError(
        f"{found.name}: {engine} differs from the golden record in {golden.worst} by "
        f"{golden.worst_difference:.2g} of the largest logit (tolerance {golden.tolerance:g}); "
        "try another --engine"
    )


def summary_error(verdicts: list[Verdict]) -> StrokesegError | None:
    """Give the error that a whole check ends with, or None where all is well."""
    failed = [verdict for verdict in verdicts if verdict.error is not None]
    if len(failed) <= 1:
        return failed[0].error if failed else None
    names = ", ".join(verdict.name for verdict in failed)
    return WeightsUnavailableError(f"{len(failed)} models failed the check: {names}; see above")
