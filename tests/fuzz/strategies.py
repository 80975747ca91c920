"""Files drawn by hypothesis: plausible ones with strange values, so that failures shrink."""

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from nibabel.freesurfer.mghformat import header_dtype as mgh_dtype
from nibabel.nifti1 import header_dtype as nifti1_dtype
from nibabel.nifti2 import header_dtype as nifti2_dtype

from strokeseg.training.config import as_document
from strokeseg.training.settings import TrainConfig
from tests.fuzz.seeds import seeds
from tests.tiny_models import CONFIG, OWN, raw_safetensors

Files = st.SearchStrategy[bytes]

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
_LARGE = st.sampled_from([10**400, 2**63, -(2**63), 10**9, 2**31, 1e308, "x" * 3000])
_JSON = st.recursive(
    _SCALARS | _LARGE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def _field_values(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    """Draw a value that a header field can hold, small ones and the largest more often."""
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8) | st.sampled_from([0, 1, -1, 5, 352, 1e30])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        small = st.integers(max(-2, int(limits.min)), min(130, int(limits.max)))
        return small | st.integers(int(limits.min), int(limits.max))
    return st.binary(max_size=dtype.itemsize)


@st.composite
def _headers(draw: st.DrawFn, target: str, dtype: np.dtype[Any]) -> bytes:
    """Take a seed, set some fields of its header, and cut or lengthen its voxels."""
    whole = [seed for seed in seeds(target) if len(seed) >= dtype.itemsize]
    if target != "mgh":
        whole = [seed for seed in whole if seed[0] != 0]  # not the other byte order
    data = draw(st.sampled_from(whole))
    header = np.frombuffer(data[: dtype.itemsize], dtype).copy()[0]
    for name in draw(st.lists(st.sampled_from(dtype.names or ()), max_size=4)):
        field = dtype[name]
        base, shape = (field.base, field.shape)
        count = int(np.prod(shape, dtype=int))
        values = draw(st.lists(_field_values(base), min_size=count, max_size=count))
        header[name] = np.array(values, base).reshape(shape) if shape else values[0]
    body = data[dtype.itemsize :]
    change = draw(st.sampled_from(["whole", "whole", "cut", "longer", "noise"]))
    if change == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif change == "longer":
        body += draw(st.binary(max_size=40))
    elif change == "noise":
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=60)) + body[at:]
    return header.tobytes() + body


