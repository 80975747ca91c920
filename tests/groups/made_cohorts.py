"""Cohorts that are made up: what a batch would have left of them, with an effect of known size."""

import json

import numpy as np

from strokeseg.images.reading import read_map
from strokeseg.images.writing import write
from strokeseg.space.mni import mni_grid

# Standard deviations between the groups' log volumes.
EFFECT = 1.5


def made_values(effect=EFFECT, number=40, seed=3):
    """Groups a and b in turn, with volume, count and tissue volumes; the volume has the effect."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(number):
        group = "ab"[index % 2]
        volume = np.exp(1.5 + 0.8 * (rng.normal() + effect * (group == "b")))
        age = 50 + 20 * rng.random()
        rows.append(
            {
                "case": f"sub-{index:02}",
                "group": group,
                "age": f"{age:.1f}",
                "sex": "FM"[int(rng.integers(2))],
                "score": f"{np.log(volume) + 0.5 * rng.normal():.3f}",
                "lesion_volume_ml": f"{volume:.4f}",
                "lesion_count": str(int(rng.poisson(4))),
                "GM_ml": f"{600 + 50 * rng.normal():.4f}",
                "CSF_ml": f"{300 + 50 * rng.normal():.4f}",
                "brain_ml": f"{1200 + 90 * rng.normal():.4f}",
            }
        )
    return rows


def write_cohort(folder, rows, *, masks=False):
    """Write OUTPUT with its table, and participants.tsv beside it; gives both paths."""
    output, people = folder / "study", folder / "participants.tsv"
    output.mkdir(parents=True)
    own = ("age", "sex", "score", "group")
    measures = [name for name in rows[0] if name not in ("case", *own)]
    columns = ["case", "status", *measures, "volume_low_ml", "warnings"]
    lines = [columns] + [
        [row["case"], "done", *(row[name] for name in measures), "1", "n/a"] for row in rows
    ]
    text = "".join("\t".join(line) + "\n" for line in lines)
    (output / "cohort.tsv").write_text(text)
    lines = [["participant_id", *own]] + [[row["case"], *(row[n] for n in own)] for row in rows]
    people.write_text("".join("\t".join(line) + "\n" for line in lines))
    if masks:
        for row in rows:
            _write_case(output, row)
    return output, people


def mask_of(row, grid):
    """A lesion: of b in the right half's front, of a in the left one's; sometimes both."""
    points = np.indices(grid.shape).reshape(3, -1).T @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    number = int(row["case"][-2:])
    # Every eighth lies on the other side.
    side = (1 if row["group"] == "b" else -1) * (-1 if number % 8 < 2 else 1)
    centre = np.array([side * 30.0 + number % 3, 20.0 + number % 5, 20.0])
    # Everybody may have one at the back, which tells nothing.
    back = np.array([10.0, -70.0, 10.0])
    inside = np.linalg.norm(points - centre, axis=1) < 10 + number % 4
    if number % 4 < 2:
        inside |= np.linalg.norm(points - back, axis=1) < 9
    return inside.reshape(grid.shape)


def _write_case(output, row):
    grid = mni_grid(4.0)
    like = read_map((np.zeros(grid.shape, np.float32), grid.affine))
    name = row["case"]
    folder = output / name
    folder.mkdir()
    mask = mask_of(row, grid).astype(np.uint8)
    write(folder / f"{name}_space-MNI152_label-L_mask.nii.gz", mask, like)
    (folder / f"{name}_space-MNI152_strokeseg.json").write_text(json.dumps({"case": name}))
