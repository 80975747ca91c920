"""Small heads, lesions and pairs for the tests of training, made as files."""

from pathlib import Path

import nibabel as nib
import numpy as np

from strokeseg.training.data.label_table import read_table

SPACING_MM = 4.0
SHAPE = (38, 46, 38)
ORIGIN_MM = np.array([-74.0, -112.0, -62.0])
# Small structures stand at their landmarks, so that the affine to MNI can be found.
STRUCTURES = dict.fromkeys((10, 49, 11, 50, 12, 51, 17, 53, 8, 47, 16, 4, 43), 8.0)
PLACES = {16: (0, -30, -30), 4: (-10, -20, 22), 43: (10, -20, 22)}


def affine_of(spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM):
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = origin_mm
    return affine


def points_of(shape, affine):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def head_labels(shape=SHAPE, affine=None):
    """A head in MNI space: skin, skull, CSF, cortex, white matter, some structures inside."""
    affine = affine_of() if affine is None else affine
    points = points_of(shape, affine)
    radius = np.sqrt((((points - [0, -18, 8]) / [64, 80, 60]) ** 2).sum(axis=-1))
    left = points[..., 0] < 0
    labels = np.zeros(shape, np.int16)
    labels[radius < 1.12] = 511
    labels[radius < 1.04] = 515
    labels[radius < 0.97] = 24
    labels[(radius < 0.92) & left] = 3
    labels[(radius < 0.92) & ~left] = 42
    labels[(radius < 0.76) & left] = 2
    labels[(radius < 0.76) & ~left] = 41
    landmarks = read_table().landmarks_mm
    for label, size in STRUCTURES.items():
        centre = PLACES.get(label) or landmarks[label]
        labels[np.sqrt(((points - np.array(centre)) ** 2).sum(axis=-1)) < size] = label
    return labels, affine


def save(path: Path, data, affine) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def write_heads(folder: Path, count: int = 2) -> Path:
    """`head-1` to `head-N`, each shifted by some millimetres in its own space."""
    for number in range(1, count + 1):
        labels, affine = head_labels()
        moved = affine.copy()
        moved[:3, 3] += [3.0 * number, -5.0 * number, 2.0]
        save(folder / f"head-{number}.nii.gz", labels, moved)
    return folder


def write_lesions(folder: Path, count: int = 4) -> Path:
    """Balls of 12 to 24 mm across the hemispheres, in MNI space."""
    affine = affine_of(spacing_mm=3.0)
    points = points_of((50, 60, 50), affine)
    for number in range(1, count + 1):
        centre = np.array([(-1) ** number * 28, -30 + 8 * number, 14])
        ball = np.sqrt(((points - centre) ** 2).sum(axis=-1)) < 12 + 3 * number
        save(folder / f"lesion-{number}.nii.gz", ball.astype(np.uint8), affine)
    return folder


def write_pairs(folder: Path, count: int = 2) -> Path:
    """Images of the head with a bright ball, and masks of the ball."""
    rng = np.random.default_rng(5)
    labels, affine = head_labels()
    points = points_of(labels.shape, affine)
    for number in range(1, count + 1):
        ball = np.sqrt(((points - [24, -20, 12]) ** 2).sum(axis=-1)) < 18
        image = (labels % 97).astype(np.float32) + rng.normal(0, 2, labels.shape) + 150 * ball
        save(folder / f"sub-{number}_T1w.nii.gz", image.astype(np.float32), affine)
        save(folder / f"sub-{number}_T1w_mask.nii.gz", ball.astype(np.uint8), affine)
    return folder


def write_soft_maps(folder: Path, *, spm: bool) -> Path:
    """The head's tissues as probability maps: SPM's c1 to c3, or one file of four volumes."""
    labels, affine = head_labels()
    table = read_table()
    tissue = np.array([table.tissue_of_class[table.class_of_label[int(v)]] for v in labels.flat])
    tissue = tissue.reshape(labels.shape)
    maps = [(0.9 * (tissue == t)).astype(np.float32) for t in (1, 2, 3, 4)]
    if spm:
        maps[0] += maps[1] / 2
        maps[2] += maps[1] / 2
        for number, share in zip((1, 2, 3), (maps[0], maps[2], maps[3]), strict=True):
            save(folder / f"c{number}sub-9.nii", share, affine)
    else:
        save(folder / "sub-9.nii.gz", np.stack(maps, axis=-1), affine)
    return folder


def config_text(folder: Path, **sections: str) -> str:
    """A smoke configuration on the data in `folder`, with lines added to its tables."""
    lines = {
        "": 'name = "tiny"\nseed = 3\nchannels = [6, 12, 12]\ncheckpoint_steps = 4\n',
        "data": f'voxel_size_mm = 4.0\nlabel_maps = "{folder / "maps"}"\n'
        f'lesions = ["{folder / "lesions"}"]\nheld_out_every = [4]\nheld_out_maps = ["head-2"]\n',
        "lesion": "volume_ml = [20.0, 90.0]\nlesion_free_share = 0.0\nerode = 0\ndilate = 0\n",
        "contrast": "plausible_share = 1.0\n",
        "spatial": "crop_vox = [32, 32, 32]\n",
        "intensity": "",
        "loss": "",
        "optimiser": 'steps = 12\nwarmup_steps = 3\nlearning_rate = 1e-2\nprecision = "fp32"\n'
        "dropout = 0.1\n",
        "validation": "cases = 14\ncases_in_run = 7\ncrop_vox = [40, 48, 40]\n",
        "real": "",
        "slices": "",
    }
    unknown = set(sections) - set(lines) - {"top"}
    assert not unknown, unknown
    lines[""] += sections.pop("top", "")
    text = lines.pop("")
    for name, body in lines.items():
        text += f"\n[{name}]\n{_merged(body, sections.get(name, ''))}"
    return text


def _merged(body: str, more: str) -> str:
    """Lines of `more` replace those of `body` with the same key."""
    entries = {line.split("=")[0].strip(): line for line in (body + more).splitlines() if line}
    return "\n".join(entries.values()) + "\n"
