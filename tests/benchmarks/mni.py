"""How near to MNI152 a case is brought by its tissues: label maps that no training and no mean saw.

Run by ``python -m tests.benchmarks.mni``. The truth is an affine of the centres of known
structures; the error is how far brain voxels end from where that affine has them. Beside it the
affine of the brain's moments alone, which is what the search starts from.
"""

import argparse

import numpy as np

from strokeseg.images.reading import read_map
from strokeseg.lesion_map.mni_fit import find_brain
from strokeseg.models.classes import CLASSES
from strokeseg.prediction.mni import fit_to_mean_head
from strokeseg.space.grid import Grid
from strokeseg.space.mni import fit_landmarks, fit_moments, level
from strokeseg.training.data.label_table import read_table
from tests.factories import SCANS, rotation


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = read_table()
    for number in (15, 16, 17):
        path = SCANS.parent / f"label_maps/synthseg-{number}.nii.gz"
        volume = read_map(path)
        labels = volume.data.astype(np.int32)[::2, ::2, ::2]
        halved = volume.grid.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
        truth = fit_landmarks(labels, halved, table.landmarks_mm)
        tissue = np.zeros(labels.shape, np.uint8)
        for label in np.unique(labels).tolist():
            tissue[labels == label] = table.tissue_of_class[table.class_of_label[label]]
        for degrees in ((0, 0, 0), (10, 8, -6)):
            turned = np.eye(4)
            turned[:3, :3] = rotation(degrees)
            grid = Grid(tissue.shape, turned @ halved)
            brain = find_brain(tissue, grid, {name: i for i, name in enumerate(CLASSES)})
            voxels = np.c_[np.argwhere(brain)[::50], np.ones(len(np.argwhere(brain)[::50]))].T
            there = (truth @ halved @ voxels)[:3]
            tilt, _ = level(brain, grid)
            moments = fit_moments(brain.astype(np.float32), tilt @ grid.affine, path.name) @ tilt
            found = np.linalg.inv(fit_to_mean_head(tissue, grid, CLASSES).to_moving)
            mm = [
                np.linalg.norm((way @ grid.affine @ voxels)[:3] - there, axis=0).mean()
                for way in (moments, found)
            ]
            print(f"{path.name} turned {degrees}: moments {mm[0]:.1f} mm, tissues {mm[1]:.1f} mm")  # noqa: T201


if __name__ == "__main__":
    main()
