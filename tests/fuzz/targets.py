"""What is fuzzed: a kind of file, how it is damaged, and the code that reads it."""

import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
from nibabel.freesurfer.mghformat import header_dtype as mgh_dtype
from nibabel.nifti1 import header_dtype as nifti1_dtype
from nibabel.nifti2 import header_dtype as nifti2_dtype

from strokeseg.cohort.cases.find import find_cases
from strokeseg.engines.windows import plan_windows
from strokeseg.errors import DataError, StrokesegError
from strokeseg.evaluation.truths import read_truths
from strokeseg.images.intensity import Normalisation, normalise
from strokeseg.images.reading import read_map, read_scan
from strokeseg.images.writing import write
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import read_config as read_model_config
from strokeseg.models.folder import read_model_folder
from strokeseg.models.golden import check_golden
from strokeseg.models.registry import load_registry
from strokeseg.models.tensors import read_header, read_tensors
from strokeseg.network.blueprint import parameter_shapes
from strokeseg.results.archive import find_filed_cases
from strokeseg.space.grid import working_grid
from strokeseg.training.ablation import read_variants
from strokeseg.training.config import read_config
from strokeseg.training.data.contrast_table import read_sequences
from strokeseg.training.data.inputs import label_map_paths, pair_paths, soft_map_paths
from strokeseg.training.data.label_table import read_table
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutation
from tests.fuzz.seeds import corpus, mix, seeds, tiny_model

