"""The record of a case: what went in, what made it, how long it took, what to mind."""

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from strokeseg._version import __version__
from strokeseg.files.checksums import sha256_of_all
from strokeseg.machine import peak_memory_bytes
from strokeseg.models.loading import Ensemble, LoadedModel
from strokeseg.prediction.measures import Measures
from strokeseg.prediction.memory_plan import MemoryPlan
from strokeseg.prediction.options import Options
from strokeseg.prediction.scans import ScanFacts
from strokeseg.results.record import SCHEMA, InputRecord, ModelRecord, Record


def make_record(
    scans: Mapping[str, ScanFacts],
    ensemble: Ensemble,
    options: Options,
    measures: Measures,
    rule: Mapping[str, Any],
    memory: MemoryPlan,
) -> Record:
    """Describe a case; the caller adds the reference, seconds and warnings."""
    return Record(
        schema=SCHEMA,
        strokeseg=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        inputs={name: _describe_input(scan) for name, scan in scans.items()},
        models=tuple(
            _describe_model(loaded, window, options) for loaded, window in _used(ensemble, memory)
        ),
        options=options.as_record(),
        rule=dict(rule),
        flips=measures.flips,
        lesion_volume_ml=measures.volume_ml,
        lesion_volume_range_ml=measures.volume_range_ml,
        lesion_volume_interval_ml=measures.volume_interval_ml,
        lesion_count=len(measures.lesions),
        tissue_volumes_ml=dict(measures.tissue_volumes_ml),
        brain_volume_ml=measures.brain_volume_ml,
        memory=memory.as_record(),
        peak_memory_bytes=peak_memory_bytes(),
    )


def _used(ensemble: Ensemble, memory: MemoryPlan) -> Iterator[tuple[LoadedModel, int]]:
    """Give every model that was used, and its window; the one that finds the brain comes last."""
    yield from zip(ensemble.members, memory.settings.windows, strict=True)
    if ensemble.brain is not None:
        yield ensemble.brain, ensemble.brain.model.config.window


def _describe_input(scan: ScanFacts) -> InputRecord:
    path = scan.path
    return InputRecord(
        path=None if path is None else os.fspath(path),
        sha256=None if path is None or not Path(path).exists() else sha256_of_all(path),
        shape=scan.grid.shape,
        voxel_size_mm=tuple(round(size, 6) for size in scan.grid.voxel_size_mm),
        orientation="".join(scan.grid.axcodes),
        scanner=scan.scanner or None,
    )


def _describe_model(loaded: LoadedModel, window: int, options: Options) -> ModelRecord:
    second = loaded.model.config.second if loaded.second and options.stages > 1 else None
    return ModelRecord(
        name=loaded.model.name,
        revision=loaded.model.revision,
        sha256=loaded.model.sha256,
        engine=loaded.engine.name,
        device=loaded.engine.device,
        precision=loaded.engine.precision,
        window=window,
        finds=loaded.model.config.finds,
        lesion_offsets=dict(loaded.model.config.lesion_offsets) or None,
        second_sha256=None if second is None else second.sha256,
    )
