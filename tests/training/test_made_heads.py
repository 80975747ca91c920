"""The heads and lesions that come with the package, made of shapes."""

import numpy as np
import pytest
from scipy import ndimage

from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.mni import fit_landmarks
from strokeseg.training import made_heads
from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import read_table
from strokeseg.training.data.layout import layout_of

HEADS, LESIONS = (place.path for place in layout_of(read_config("smoke")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert made_heads.main(["-o", str(folder)]) == str(folder)
    return folder


def test_the_script_makes_the_voxels_that_are_committed(made):
    for ours in sorted([*HEADS.iterdir(), *LESIONS.iterdir()]):
        again = read_map(made / ours.parent.name / ours.name)
        volume = read_map(ours)
        np.testing.assert_allclose(again.grid.affine, volume.grid.affine, atol=1e-5)
        assert (again.data != volume.data).mean() < 1e-4, ours.name


@pytest.mark.parametrize("path", sorted(HEADS.iterdir()), ids=lambda path: path.name)
def test_a_head_has_known_labels_and_its_structures_where_mni_has_them(path):
    volume = read_scan(path)
    labels = volume.data.astype(np.int32)
    table = read_table()
    found = set(np.unique(labels))
    assert found <= set(table.class_of_label)
    assert {2, 3, 4, 8, 10, 16, 24, 41, 42, 43, 47, 49, 511, 515} <= found
    fitted = fit_landmarks(labels, volume.grid.affine, table.landmarks_mm)
    for label in (10, 49, 12, 51):
        centre = np.argwhere(labels == label).mean(axis=0)
        there = fitted @ volume.grid.affine @ [*centre, 1]
        assert np.linalg.norm(there[:3] - table.landmarks_mm[label]) < 8
    ml = volume.grid.voxel_volume_ml
    brain = np.isin(labels, (2, 3, 41, 42, 7, 8, 46, 47, 10, 49, 16)).sum() * ml
    assert 900 < brain < 1700


def test_lesions_are_of_many_sizes_and_whole():
    volumes = []
    for path in sorted(LESIONS.iterdir()):
        mask = read_map(path)
        sizes = np.bincount(ndimage.label(mask.data > 0.5, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() > 0.5 * sizes.sum()
        volumes.append(sizes.sum() * mask.grid.voxel_volume_ml)
    assert min(volumes) < 6
    assert max(volumes) > 80
