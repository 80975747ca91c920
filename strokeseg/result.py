"""What a prediction gives: arrays, lesions, volumes, warnings, and how to save them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from strokeseg.anonymous import pseudonym, without_names
from strokeseg.arrays import BoolArray, FloatArray, LabelArray
from strokeseg.atomic import write_atomically
from strokeseg.grid import Grid
from strokeseg.hashing import sha256
from strokeseg.intensity import clip_hounsfield
from strokeseg.lesions import Lesion
from strokeseg.outputs import (
    DEFAULT_KINDS,
    KINDS,
    UNNAMED_PREFIX,
    OutputNames,
    check_outputs,
    check_prefix,
    lesion_table,
    mask_sidecar,
    prefix_of,
    probability_sidecar,
    tissue_sidecar,
    tissue_table,
    uncertainty_sidecar,
)
from strokeseg.report.picture import draw, legend
from strokeseg.staging import Staging, write_json, write_text
from strokeseg.volume import Volume, write


@dataclass(frozen=True, eq=False)
class Result:
    """A segmented case, everything on the reference's own grid.

    Parameters
    ----------
    mask : (I, J, K) bool array
        The lesion.
    probability : (I, J, K) float32 array
        Of the lesion, not masked by the brain.
    tissue : (I, J, K) uint8 array
        Index into `class_names`; the lesion where `mask` is.
    entropy, flip_std : (I, J, K) float32 arrays or None
        Uncertainty, where it was asked for: entropy of the posterior (nat), and standard deviation
        of the lesion probability over the flips.
    grid : Grid
        Of all of them.
    class_names : tuple of str
        The model's classes, the lesion last.
    lesions : tuple of Lesion
        The largest first.
    volume_ml : float
        Of the lesion.
    volume_range_ml : (float, float)
        Least and largest volume that one flip alone would give; the volume twice without flips.
    tissue_volumes_ml : mapping
        Volume by class name.
    brain_volume_ml : float or None
        Of the model's own brain; None for a model without tissues.
    warnings : tuple of str
        One line each.
    record : mapping
        How it was made: inputs, models, engine, options, seconds, memory.
    reference : Volume
        The scan whose grid this is.
    frame : Grid or None
        What the network saw of it, where it was cut to its brain.
    """

    mask: BoolArray
    probability: FloatArray
    tissue: LabelArray
    entropy: FloatArray | None
    flip_std: FloatArray | None
    grid: Grid
    class_names: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    volume_ml: float
    volume_range_ml: tuple[float, float]
    tissue_volumes_ml: Mapping[str, float]
    brain_volume_ml: float | None
    warnings: tuple[str, ...]
    record: Mapping[str, Any] = field(repr=False)
    reference: Volume = field(repr=False)
    frame: Grid | None = field(default=None, repr=False)

    def save(
        self,
        directory: str | Path,
        *,
        prefix: str | None = None,
        kinds: Iterable[str] = DEFAULT_KINDS,
        overwrite: bool = False,
        sources: Mapping[str, str] | None = None,
        anonymise: bool = False,
        framed: bool = False,
    ) -> tuple[Path, ...]:
        """Write the chosen files and the record, all of them or none.

        Parameters
        ----------
        directory
            Where to; made if it is not there.
        prefix
            Start of every name; the reference's name without its suffix if None, or its pseudonym.
        kinds
            From `strokeseg.outputs.KINDS`; the record is always written.
        overwrite
            Whether files of an earlier run may be replaced.
        sources
            How the sidecars name the inputs, by modality, such as BIDS URIs; else by their file
            names.
        anonymise
            Whether to leave out what the inputs are called and where they lie; see
            `strokeseg.anonymous`.
        framed
            Whether the picture frames what the network saw of the scan.

        Returns
        -------
        tuple of Path
            What was written, the record last.

        Raises
        ------
        UsageError
            If the prefix is no name for files.
        CannotCreateError
            If a file exists and `overwrite` is false, or the folder cannot be written in.
        ReadWriteError
            If writing fails half-way.
        """
        record = without_names(self.record) if anonymise else dict(self.record)
        words = replace(_Words.of(record, self.reference, sources or {}), framed=framed)
        names = OutputNames.for_prefix(Path(directory), check_prefix(prefix or words.prefix))
        chosen = frozenset(kinds)
        check_outputs(names.chosen(chosen), self._input_paths(), overwrite=overwrite)
        with Staging(names.directory, last=names.record.name) as staging:
            *files, _ = names.chosen(chosen)
            staged = {path.name: staging.path_for(path.name) for path in files}
            for path in files:
                self._write(path, staged[path.name], names, words)
            vouched = {
                "kinds": sorted(chosen),
                "files": {name: sha256(where) for name, where in staged.items()},
            }
            write_json(staging.path_for(names.record.name), {**record, **vouched})
            written = staging.commit()
        if overwrite:
            _remove_stale(names, written)
        return written

    def picture(self, title: str | None = None, *, framed: bool = False) -> bytes:
        """Draw the result over the reference scan, as a PNG; its file name is the usual title.

        With `framed`, a frame shows what the network saw, where that was not the whole scan.
        """
        low, high = self.volume_range_ml
        subtitle = ""
        if self.lesions:
            spread = f" (single flips: {low:.1f} to {high:.1f} ml)" if high > low else ""
            subtitle = legend(self.volume_ml, len(self.lesions)) + spread
        clip = clip_hounsfield if self.record["reference"] == "ct" else None
        name = title or _file_name(self.reference)
        frame = self.frame if framed else None
        return draw(self.reference.data, self.mask, self.grid, name, subtitle, clip, frame)

    def _input_paths(self) -> list[Path]:
        return [Path(i["path"]) for i in self.record["inputs"].values() if i["path"] is not None]

    def _write(self, final: Path, where: Path, names: OutputNames, words: "_Words") -> None:
        """Write the file called `final`, but the record, to `where`."""
        sources, space = list(words.inputs.values()), words.inputs[self.record["reference"]]
        model = " + ".join(m["name"] for m in self.record["models"])
        if final == names.mask:
            write(where, self.mask, self.reference)
        elif final == names.mask_sidecar:
            write_json(where, mask_sidecar(sources, space, model))
        elif final == names.probability:
            write(where, self.probability, self.reference)
        elif final == names.probability_sidecar:
            write_json(where, probability_sidecar(sources, space, model))
        elif final == names.tissue:
            write(where, self.tissue, self.reference)
        elif final == names.tissue_sidecar:
            write_json(where, tissue_sidecar(sources, space, model))
        elif final == names.tissue_table:
            volumes = [self.tissue_volumes_ml[name] for name in self.class_names]
            write_text(where, tissue_table(self.class_names, volumes))
        elif final == names.uncertainty:
            write(where, self._uncertainty(), self.reference)
        elif final == names.uncertainty_sidecar:
            write_json(where, uncertainty_sidecar(sources, space, self.record["flips"]))
        elif final == names.lesions:
            write_text(where, lesion_table(self.lesions))
        else:
            write_atomically(where, [self.picture(words.title, framed=words.framed)])

    def _uncertainty(self) -> tuple[FloatArray, FloatArray]:
        """Give entropy and flip deviation."""
        if self.entropy is None or self.flip_std is None:
            raise ValueError("uncertainty was not computed: predict with uncertainty=True")
        return self.entropy, self.flip_std


@dataclass(frozen=True)
class _Words:
    """What files say of a case: how sidecars name its inputs, the picture's title, the prefix.

    Sidecars name files without their folders: they go where their images go.
    """

    inputs: Mapping[str, str]
    title: str
    prefix: str
    framed: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any], reference: Volume, given: Mapping[str, str]) -> Self:
        """Choose the words for a record; one without names gets none."""
        inputs = record["inputs"]
        if record.get("anonymised"):
            path = reference.path
            name = pseudonym(path if path is not None and path.exists() else None)
            return cls({modality: modality for modality in inputs}, name, name)
        called = {
            modality: given.get(modality) or (Path(i["path"]).name if i["path"] else "array")
            for modality, i in inputs.items()
        }
        return cls(called, _file_name(reference), prefix_of(reference.path))


def _file_name(reference: Volume) -> str:
    return reference.path.name if reference.path else UNNAMED_PREFIX


def _remove_stale(names: OutputNames, written: tuple[Path, ...]) -> None:
    """Remove files of an earlier run of this case that the new one did not replace."""
    for path in names.chosen(KINDS):
        if path not in written:
            path.unlink(missing_ok=True)
