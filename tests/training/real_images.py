"""Small slices and real scans with labels, made as files for the tests of training."""

import numpy as np

from tests.training.heads import head_labels, points_of, save

SUBJECTS = (11, 12, 13, 23)


def write_slices(path, *, stripes=False):
    """Four subjects' slices in three planes: a grey disc, in the first three with a bright spot.

    With `stripes` brightness rises along the first axis.
    """
    arrays = {"subject": np.array(SUBJECTS), "lesion_volume_mm3": np.array([900, 900, 900, 0])}
    for plane, shape in {"axial": (60, 70), "coronal": (60, 50), "sagittal": (70, 50)}.items():
        a, b = np.ogrid[: shape[0], : shape[1]]
        disc = ((a - shape[0] / 2) / 26) ** 2 + ((b - shape[1] / 2) / 22) ** 2 < 1
        spot = ((a - shape[0] / 2) ** 2 + (b - shape[1] / 2 - 8) ** 2) < 49
        images = np.repeat((100 * disc).astype(np.uint8)[None], len(SUBJECTS), axis=0)
        if stripes:
            images = np.where(disc, (60 + 2 * a).astype(np.uint8), images).astype(np.uint8)
        lesions = np.zeros(images.shape, bool)
        lesions[:3] = spot
        images[lesions] = 220
        arrays[plane] = images
        arrays[f"{plane}_lesion"] = np.packbits(lesions)
    np.savez_compressed(path, **arrays)
    return path


def write_scans(folder):
    """Two T1w-like scans of the head, one with FreeSurfer labels, one with a tissue map of ours.

    Returns the table that names them.
    """
    labels, affine = head_labels()
    means = {0: 0, 511: 90, 515: 15, 24: 30, 4: 25, 43: 25, 3: 60, 42: 60, 2: 100, 41: 100}
    lookup = np.full(int(labels.max()) + 1, 70.0)
    for label, mean in means.items():
        lookup[label] = mean
    noise = np.random.default_rng(2).normal(0, 1, labels.shape)
    image = (lookup[labels] + noise).clip(0).astype(np.float32)
    tissue = np.select(
        [
            np.isin(labels, (2, 41, 7, 46)),
            np.isin(labels, (3, 42, 8, 47, 11, 50, 12, 51, 17, 53)),
            np.isin(labels, (10, 49, 16)),
            np.isin(labels, (24, 4, 43)),
        ],
        [3, 1, 2, 4],
        0,
    ).astype(np.uint8)
    spots = np.sqrt(((points_of(labels.shape, affine) - [24, -20, 30]) ** 2).sum(-1)) < 10
    save(folder / "old-1_T1w.nii.gz", image, affine)
    save(folder / "old-1_labels.nii.gz", labels, affine)
    save(folder / "old-1_wmh.nii.gz", spots.astype(np.uint8), affine)
    save(folder / "old-2_T1w.nii.gz", image, affine)
    save(folder / "old-2_dseg.nii.gz", tissue, affine)
    rows = [
        "image\tsequence\tlabels\tlabel_table\thyperintensities",
        "old-1_T1w.nii.gz\tT1w\told-1_labels.nii.gz\tfreesurfer\told-1_wmh.nii.gz",
        "old-2_T1w.nii.gz\tT1w\told-2_dseg.nii.gz\ttissues\t",
    ]
    table = folder / "scans.tsv"
    table.write_text("\n".join(rows) + "\n")
    return table
