"""The seed corpus: small valid files of every kind, and a few that are refused for a known reason.

They are made anew at every run, from fixed seeds; what coverage-guided runs have added lies beside
this module in `corpus`.
"""

import gzip
import hashlib
import io
import json
import zipfile
import zlib
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from strokeseg.models.golden import make_golden
from strokeseg.network.spec import NetworkSpec
from tests.tiny_models import CONFIG, OWN, raw_safetensors, tiny_files, tiny_state

SHAPE = (9, 8, 7)
ROOM_BYTES = 4000
GROWN = Path(__file__).parent / "corpus"
ROOT = Path(__file__).resolve().parents[2]
TINY = {"out_channels": 3, "channels": [1, 2, 2], "strides": [2, 2]}
TINY_OWN = {**OWN, "class_names": ["background", "GM", "lesion"], "window": 16}


def _affine(turn: bool = False) -> np.ndarray:
    affine = np.diag([-5.0, 5.0, 6.0, 1.0])
    if turn:
        cosine, sine = np.cos(0.2), np.sin(0.2)
        affine[:2, :2] = np.array([[cosine, -sine], [sine, cosine]]) @ affine[:2, :2]
    affine[:3, 3] = 20, -18, -15
    return affine


def _voxels(dtype: type = np.int16, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 200, shape).astype(dtype)


def _image(kind: type, data: np.ndarray, *, turn: bool = False, codes: tuple[int, int] = (1, 1)):
    image = kind(data, _affine(turn))
    image.set_sform(_affine(turn), code=codes[1])
    image.set_qform(_affine(turn), code=codes[0])
    return image


def _nifti(kind: type) -> list[bytes]:
    """Several voxel types, codes, scalings and shapes of one format."""
    images = [
        _image(kind, _voxels(), turn=True),
        _image(kind, _voxels(np.uint8), codes=(2, 0)),
        _image(kind, _voxels(np.float32, (*SHAPE, 1)), codes=(0, 4)),
        _image(kind, _voxels(np.float64)),
        _image(kind, _voxels(np.complex64)),
        _image(kind, _voxels(np.int16, (*SHAPE, 2))),
    ]
    scaled = _image(kind, _voxels(), turn=True)
    scaled.header.set_slope_inter(0.5, -10)
    holes = _voxels(np.float32)
    holes[0, 0, :3] = np.nan, np.inf, -np.inf
    images += [scaled, _image(kind, holes), _image(kind, (_voxels() > 100).astype(np.uint8))]
    extended = _image(kind, _voxels())
    extended.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a remark"))
    big = kind(_voxels().astype(">i2"), _affine(), kind.header_class(endianness=">"))
    return [image.to_bytes() for image in (*images, extended, big)]


def _pairs() -> list[bytes]:
    """Header and voxels one after the other, as Analyze, SPM's Analyze and NIfTI pairs."""
    made = []
    for kind in (nib.AnalyzeImage, nib.Spm2AnalyzeImage, nib.Nifti1Pair):
        for dtype in (np.int16, np.uint8, np.float32):
            data = _voxels(dtype)
            image = kind(data, _affine())
            image.header.set_data_dtype(dtype)
            made.append(image.header.binaryblock + data.tobytes(order="F"))
    return made


def _mgh() -> list[bytes]:
    images = [nib.MGHImage(_voxels(t), _affine(True)) for t in (np.uint8, np.int32, np.float32)]
    made = [image.to_bytes() for image in images]
    blind = bytearray(made[0])
    blind[28:30] = b"\0\0"
    return [*made, bytes(blind), nib.MGHImage(_voxels(np.uint8, (*SHAPE, 2)), _affine()).to_bytes()]