@st.composite
def _gzips(draw: st.DrawFn) -> bytes:
    """Pack a NIfTI-1 file, perhaps in two members, then damage, cut or lengthen the stream."""
    content = draw(_headers("nifti1", nifti1_dtype))
    content += bytes(draw(st.sampled_from([0, 0, 0, 1, 1 << 16, 1 << 22])))
    at = draw(st.integers(0, len(content)) | st.just(len(content)))
    level = draw(st.sampled_from([0, 1, 9]))
    packed = bytearray(gzip.compress(content[:at], level, mtime=0))
    if at < len(content):
        packed += gzip.compress(content[at:], level, mtime=0)
    for _ in range(draw(st.integers(0, 2))):
        packed[draw(st.integers(0, len(packed) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        packed[-4:] = draw(st.binary(min_size=4, max_size=4))
    end = draw(st.just(len(packed)) | st.integers(0, len(packed)))
    return bytes(packed[:end]) + draw(st.binary(max_size=8))


def _dumped(content: object) -> bytes:
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _mostly(known: dict[str, Any], strange: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a document of which most fields are as they should be."""
    if not known:
        return st.dictionaries(st.text(max_size=6), strange)
    changes = st.dictionaries(st.sampled_from(list(known)) | st.text(max_size=6), strange)
    dropped = st.sets(st.sampled_from(list(known)), max_size=2)
    return st.builds(
        lambda new, gone: {k: v for k, v in (known | new).items() if k not in gone},
        changes,
        dropped,
    )


_CONFIG_VALUES = _JSON | st.lists(st.integers(-1, 9), max_size=6) | st.integers(-2, 300)
_CONFIGS = st.builds(
    lambda top, own: _dumped(top | {"strokeseg": own}),
    _mostly(CONFIG, _CONFIG_VALUES),
    _mostly(OWN, _CONFIG_VALUES) | _JSON,
) | _JSON.map(_dumped)

_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "F64", "BF16", "I64", "F8_E4M3", ""]),
        "shape": st.lists(st.integers(0, 6) | st.integers(), max_size=5),
        "data_offsets": st.lists(st.integers(0, 64) | st.integers(), min_size=2, max_size=2),
    }
)


@st.composite
def _tensors(draw: st.DrawFn) -> bytes:
    """Lay tensors one after the other as they should be, then change some entries."""
    header: dict[str, Any] = {}
    end = 0
    for name in draw(st.lists(st.text(max_size=5), max_size=4, unique=True)):
        dtype, size = draw(st.sampled_from([("F32", 4), ("F16", 2), ("F64", 8)]))
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        length = int(np.prod(shape, dtype=int)) * size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + length]}
        end += length
    for name in draw(st.lists(st.text(max_size=5), max_size=2)):
        header[name] = draw(_ENTRIES | _JSON)
    data = draw(st.binary(min_size=end, max_size=end) | st.binary(max_size=100))
    return raw_safetensors(_dumped(header), data)


_RECORD = {"schema": 1, "case": "sub-01", "message": "m", "files": {}}
_RECORDS = _mostly(_RECORD, _JSON).map(_dumped) | _JSON.map(_dumped) | st.binary(max_size=60)
_GOLDEN_VALUES = st.lists(st.integers(-1, 40), min_size=3, max_size=3) | _JSON


@st.composite
def _golden(draw: st.DrawFn) -> bytes:
    record = json.loads(draw(st.sampled_from(seeds("golden"))))
    changed = draw(_mostly(record, _GOLDEN_VALUES))
    if isinstance(changed.get("format"), dict) and draw(st.booleans()):
        fp32 = changed["format"].get("fp32")
        if isinstance(fp32, dict):
            changed["format"] = {"fp32": draw(_mostly(fp32, _JSON))}
    return _dumped(changed)


def _toml(value: object) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return str(value).replace("e+", "e")
    return json.dumps(value) if isinstance(value, bool | int | str) else '"none"'


def _tables(content: Any) -> bytes:
    """Write a document's tables as sections, what lies deeper inline."""
    plain = {k: v for k, v in content.items() if not isinstance(v, dict)}
    sections = {k: v for k, v in content.items() if isinstance(v, dict)}
    lines = [f"{json.dumps(k)} = {_toml(v)}" for k, v in plain.items()]
    for name, section in sections.items():
        lines += [f"[{json.dumps(name)}]"]
        lines += [f"{json.dumps(k)} = {_toml(v)}" for k, v in section.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


_LISTS = st.lists(st.floats() | st.integers(-3, 300), max_size=4)


@st.composite
def _training_configs(draw: st.DrawFn) -> bytes:
    document = as_document(TrainConfig())
    for key in draw(st.lists(st.sampled_from(list(document)), max_size=3)):
        value = document[key]
        strange = _JSON | _LISTS
        document[key] = draw(_mostly(value, strange) if isinstance(value, dict) else strange)
    return _tables(document)


def _documents(target: str, reader: Callable[[str], Any]) -> Files:
    """Take a TOML seed apart, set values anywhere in it, and write it again."""
    document = reader(seeds(target)[0].decode())

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        content = json.loads(json.dumps(document))
        for _ in range(draw(st.integers(0, 3))):
            place: Any = content
            while True:
                keys: Sequence[Any] = list(place) if isinstance(place, dict) else range(len(place))
                if not keys:
                    break
                key = draw(st.sampled_from(keys))
                if isinstance(place[key], dict | list) and draw(st.integers(0, 3)):
                    place = place[key]
                    continue
                place[key] = draw(_JSON | _LISTS)
                break
        return _tables(content)

    return changed()


_TRAINING_COLUMNS = ("label_map", "image", "mask", "maps", "gm", "wm", "csf", "gm_wm")
_COHORT_COLUMNS = ("case", "t1", "flair", "FLAIR", "dwi", "truth", "output", "age")


@st.composite
def _cells(draw: st.DrawFn, names: Sequence[str]) -> bytes:
    """Write cells as CSV or TSV, without any quoting of what would need it."""
    columns = draw(st.lists(st.sampled_from(names) | st.text(max_size=6), min_size=1, max_size=6))
    cells = st.sampled_from(["a.nii.gz", "c.nii", "sub-01", "", "n/a", "/", ".."]) | st.text(
        max_size=9
    )
    width = len(columns)
    full = st.lists(cells, min_size=width, max_size=width)
    rows = draw(st.lists(full | full | st.lists(cells, max_size=7), max_size=4))
    mark = draw(st.sampled_from("\t\t,,;"))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = end.join(mark.join(row) for row in [columns, *rows])
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode("utf-8", "surrogatepass")


def _strategies() -> dict[str, Files]:
    import tomllib

    plain = {
        "nifti1": _headers("nifti1", nifti1_dtype),
        "nifti2": _headers("nifti2", nifti2_dtype),
        "analyze": _headers("analyze", nifti1_dtype),
        "mgh": _headers("mgh", mgh_dtype),
        "gzip": _gzips(),
        "config": _CONFIGS,
        "safetensors": _tensors(),
        "golden": _golden(),
        "training-config": _training_configs(),
        "training-table": _cells(_TRAINING_COLUMNS),
        "cohort-table": _cells(_COHORT_COLUMNS),
        "truth-table": _cells(_COHORT_COLUMNS),
        "record": _RECORDS,
    }
    toml = ("registry", "ablation", "label-table", "contrast-table")
    return plain | {name: _documents(name, tomllib.loads) for name in toml}


STRATEGIES = _strategies()
