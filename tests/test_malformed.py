"""Malformed files end in a result or in one of our errors, soon, and in as little memory as theirs.

`tests.fuzz` tries ten thousand inputs and more for each reader; here are the faults that were found
so, a few hundred new inputs per reader, and the inputs that have ever crashed one.
"""

import gzip
import json
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from strokeseg.errors import DataError, ModelFormatError, StrokesegError, UsageError
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import read_model_folder
from strokeseg.models.golden import check_golden
from strokeseg.models.registry import load_registry
from strokeseg.models.tensors import read_tensors
from strokeseg.network import NetworkSpec
from strokeseg.volume import read, write
from tests.factories import KINDS, scan_file, scan_image
from tests.fuzz import __main__ as fuzz
from tests.fuzz import trial as trials
from tests.fuzz.seeds import corpus, mix, seeds
from tests.fuzz.strategies import STRATEGIES
from tests.fuzz.tally import FOUND
from tests.fuzz.targets import TARGETS, Target, mutated
from tests.fuzz.trial import attempt, measured
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files, write_registry

ROOT = Path(__file__).resolve().parents[1]
MUTATIONS = 100
EXAMPLES = 40
MEGABYTE = 1_000_000


# --- every reader, many inputs ---


def test_every_target_has_a_name_on_the_command_line_seeds_and_a_strategy():
    assert set(fuzz.TARGETS) == set(TARGETS) == set(STRATEGIES)
    assert all(seeds(name) for name in TARGETS)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.bin")), ids=lambda path: path.stem)
def test_what_once_crashed_is_read_or_refused(path, tmp_path):
    target = TARGETS[path.stem.rpartition("-")[0]]
    with measured():
        trial = attempt(target, path.read_bytes(), tmp_path)
    assert trial.fault is None


@pytest.mark.parametrize("name", TARGETS)
def test_the_seed_corpus_and_its_mutations_are_read_or_refused(name, tmp_path):
    rng = Random(11)
    inputs = [*corpus(name), *(mutated(rng, TARGETS[name]) for _ in range(MUTATIONS))]
    with measured():
        found = [attempt(TARGETS[name], data, tmp_path) for data in inputs]
    assert [trial.fault for trial in found if trial.fault] == []
    outcomes = {trial.outcome for trial in found}
    assert "result" in outcomes, "the inputs must get through sometimes"
    assert len(outcomes) > 1, "and be refused sometimes"


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_hypothesis_makes_are_read_or_refused(name, tmp_path):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[name])
    def probe(data):
        trial = attempt(TARGETS[name], data, tmp_path)
        assert trial.fault is None, trial.fault

    with measured():
        probe()


def test_atheris_guides_by_coverage_where_it_is_installed():
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python or system")
    report = fuzz.run("registry", "atheris", 60, 1)
    assert report["faults"] == {}
    assert report["tried"] == 60


def test_the_script_prints_what_it_tried_and_fails_if_something_crashed(capsys, monkeypatch):
    assert fuzz.main(["registry", "--runs", "20", "--engine", "mutate"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"registry +mutate +\d+ +\d+", printed)
    assert "refused by ModelFormatError" in printed
    crash = {"count": 1, "says": "ValueError: x", "input": "registry-0.bin"}
    report = {"target": "registry", "engine": "mutate", "tried": 1, "distinct": 1, "results": 0}
    report |= {"refusals": {}, "faults": {"here": crash}, "slowest_s": 0, "peak_bytes": 0}
    monkeypatch.setattr(fuzz, "run", lambda *_, **__: report | {"seconds": 1})
    assert fuzz.main(["registry"]) == 1
    assert "CRASH 1 x here: ValueError: x [registry-0.bin]" in capsys.readouterr().out


# --- the judge itself can say no ---


def fails_with(error):
    def run(_data, _folder):
        raise error

    return run


def hangs(_data, _folder):
    time.sleep(5)


def hoards(_data, _folder):
    assert len(bytes(20 * MEGABYTE)) > 0


def warns(_data, _folder):
    np.float32(3e38) * np.float32(10)


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (fails_with(ValueError("x")), "ValueError: x"),
        (fails_with(RecursionError("deep")), "RecursionError"),
        (fails_with(StrokesegError("a fault of ours")), "blames strokeseg itself"),
        (fails_with(DataError("")), "is not one printable line"),
        (hangs, "Hang: no answer"),
        (hoards, "takes 20"),
        (warns, "RuntimeWarning: overflow"),
    ],
)
def test_what_is_not_allowed_is_a_fault(run, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "LONGEST_S", 0.2)
    with measured():
        trial = attempt(Target("any", lambda _, data: data, run), b"", tmp_path)
    assert fault in trial.fault