def _gzips() -> list[bytes]:
    whole = _nifti(nib.Nifti1Image)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(whole[0] + bytes(4 << 20)) + packer.flush()
    half = len(whole[0]) // 2
    members = gzip.compress(whole[0][:half], mtime=0) + gzip.compress(whole[0][half:], mtime=0)
    named = io.BytesIO()
    with gzip.GzipFile("scan.nii", "wb", 6, named, mtime=1) as file:
        file.write(whole[1])
    return [
        *(gzip.compress(content, mtime=0) for content in whole[:4]),
        gzip.compress(whole[1], 0, mtime=0),
        *(members, bomb, named.getvalue(), gzip.compress(whole[0], mtime=0) + bytes(10)),
    ]


def _configs() -> list[bytes]:
    own = {"threshold": None, "brain_mask": False, "normalisation": "foreground"}
    documents = [
        CONFIG | TINY | {"strokeseg": TINY_OWN},
        CONFIG | TINY,
        CONFIG | TINY | {"strokeseg": own, "kernel_size": [3, 3, 3], "strides": [[2, 2, 2], 2]},
        CONFIG | TINY | {"num_res_units": 0, "act": "relu", "bias": False, "adn_ordering": "AN"},
        CONFIG,
    ]
    return [json.dumps(document).encode() for document in documents]


@cache
def tiny_model() -> dict[str, bytes]:
    """Give config.json and model.safetensors of two kilobytes in all."""
    return tiny_files(TINY_OWN, **TINY)


def _tensors() -> list[bytes]:
    prefixed = tiny_files(TINY_OWN, dtype=np.float16, prefix="unet.", **TINY)
    entries = {"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}, "__metadata__": {}}
    state = tiny_state(**TINY)
    zero = {"a": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]}}
    assert state
    return [
        tiny_model()["model.safetensors"],
        prefixed["model.safetensors"],
        raw_safetensors(entries, bytes(16)),
        raw_safetensors(zero),
    ]


def mix(patch: np.ndarray) -> np.ndarray:
    """Stand in for a network of three classes."""
    ramp = np.linspace(0, 1, patch.shape[2], dtype=np.float32)
    return np.stack([(channel - 1) * patch * ramp for channel in range(3)])


def _golden() -> list[bytes]:
    spec = NetworkSpec.from_config(CONFIG | TINY)
    records = [make_golden(mix, spec, seed, edge_vox=12) for seed in (0, 3)]
    return [json.dumps(record).encode() for record in records]


def _registries() -> list[bytes]:
    small = (
        'default = "one"\n[models.one]\nfolder = "one"\nsummary = "s"\nlicence = "MIT"\n'
        'citation = "c"\nclasses = ["background", "lesion"]\n[models."two-2"]\n'
        f'repository = "lab/two"\nrevision = "{"ab" * 20}"\nsha256 = "{"0f" * 32}"\n'
        f'config_sha256 = "{"1e" * 32}"\nsize_bytes = 74468100\nnote = "n"\nsummary = "s"\n'
        'licence = "MIT"\ncitation = "c"\nclasses = ["background", "GM", "lesion"]\n'
    )
    return [small.encode(), (ROOT / "weights" / "registry.toml").read_bytes()]


def _files(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "training" / folder).glob("*.toml"))]


def _ablations() -> list[bytes]:
    small = (
        'base = "smoke"\nsteps = 20\n[variants.plain]\n[variants.wide]\nchannels = [8, 16, 32]\n'
        "[variants.sharp.loss]\nlesion_weight = 2.0\n"
        "[variants.sharp.optimiser]\nlearning_rate = 0.001\n"
    )
    return [small.encode()]


def _label_tables() -> list[bytes]:
    small = (
        '[classes.background]\ntissue = "background"\nlabels = [0]\n[classes.gm]\ntissue = "GM"\n'
        'labels = [3, 42]\n[classes.wm]\ntissue = "WM"\nlabels = [2, 41]\n[partial_volume]\n'
        'name = "border"\ntissue = "GM/WM"\ngrey = ["gm"]\nwhite = ["wm"]\nsigma_mm = 0.6\n'
        "[landmarks_mm]\n10 = [-11.0, -19.0, 6.0]\n49 = [11.0, -19.0, 6.0]\n"
    )
    return [small.encode(), (ROOT / "training" / "tables" / "freesurfer.toml").read_bytes()]