_HEADER_BYTES = 348
_PIECE = 1 << 20
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes
    ----------
    name
        What it is called on the command line.
    mutate
        Damages a file of this kind.
    run
        Writes the input into a folder and reads it; what it raises is judged by the trial.
    honest_bytes
        How much an input really holds once it is unpacked, no more than its header asks for.
    factor
        How many times that much may be allocated, beyond 8 MiB.
    """

    name: str
    mutate: Mutation
    run: Callable[[bytes, Path], None]
    honest_bytes: Callable[[bytes], int] = len
    factor: int = 16

    def allowed_bytes(self, data: bytes) -> int:
        """Give the most memory that reading an input may take."""
        return 8 * _MEBIBYTE + self.factor * self.honest_bytes(data)


def _check_volume(path: Path, data: bytes) -> None:
    """Read a scan; one in four is held to its promises: it can be worked with and saved."""
    volume = read_scan(path)
    assert volume.data.shape == volume.grid.shape
    assert volume.data.dtype == np.float32
    assert np.isfinite(volume.data).all()
    if zlib.crc32(data) % 4:
        return
    working = working_grid(volume.grid, 1.0)
    assert max(working.shape) < 4000, f"a working grid of {working.shape} voxels"
    for how in get_args(Normalisation):
        assert np.isfinite(normalise(volume.data, how)).all(), f"{how} gives no numbers"
    out = path.with_name("out.nii")
    write(out, volume.data > volume.data.mean(), like=volume)
    again = read_map(out)
    codes = (volume.header.qform_code, volume.header.sform_code)
    assert (again.header.qform_code, again.header.sform_code) == codes
    assert again.grid.same_as(volume.grid), "the saved mask lies elsewhere"


def _run_volume(name: str) -> Callable[[bytes, Path], None]:
    def run(data: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(data)
        _check_volume(path, data)

    return run


def _run_pair(data: bytes, folder: Path) -> None:
    (folder / "scan.hdr").write_bytes(data[:_HEADER_BYTES])
    (folder / "scan.img").write_bytes(data[_HEADER_BYTES:])
    _check_volume(folder / ("scan.hdr" if len(data) % 2 else "scan.img"), data)


def _run_mgh(data: bytes, folder: Path) -> None:
    """Read it plain, or packed."""
    packed = zlib.crc32(data) % 8 < 4
    path = folder / ("scan.mgz" if packed else "scan.mgh")
    path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
    _check_volume(path, data)


def _model_folder(folder: Path, **changed: bytes) -> Path:
    """Lay a model into a folder, with the changed file; what is there of the last trial stays."""
    for name, content in changed.items():
        (folder / name).write_bytes(content)
    for name, content in tiny_model().items():
        if not (folder / name).exists():
            (folder / name).write_bytes(content)
    return folder


def _run_config(data: bytes, folder: Path) -> None:
    _model_folder(folder, **{"config.json": data})
    config = ModelConfig.from_config(read_model_config(folder))
    parameter_shapes(config.spec)
    plan = plan_windows((160, 192, 160), config.window, 0.5, config.spec.stride_product)
    assert max(plan.window) <= 2048, f"a window of {plan.window} voxels"
    assert len(plan.starts) < 200_000
    read_model_folder(folder, name="tiny")


def _run_tensors(data: bytes, folder: Path) -> None:
    _model_folder(folder, **{"model.safetensors": data})
    path = folder / "model.safetensors"
    entries = read_header(path)
    tensors = read_tensors(path)
    assert {name: entry.shape for name, entry in entries.items()} == {
        name: tensor.shape for name, tensor in tensors.items()
    }
    read_model_folder(folder, name="tiny")


def _run_golden(data: bytes, folder: Path) -> None:
    _model_folder(folder, **{"golden.json": data})
    model = read_model_folder(folder, name="tiny")
    check_golden(model, SimpleNamespace(logits=mix, precision="fp32"))


def _run_registry(data: bytes, folder: Path) -> None:
    path = folder / "registry.toml"
    path.write_bytes(data)
    registry = load_registry(path)
    for entry in registry.entries.values():
        texts = (entry.name, entry.summary, entry.licence, entry.citation, entry.note)
        assert all(isinstance(text, str) for text in (*texts, *entry.classes))
        optional = (entry.repository, entry.revision, *entry.checksums.values())
        assert all(isinstance(text, str | None) for text in optional)
        assert entry.size_bytes is None or type(entry.size_bytes) is int
        assert entry.folder is None or entry.folder.parent == folder


def _run_training_config(data: bytes, folder: Path) -> None:
    path = folder / "training.toml"
    path.write_bytes(data)
    read_config(path)


def _run_ablation(data: bytes, folder: Path) -> None:
    path = folder / "ablation.toml"
    path.write_bytes(data)
    read_variants(path)


def _run_label_table(data: bytes, folder: Path) -> None:
    path = folder / "labels.toml"
    path.write_bytes(data)
    table = read_table(path)
    assert len(table.class_names) == len(table.tissue_of_class) <= 255
    assert all(type(label) is int for label in table.class_of_label)


def _run_contrasts(data: bytes, folder: Path) -> None:
    path = folder / "contrasts.toml"
    path.write_bytes(data)
    names = ("background", "gm", "wm", "border")
    for sequence in read_sequences(names, path):
        values = [sequence.share, *(x for r in sequence.ranges for x in r)]
        values += [x for s in sequence.stages for x in (s.share, *s.core, *s.rim)]
        assert np.isfinite(values).all()


def _run_tables(data: bytes, folder: Path) -> None:
    """Read one table as each of the three kinds; the first kind's refusal is the trial's."""
    path = folder / "table.tsv"
    path.write_bytes(data)
    refusals = []
    for reader in (label_map_paths, pair_paths, soft_map_paths):
        try:
            reader(str(path))
        except StrokesegError as error:
            refusals.append(error)
    if len(refusals) == 3:
        raise refusals[0]


def _held_bytes(data: bytes) -> int:
    """Count what a gzip file holds, up to what its NIfTI header asks for."""
    content = mutations.unpacked(data, 1 << 26)
    if len(content) < _HEADER_BYTES:
        return len(content)
    order = ">" if content[0] == 0 else "<"
    header = np.frombuffer(content[:_HEADER_BYTES], nifti1_dtype.newbyteorder(order))[0]
    wanted = 1
    for size in header["dim"][1:8]:
        wanted *= max(1, int(size))
    return min(len(content), 352 + 32 * wanted)


def _run_cohort(data: bytes, folder: Path) -> None:
    """Find the cases of a table; some of the files that its seeds name are there."""
    for name in ("a.nii.gz", "b.nii.gz", "c.nii"):
        (folder / name).touch()
    path = folder / "cohort.tsv"
    path.write_bytes(data)
    for case in find_cases(path).cases:
        places = (case.folder, case.prefix or case.name)
        assert not any(".." in Path(place).parts or place.startswith("/") for place in places)


def _run_truths(data: bytes, folder: Path) -> None:
    path = folder / "truths.tsv"
    path.write_bytes(data)
    read_truths(path)


def _run_record(data: bytes, folder: Path) -> None:
    """Find a case by a record, and by an error file of the same content.

    A damaged one does not end the search: it is a case that says what is wrong with it.
    """
    for name in ("sub-01_strokeseg.json", "sub-02_error.json"):
        (folder / name).write_bytes(data)
    cases = list(find_filed_cases(folder))
    assert all(isinstance(case.name, str) for case in cases)
    if damages := [case.damage for case in cases if case.damage]:
        raise DataError("; ".join(damages))


def _golden_bytes(data: bytes) -> int:
    """Count the record and, by the factor, a patch of 64^3 voxels with its logits."""
    return len(data) + 100_000


_NIFTI1 = mutations.change_header(nifti1_dtype)
TARGETS = {
    target.name: target
    for target in (
        Target("nifti1", _NIFTI1, _run_volume("scan.nii")),
        Target("nifti2", mutations.change_header(nifti2_dtype), _run_volume("scan.nii")),
        Target("analyze", _NIFTI1, _run_pair),
        Target("mgh", mutations.change_header(mgh_dtype), _run_mgh),
        Target("gzip", mutations.change_packed(_NIFTI1), _run_volume("scan.nii.gz"), _held_bytes),
        Target("config", mutations.change_json, _run_config, factor=256),
        Target("safetensors", mutations.change_safetensors, _run_tensors, factor=256),
        Target("golden", mutations.change_json, _run_golden, _golden_bytes, factor=256),
        Target("registry", mutations.change_toml, _run_registry, factor=256),
        Target("training-config", mutations.change_toml, _run_training_config, factor=256),
        Target("ablation", mutations.change_toml, _run_ablation, factor=256),
        Target("label-table", mutations.change_toml, _run_label_table, factor=256),
        Target("contrast-table", mutations.change_toml, _run_contrasts, factor=256),
        Target("cohort-table", mutations.change_table, _run_cohort, factor=256),
        Target("truth-table", mutations.change_table, _run_truths, factor=256),
        Target("record", mutations.change_json, _run_record, factor=256),
        Target("training-table", mutations.change_table, _run_tables, factor=256),
    )
}


def mutated(rng: random.Random, target: Target) -> bytes:
    """Take a seed, or any file of the corpus, and damage it, once or a few times over."""
    data = rng.choice(rng.choice((seeds, corpus))(target.name))
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = target.mutate(rng, data)
    return data