def test_a_process_that_dies_leaves_its_input(tmp_path, monkeypatch):
    def dies(command, **_):
        (Path(command[-1]) / "current.bin").write_bytes(b"deadly")
        return subprocess.CompletedProcess(command, -11, "", "Segmentation fault")

    monkeypatch.setattr(fuzz.subprocess, "run", dies)
    report = fuzz.run("mgh", "mutate", 10, 1, found=tmp_path)
    assert "ended with -11: Segmentation fault" in report["faults"]["process"]["says"]
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"deadly"
    assert kept.name == report["faults"]["process"]["input"]


# --- images: as much memory as they are, and no more ---


def header_of(content, **fields):
    """A NIfTI-1 or -2 file with some header fields changed."""
    kind = nib.Nifti2Header if content[0] == 28 else nib.Nifti1Header
    size = kind.template_dtype.itemsize
    header = kind(content[:size], check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + content[size:]


def nifti1(**fields):
    return header_of(seeds("nifti1")[0], **fields)


def nifti2(**fields):
    return header_of(seeds("nifti2")[0], **fields)


def refused(path, content):
    """The message and the peak memory of a refusal."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read(path)
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# 2080^3 voxels of 2 bytes.
EIGHTEEN_GB = {
    "dim": (3, 2080, 2080, 2080, 1, 1, 1, 1),
    "pixdim": (1, 0.4, 0.4, 0.4, 0, 0, 0, 0),
    "sform_code": 0,
}


def named_gzip(content):
    """A gzip file that stores its content as it is, under the name ``a``."""
    packer = zlib.compressobj(0, zlib.DEFLATED, -15)
    body = packer.compress(content) + packer.flush()
    end = struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\x08" + bytes(4) + b"\0\xff" + b"a\0" + body + end


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_377_bytes_that_asks_for_18_gb_is_refused(tmp_path, packed, monkeypatch):
    content = nifti1(**EIGHTEEN_GB)
    content = named_gzip(content[:352]) if packed else content[:377]
    assert len(content) == 377
    monkeypatch.setattr("strokeseg.volume.checks.available_memory_bytes", lambda: None)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    message, peak = refused(path, content)
    assert "claims 8998912000 voxels (17997824352 bytes), the file holds 377 bytes" in message
    assert peak < MEGABYTE


def test_such_a_file_is_refused_where_a_process_may_take_little(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(named_gzip(nifti1(**EIGHTEEN_GB)[:352]))
    program = (
        "import resource, sys, strokeseg.volume as v\n"
        "from strokeseg.errors import DataError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 64 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    v.read(sys.argv[1])\nexcept DataError:\n    print('refused')\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert child.stdout == "refused\n"


def test_a_gzip_trailer_that_lies_costs_what_the_file_holds(tmp_path):
    """Header and trailer claim 500 MB; the stream unpacks to 4 MB, well packed."""
    content = nifti1(
        dim=(3, 630, 630, 630, 1, 1, 1, 1), pixdim=(1, 1.5, 1.5, 1.5, 0, 0, 0, 0), sform_code=0
    )
    noise = np.random.default_rng(0).integers(0, 256, 600_000).astype(np.uint8).tobytes()
    packed = bytearray(gzip.compress(content[:352] + noise + bytes(4 * MEGABYTE), 9))
    packed[-4:] = (352 + 2 * 630**3).to_bytes(4, "little")
    message, peak = refused(tmp_path / "a.nii.gz", bytes(packed))
    assert "cut short" in message
    assert peak < 25 * MEGABYTE


def test_voxels_cannot_be_said_to_start_gigabytes_later(tmp_path):
    """What would have to be unpacked before the first voxel is a bomb too."""
    for content in (nifti1(vox_offset=1e10), nifti2(vox_offset=10**10)):
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match="voxels start at byte 1e\\+10"):
            read(path)


def test_the_first_voxel_is_never_in_the_header(tmp_path):
    """Whatever the header says of its own length."""
    path = tmp_path / "a.nii"
    path.write_bytes(nifti1(sizeof_hdr=-2000, vox_offset=-352))
    with pytest.raises(DataError, match="voxels start at byte -352"):
        read(path)


@pytest.mark.parametrize("name", ["qform_code", "sform_code"])
@pytest.mark.parametrize(("make", "code"), [(nifti1, -1), (nifti2, -2), (nifti2, 70_000)])
def test_codes_that_no_header_has_are_refused(tmp_path, name, make, code):
    """The mask is NIfTI-1, whose codes are shorter; and readers take negative ones as they like."""
    path = tmp_path / "a.nii"
    path.write_bytes(make(**{name: code}))
    with pytest.raises(DataError, match=f"have the codes.*{code}"):
        read(path)


@pytest.mark.parametrize("value", [2e4, -1e30])
def test_a_scan_that_lies_far_from_any_scanner_is_refused(tmp_path, value):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti2(srow_x=(5, 0, 0, value)))
    with pytest.raises(DataError, match=r"it has an entry of .* mm, over 10000 mm"):
        read(path)


def test_a_few_voxels_cannot_claim_a_metre(tmp_path):
    """A kilobyte whose working grid would take gigabytes."""
    path = tmp_path / "a.nii"
    path.write_bytes(nifti1(pixdim=(1, 110, 120, 140, 0, 0, 0, 0), sform_code=0))
    with pytest.raises(DataError, match="voxels are up to 140 mm long; beyond 30 mm"):
        read(path)


def test_a_qform_that_cannot_be_used_is_told_of_and_kept(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti2(qoffset_x=1e300))
    volume = read(path)
    (told,) = [line for line in volume.warnings if "qform" in line]
    assert "the qform cannot be used" in told
    write(tmp_path / "out.nii", volume.data, like=volume)
    np.testing.assert_allclose(read(tmp_path / "out.nii").grid.affine, volume.grid.affine)


def test_intensities_whose_squares_overflow_count_as_infinite():
    data = np.asarray(scan_image(KINDS["ras"], np.float32).dataobj).copy()
    data[0, 0, :2] = 1e30, -3e38
    volume = read((data, np.diag([2.0, 2.0, 2.0, 1.0])))
    assert volume.warnings[0].startswith("2 voxels are NaN or infinite")
    assert np.abs(volume.data).max() < 1e4
    with pytest.raises(DataError, match="all voxels have the value"):
        read((data * 0 + np.linspace(0, 1e-30, data.size).reshape(data.shape), np.eye(4)))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_gzip_file_is_refused_or_changes_nothing(tmp_path_factory, at, bit):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    folder.mkdir(exist_ok=True)
    path = folder / "a.nii.gz"
    packed = bytearray(gzip.compress(seeds("nifti1")[0], mtime=0))
    packed[at % len(packed)] ^= 1 << bit
    path.write_bytes(packed)
    expected = np.asarray(nib.Nifti1Image.from_bytes(seeds("nifti1")[0]).dataobj)
    try:
        volume = read(path)
    except DataError:
        return
    np.testing.assert_array_equal(volume.data, expected)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(share=st.floats(0, 1, exclude_max=True), packed=st.booleans())
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, share, packed):
    folder = tmp_path_factory.getbasetemp() / "cut"
    folder.mkdir(exist_ok=True)
    path = folder / ("a.nii.gz" if packed else "a.nii")
    whole = gzip.compress(seeds("nifti1")[0]) if packed else seeds("nifti1")[0]
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError):
        read(path)


# --- models ---


def refusal_of_config(**changes):
    with pytest.raises(ModelFormatError) as caught:
        ModelConfig.from_config(CONFIG | changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("out_channels", 10**9),
        ("num_res_units", 10**9),
        ("channels", [1] * 400_000),
        ("strides", [10**6, 10**6]),
        ("strides", [10**400, 2]),
        ("kernel_size", 10**400 * 2),
        ("dropout", 10**400),
        ("act", "x" * 900_000),
    ],
)
def test_a_network_that_only_fills_memory_is_refused_before_it_is_laid_out(field, value):
    """A config of a few bytes must not ask for a billion class names, levels or voxels."""
    started = time.perf_counter()
    tracemalloc.start()
    try:
        message = refusal_of_config(**{field: value})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.startswith(f"config.json: {field} is ")
    assert len(message) < 300, "a long value is cut"
    assert peak < 20 * MEGABYTE
    assert time.perf_counter() - started < trials.LONGEST_S


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf")])
def test_numbers_that_no_float_holds_are_refused(value):
    for name in ("voxel_size_mm", "min_volume_ml", "threshold"):
        assert f"strokeseg.{name} is " in refusal_of_config(strokeseg=OWN | {name: value})


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", "\x1b[31m", "x" * 101])
def test_class_names_that_cannot_be_written_are_refused(name):
    names = [name, "GM", "GM/WM", "WM", "CSF", "lesion"]
    message = refusal_of_config(strokeseg=OWN | {"class_names": names})
    assert "is not 1 to 100 printable characters" in message
    assert message.isprintable()


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    levels=st.lists(st.tuples(st.integers(1, 64), st.integers(1, 4)), min_size=1, max_size=5),
    units=st.integers(0, 3),
    kernel=st.sampled_from([1, 3, 5, [3, 3, 1]]),
    ordering=st.sampled_from(["NDA", "AN", "", "DAN"]),
)
def test_every_network_that_can_be_read_is_written_as_it_was(levels, units, kernel, ordering):
    channels, strides = zip(*levels, strict=True)
    config = CONFIG | {"channels": [*channels, 8], "strides": list(strides)}
    config |= {"num_res_units": units, "kernel_size": kernel, "adn_ordering": ordering}
    spec = NetworkSpec.from_config(config)
    assert NetworkSpec.from_config(json.loads(json.dumps(spec.to_config()))) == spec


def test_a_scalar_tensor_stays_a_scalar(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": np.array(2.5, np.float32), "b": np.zeros((0, 3), np.float32)}))
    tensors = read_tensors(path)
    assert tensors["a"].shape == ()
    assert tensors["b"].shape == (0, 3)


def test_doubles_beyond_float32_are_refused_without_a_warning(tmp_path):
    state = {"a": np.array([1e300])}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(state))
    assert np.isinf(read_tensors(path)["a"]).all()


GOLDEN = json.loads(seeds("golden")[0])
FP32 = GOLDEN["format"]["fp32"]


@pytest.mark.parametrize(
    "changes",
    [
        {"input_shape": [2**31, 12, 12]},
        {"input_shape": [100_000, 100_000, 100_000]},
        {"input_shape": [-4, 4, 4]},
        {"input_shape": [13, 12, 12]},
        {"input_shape": [float("inf"), 12, 12]},
        {"input_seed": float("inf")},
        {"input_first": []},
        {"input_first": [0.0] * 9},
        {"input_first": [10**400]},
        {"format": {"fp32": FP32 | {"largest": 10**400}}},
        {"format": {"fp32": FP32 | {"mean": [10**400] * 3}}},
    ],
)
def test_a_golden_record_that_asks_for_too_much_or_for_nonsense_is_refused(changes, tmp_path):
    files = tiny_files({**OWN, "class_names": ["a", "b", "lesion"]}, out_channels=3)
    folder = write_files(tmp_path / "m", files)
    (folder / "golden.json").write_text(json.dumps(GOLDEN | changes))
    model = read_model_folder(folder, name="m")
    engine = type("Engine", (), {"logits": staticmethod(mix), "precision": "fp32"})()
    with pytest.raises(ModelFormatError, match=r"golden\.json"):
        check_golden(model, engine)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000])
def test_a_golden_record_nested_without_end_is_refused(content, tmp_path):
    folder = write_files(tmp_path / "m", tiny_files())
    (folder / "golden.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"golden\.json: cannot be read"):
        check_golden(read_model_folder(folder, name="m"), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("note", 5),
        ("repository", True),
        ("repository", "../../etc"),
        ("repository", "a/b/c"),
        ("size_bytes", "many"),
        ("classes", ["background", 1, "lesion"]),
        ("sha256", int("1" * 64)),
    ],
)
def test_a_registry_entry_of_another_type_is_refused(field, value, tmp_path):
    path = write_registry(tmp_path, {"one": {"repository": "lab/one", field: value}}, "one")
    with pytest.raises(ModelFormatError, match=f"model one: {field}"):
        load_registry(path)


# --- TOML and tables ---

DEEP = {
    "arrays": "a = " + "[" * 3000,
    "tables": "a = " + "{a = " * 3000,
    "digits": "a = " + "9" * 5000,
}


@pytest.mark.parametrize("kind", DEEP)
def test_toml_without_end_is_refused_by_every_reader(kind, tmp_path):
    training = pytest.importorskip("strokeseg.training.config")
    from strokeseg.training.contrasts import read_sequences
    from strokeseg.training.label_table import read_table

    path = tmp_path / "a.toml"
    path.write_text(DEEP[kind])
    for reader, error in (
        (load_registry, ModelFormatError),
        (training.read_config, UsageError),
        (read_table, UsageError),
        (lambda file: read_sequences(("gm",), file), UsageError),
    ):
        with pytest.raises(error, match=r"a\.toml"):
            reader(path)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "9" * 400])
def test_settings_that_no_run_can_have_are_refused(value, tmp_path):
    from strokeseg.training.config import read_config

    path = tmp_path / "a.toml"
    for text in (f"[spatial]\nrotation_deg = {value}", f"[lesion]\nvolume_ml = [1.0, {value}]"):
        path.write_text(text)
        with pytest.raises(UsageError, match="expected a number, got"):
            read_config(path)


def test_a_long_value_of_a_setting_is_cut(tmp_path):
    from strokeseg.training.config import read_config

    path = tmp_path / "a.toml"
    path.write_text(f'seed = "{"x" * 100_000}"')
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("labels = [0]", "labels = [0.5]"),
        ("labels = [0]", "labels = [-1]"),
        ("labels = [0]", "labels = [99999999999999]"),
        ("labels = [0]", 'labels = "0"'),
        ('name = "border"', 'name = "gm"'),
        ("sigma_mm = 0.6", "sigma_mm = nan"),
        ("sigma_mm = 0.6", "sigma_mm = -1"),
        ("10 = [-11.0, -19.0, 6.0]", "10 = [-11.0]"),
        ("10 = [-11.0, -19.0, 6.0]", "10 = [inf, 0, 0]"),
        ("[landmarks_mm]", "[landmarks]\n[[landmarks_mm]]"),
        ("[classes.background]", "[[classes]]"),
    ],
)
def test_a_label_table_that_makes_no_sense_is_refused(old, new, tmp_path):
    from strokeseg.training.label_table import read_table

    text = seeds("label-table")[0].decode()
    assert old in text
    path = tmp_path / "a.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=r"label table .*a\.toml"):
        read_table(path)


def test_a_label_beyond_the_table_is_refused_before_labels_are_counted(tmp_path):
    """Counting labels to two thousand million takes 17 GB."""
    from strokeseg.training.label_table import read_table
    from strokeseg.training.labels import prepare_subject

    data = np.zeros((40, 40, 40), np.float32)
    data[10:20, 10:20, 10:20] = 2e9
    path = tmp_path / "labels.nii"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="label 2000000000 is not in the label table"):
            prepare_subject(path, read_table(), 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE
    nib.save(nib.Nifti1Image(data * np.float32(1e5), np.eye(4)), path)
    with pytest.raises(DataError, match="not a label map"):
        prepare_subject(path, read_table(), 1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("share = 1.0", "share = nan"),
        ("share = 1.0", "share = -1"),
        ("share = 1.0", "share = 0"),
        ("share = 1.0", 'share = "all"'),
        ("gm = [0.3, 0.5]", "gm = [0.5, 0.3]"),
        ("gm = [0.3, 0.5]", "gm = [inf, inf]"),
        ("core = [0.1, 0.2]", "core = 3"),
        ("[sequences.T1w]", "[[sequences]]"),
    ],
)
def test_a_contrast_table_that_makes_no_sense_is_refused(old, new, tmp_path):
    from strokeseg.training.contrasts import read_sequences

    text = seeds("contrast-table")[0].decode()
    assert old in text
    path = tmp_path / "a.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match="contrast table"):
        read_sequences(("background", "gm", "wm", "border"), path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    from strokeseg.training.contrasts import read_sequences
    from strokeseg.training.label_table import read_table

    path = tmp_path / "a.toml"
    path.write_bytes(b"a = \xff")
    with pytest.raises(UsageError, match="not TOML"):
        read_table(path)
    with pytest.raises(UsageError, match="not TOML"):
        read_sequences((), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label_map\n" + "x" * 140_000, "cannot be read as a CSV or TSV"),
        ("label_map\tage\n\t55\n", "row 1 has no label_map"),
        ("label_map,age\na.nii,55\n,60\n", "row 2 has no label_map"),
    ],
)
def test_a_table_with_an_endless_or_an_empty_cell_is_refused(content, message, tmp_path):
    from strokeseg.training.inputs import label_map_paths

    path = tmp_path / "a.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        label_map_paths(str(path))


# --- messages ---


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\ud800", "\u2028", "\0", "\u202e"])
def test_a_message_is_one_printable_line_whatever_it_quotes(text):
    message = str(DataError(f"sub-{text}01: é is fine"))
    assert message.isprintable()
    assert "é is fine" in message
    assert str(DataError(message)) == message


def test_a_message_is_no_book():
    assert len(str(DataError("x" * 10**6))) <= 8000


def test_a_file_whose_name_holds_a_line_end_is_named_in_one_line(tmp_path):
    path = tmp_path / "a\nb.nii"
    path.write_bytes(scan_file(tmp_path, "plain").read_bytes()[:1000])
    with pytest.raises(DataError, match=re.escape("a\\nb.nii: its header claims")):
        read(path)
