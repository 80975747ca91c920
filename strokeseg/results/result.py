"""What a prediction gives: arrays, lesions, volumes, warnings, and how to save them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from strokeseg.arrays import AffineArray, AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import printable
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging
from strokeseg.files.targets import check_outputs
from strokeseg.images.intensity import as_seen
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.measure.lesions import Lesion, label_lesions
from strokeseg.results.anonymous import without_names
from strokeseg.results.case_tables import lesion_table, tissue_table
from strokeseg.results.case_words import CaseWords, file_name
from strokeseg.results.dicom_seg import seg_path
from strokeseg.results.filled import Filled
from strokeseg.results.in_mni import InMni
from strokeseg.results.lesion_parts import LesionParts
from strokeseg.results.other_formats import ENDINGS, other_names, other_writers
from strokeseg.results.output_names import (
    ALL_KINDS,
    DEFAULT_KINDS,
    OutputNames,
    check_kinds,
    check_prefix,
)
from strokeseg.results.picture import Marks, draw, legend
from strokeseg.results.record import Record
from strokeseg.results.sidecars import (
    mask_sidecar,
    mni_sidecar,
    probability_sidecar,
    tissue_sidecar,
    uncertainty_sidecar,
)
from strokeseg.space.grid import Grid
from strokeseg.space.tfm import tfm_text


@dataclass(frozen=True, eq=False, repr=False)
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
    volume_interval_ml : (float, float) or None
        Where the true volume lies in 9 of 10 of the model's validation cases, most of them drawn;
        None for a model that has none, and where it is used otherwise than by its own settings.
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
    transforms : mapping
        Of the scans that were moved onto the reference: its mm to theirs, (4, 4), RAS.
    in_mni, filled, parts : InMni, Filled, LesionParts, or None
        The lesion in MNI152 and the T1w whose lesion was filled, where that was asked for; the
        parts of the lesion, where a second stage tells them.
    truth : (I, J, K) bool array or None
        The true lesion, where it is known: the picture draws it, too.
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
    transforms: Mapping[str, AffineArray] = field(default_factory=dict, repr=False)
    in_mni: InMni | None = field(default=None, repr=False)
    filled: Filled | None = field(default=None, repr=False)
    volume_interval_ml: tuple[float, float] | None = None
    parts: LesionParts | None = field(default=None, repr=False)
    truth: BoolArray | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """Say in five lines what was found, in what, by what, and what to mind."""
        record = self._record()
        shape = " x ".join(map(str, self.grid.shape))
        size = " x ".join(f"{mm:.3g}" for mm in self.grid.voxel_size_mm)
        found = legend(self.volume_ml, len(self.lesions))
        first = next(iter(self.warnings), "none")
        more = f" (and {len(self.warnings) - 1} more)" if len(self.warnings) > 1 else ""
        arrays = ("mask", "probability", "tissue", "entropy", "flip_std")
        lines = (
            f"<strokeseg.Result: {found}",
            f" grid: {shape} voxels of {size} mm, that of {record.reference}",
            f" from: {', '.join(record.inputs)}; by {record.model_names}",
            f" arrays: {', '.join(name for name in arrays if getattr(self, name) is not None)}",
            f" warnings: {first}{more}>",
        )
        return "\n".join(map(printable, lines))

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
        endings: Sequence[str] = (),
    ) -> tuple[Path, ...]:
        """Write the chosen files and the record, all of them or none.

        Parameters
        ----------
        directory
            Where to; made if it is not there.
        prefix
            Start of every name; the reference's name without its suffix if None, or its pseudonym.
        kinds
            From `strokeseg.results.output_names.KINDS`; the record is always written.
        overwrite
            Whether files of an earlier run may be replaced.
        sources
            How the sidecars name the inputs, by modality, such as BIDS URIs; else by their file
            names.
        anonymise
            Whether to leave out what the inputs are called and where they lie; see
            `strokeseg.results.anonymous`.
        framed
            Whether the picture frames what the network saw of the scan.
        endings
            ``.nrrd``, ``.mha``: mask and maps are written as such beside NIfTI, too.

        Returns
        -------
        tuple of Path
            What was written, the record last.

        Raises
        ------
        UsageError
            If the prefix is no name for files, or a kind is not known.
        CannotCreateError
            If a file exists and `overwrite` is false, or the folder cannot be written in.
        ReadWriteError
            If writing fails half-way.
        """
        known = self._record()
        record = without_names(known) if anonymise else known
        words = replace(CaseWords.of(record, self.reference, sources or {}), framed=framed)
        names = OutputNames.for_prefix(Path(directory), check_prefix(prefix or words.prefix))
        chosen = check_kinds(kinds)
        moves = names.transforms(self.transforms, known.reference or "")
        others = other_names(names, chosen, endings)
        targets = [*names.chosen(chosen), *moves.values(), *others]
        check_outputs(targets, self._input_paths(), overwrite=overwrite)
        with Staging(names.directory, last=names.record.name) as staging:
            writers = self._writers(words)
            staged = {}
            for name, path in names.by_field(chosen).items():
                if name in writers:
                    staged[path.name] = staging.path_for(path.name)
                    writers[name](staged[path.name])
            for name, path in moves.items():
                staged[path.name] = staging.path_for(path.name)
                write_text(staged[path.name], tfm_text(self.transforms[name]))
            for called, writer in other_writers(others, self._maps, self.grid).items():
                staged[called] = staging.path_for(called)
                writer(staged[called])
            files = {name: sha256(where) for name, where in staged.items()}
            vouched = replace(record, kinds=tuple(sorted(chosen)), files=files)
            write_json(staging.path_for(names.record.name), vouched.write())
            written = staging.commit()
        if overwrite:
            _remove_stale(names, written)
        return written

    def picture(self, title: str | None = None, *, framed: bool = False) -> bytes:
        """Draw the result over the reference scan, as a PNG; its file name is the usual title.

        With `framed`, a frame shows what the network saw, where that was not the whole scan.
        """
        subtitle = ""
        if self.lesions:
            subtitle = legend(self.volume_ml, len(self.lesions), self.volume_interval_ml)
        clip = partial(as_seen, self._record().reference or "")
        name = title or file_name(self.reference)
        marks = Marks(self.frame if framed else None, self.lesions, self.truth)
        return draw(self.reference.data, self.mask, self.grid, name, subtitle, clip, marks)

    def _input_paths(self) -> list[Path]:
        return [Path(i.path) for i in self._record().inputs.values() if i.path is not None]

    def _record(self) -> Record:
        """Give the record with its type; `record` is for those who look things up by name."""
        return Record.read(self.record)

    def _writers(self, words: CaseWords) -> Mapping[str, Callable[[Path], None]]:
        """Give what writes each file but the record, by the fields of `OutputNames`."""
        record = self._record()
        sources, space = list(words.inputs.values()), words.inputs[record.reference or ""]
        model = record.model_names
        volumes = [self.tissue_volumes_ml[name] for name in self.class_names]
        in_mni = (
            mni_sidecar(make(sources, space, model), record.mni or {})
            for make in (mask_sidecar, probability_sidecar)
        )
        about = uncertainty_sidecar(sources, space, record.flips or 1)
        return {
            "mask": lambda path: write(path, self.mask, self.reference),
            "mask_sidecar": lambda path: write_json(path, mask_sidecar(sources, space, model)),
            "probability": lambda path: write(path, self.probability, self.reference),
            "probability_sidecar": lambda path: write_json(
                path, probability_sidecar(sources, space, model)
            ),
            "tissue": lambda path: write(path, self.tissue, self.reference),
            "tissue_sidecar": lambda path: write_json(path, tissue_sidecar(sources, space, model)),
            "tissue_table": lambda path: write_text(path, tissue_table(self.class_names, volumes)),
            "uncertainty": lambda path: write(path, self._uncertainty(), self.reference),
            "uncertainty_sidecar": lambda path: write_json(path, about),
            "lesions": lambda path: write_text(path, lesion_table(self.lesions)),
            **({} if self.in_mni is None else self.in_mni.writers(*in_mni)),
            **(self.filled.writers(self.reference, sources, space, model) if self.filled else {}),
            **(self.parts.writers(self.reference, sources, space, model) if self.parts else {}),
            "lesion_labels": lambda path: write(path, label_lesions(self.mask), self.reference),
            "qc": lambda path: write_atomically(
                path, [self.picture(words.title, framed=words.framed)]
            ),
        }

    def _maps(self) -> Mapping[str, AnyArray | None]:
        """Give the maps on the reference's own grid, by the fields of `OutputNames`."""
        return {
            "mask": self.mask,
            "probability": self.probability,
            "tissue": self.tissue,
            "parts": None if self.parts is None else self.parts.labels,
            "lesion_labels": label_lesions(self.mask),
            "filled": None if self.filled is None else self.filled.image,
        }

    def _uncertainty(self) -> tuple[FloatArray, FloatArray]:
        """Give entropy and flip deviation."""
        if self.entropy is None or self.flip_std is None:
            raise ValueError("uncertainty was not computed: predict with uncertainty=True")
        return self.entropy, self.flip_std


def _remove_stale(names: OutputNames, written: tuple[Path, ...]) -> None:
    """Remove files of an earlier run of this case that the new one did not replace."""
    others = other_names(names, ALL_KINDS, ENDINGS)
    for path in (*names.chosen(ALL_KINDS), *names.old_transforms(), *others, seg_path(names)):
        if path not in written:
            path.unlink(missing_ok=True)