def _contrasts() -> list[bytes]:
    small = (
        "[sequences.T1w]\nshare = 1.0\nbackground = [0.0, 0.1]\ngm = [0.3, 0.5]\nwm = [0.6, 0.8]\n"
        'border = [0.4, 0.7]\n[[sequences.T1w.lesion]]\nstage = "old"\nshare = 1.0\n'
        "core = [0.1, 0.2]\nrim = [0.2, 0.3]\n"
    )
    return [small.encode()]


def _tables() -> list[bytes]:
    return [
        b"label_map\tage\nmaps/a.nii.gz\t55\nmaps/b.nii.gz\t61\n",
        b'image,mask\na.nii.gz,a_mask.nii.gz\n"b, c.nii",b_mask.nii\n',
        b"\xef\xbb\xbfgm\twm\tcsf\tgm_wm\r\nc1.nii\tc2.nii\tc3.nii\t\r\n",
        b"maps,label_map,image,mask\nsoft.nii,l.nii,i.nii,m.nii\n",
    ]


def _cohorts() -> list[bytes]:
    return [
        b"case\tt1\tflair\nsub-01\ta.nii.gz\tb.nii.gz\nsub-02\tc.nii\tn/a\n",
        b"case,FLAIR,truth,age,output\nsub-01,b.nii.gz,a.nii.gz,55,x/sub-01\n",
        b'\xef\xbb\xbfcase;dwi;adc\r\n"sub-01";a.nii.gz;\r\n',
    ]


def _records() -> list[bytes]:
    documents = [
        {"schema": 1, "case": "sub-01", "lesion_volume_ml": 1.5, "warnings": ["a"], "files": {}},
        {"case": "sub-02", "exception": "DataError", "message": "m", "exit_code": 65},
    ]
    return [json.dumps(document).encode() for document in documents]


_MAKERS = {
    "nifti1": lambda: _nifti(nib.Nifti1Image),
    "nifti2": lambda: _nifti(nib.Nifti2Image),
    "analyze": _pairs,
    "mgh": _mgh,
    "gzip": _gzips,
    "config": _configs,
    "safetensors": _tensors,
    "golden": _golden,
    "registry": _registries,
    "training-config": lambda: _files("configs"),
    "ablation": _ablations,
    "label-table": _label_tables,
    "contrast-table": _contrasts,
    "cohort-table": _cohorts,
    "truth-table": _cohorts,
    "record": _records,
    "training-table": _tables,
}


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """Give the valid files that a target starts from."""
    return tuple(_MAKERS[target]())


@cache
def corpus(target: str) -> tuple[bytes, ...]:
    """Give the seeds of a target, and what coverage-guided runs have added to them."""
    packed = GROWN / f"{target}.zip"
    if not packed.is_file():
        return seeds(target)
    with zipfile.ZipFile(packed) as file:
        return (*seeds(target), *(file.read(name) for name in sorted(file.namelist())))


def grow(target: str, folder: Path) -> None:
    """Add the inputs of a folder to a target's corpus, the smallest first, while there is room."""
    known = set(seeds(target))
    inputs = {path.read_bytes() for path in folder.iterdir()} | set(corpus(target))
    GROWN.mkdir(exist_ok=True)
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for content in sorted(inputs - known, key=lambda data: (len(zlib.compress(data)), data)):
            name = hashlib.sha256(content).hexdigest()[:12]
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if kept.tell() + len(zlib.compress(content, 9)) + 200 > ROOM_BYTES:
                break
            file.writestr(entry, content)
    (GROWN / f"{target}.zip").write_bytes(kept.getvalue())
