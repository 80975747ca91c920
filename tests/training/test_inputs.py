import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.training.data.inputs import label_map_paths, lesion_paths, pair_paths, soft_map_paths
from strokeseg.training.data.label_table import read_table
from strokeseg.training.data.pairs import UNKNOWN
from strokeseg.training.data.soft_maps import prepare_soft_subject
from strokeseg.training.data.sources import load_sources
from strokeseg.training.synthesis.sample import make_sample
from tests.training.heads import head_labels, save, write_pairs, write_soft_maps
from tests.training.test_label_maps import shares


def test_label_maps_from_a_folder_and_from_a_table(data_folder, tmp_path):
    found = label_map_paths(str(data_folder / "maps"))
    assert [path.name for path in found] == ["head-1.nii.gz", "head-2.nii.gz"]
    table = data_folder / "maps.csv"
    table.write_text("label_map,age\nmaps/head-2.nii.gz,55\n")
    assert label_map_paths(str(table)) == (data_folder / "maps" / "head-2.nii.gz",)
    table.write_text("file\nx\n")
    with pytest.raises(DataError, match="no column 'label_map'"):
        label_map_paths(str(table))
    with pytest.raises(InputNotFoundError):
        label_map_paths(str(tmp_path / "none"))
    assert label_map_paths("") == ()


def test_held_out_lesions_are_those_named_and_every_nth(data_folder):
    folders = [str(data_folder / "lesions")]
    train = lesion_paths(folders, [3], ["lesion-1"], held_out=False)
    out = lesion_paths(folders, [3], ["lesion-1"], held_out=True)
    assert [p.name for p in train] == ["lesion-2.nii.gz", "lesion-4.nii.gz"]
    assert [p.name for p in out] == ["lesion-1.nii.gz", "lesion-3.nii.gz"]


def test_training_and_held_out_sources_share_nothing(sources, held_out):
    assert [s.name for s in sources.subjects] == ["head-1"]
    assert [s.name for s in held_out.subjects] == ["head-2"]
    assert not {m.name for m in sources.bank} & {m.name for m in held_out.bank}


def test_each_session_has_its_own_mask(tmp_path):
    for name in ("ses-1_T1w", "ses-1_mask", "ses-2_T1w", "ses-2_mask"):
        (tmp_path / f"sub-01_{name}.nii.gz").touch()
    found = {pair.image.name: pair.mask.name for pair in pair_paths(str(tmp_path))}
    assert found == {
        "sub-01_ses-1_T1w.nii.gz": "sub-01_ses-1_mask.nii.gz",
        "sub-01_ses-2_T1w.nii.gz": "sub-01_ses-2_mask.nii.gz",
    }
    (tmp_path / "sub-01_ses-3_T1w.nii.gz").touch()
    with pytest.raises(DataError, match="2 masks begin with sub-01"):
        pair_paths(str(tmp_path))


@pytest.mark.parametrize("spm", [True, False])
def test_soft_maps_become_heads(tmp_path, spm):
    folder = write_soft_maps(tmp_path / "soft", spm=spm)
    (paths,) = soft_map_paths(str(folder))
    assert paths.name == "sub-9"
    table = read_table()
    subject = prepare_soft_subject(paths, table, 4.0, in_mni=True)
    np.testing.assert_array_equal(subject.to_mni, np.eye(4))
    total = shares(subject, table)
    np.testing.assert_allclose(total.sum(axis=0), 1, atol=1e-6)
    for tissue in (1, 2, 3, 4):
        assert total[tissue].max() > 0.85
    assert not spm or total[2].max() > 0.8
    fitted = prepare_soft_subject(paths, table, 4.0, in_mni=False)
    assert np.abs(fitted.to_mni - np.eye(4)).max() < 25


def test_a_soft_table_names_a_file_per_tissue(tmp_path):
    folder = write_soft_maps(tmp_path / "soft", spm=True)
    table = tmp_path / "soft.tsv"
    names = [f"{folder.name}/c{n}sub-9.nii" for n in (1, 2, 3)]
    table.write_text("gm\twm\tcsf\n" + "\t".join(names) + "\n")
    (paths,) = soft_map_paths(str(table))
    assert paths.files[1] is None
    assert paths.files[3] == folder / "c3sub-9.nii"


def test_a_missing_tissue_is_named(tmp_path):
    folder = write_soft_maps(tmp_path / "soft", spm=True)
    (folder / "c2sub-9.nii").unlink()
    with pytest.raises(DataError, match=r"c2sub-9.nii is missing"):
        soft_map_paths(str(folder))


def test_four_volumes_are_asked_for(tmp_path):
    save(tmp_path / "soft" / "a.nii.gz", np.ones((8, 8, 8, 3), np.float32), np.eye(4))
    (paths,) = soft_map_paths(str(tmp_path / "soft"))
    with pytest.raises(DataError, match="tissue maps are four volumes"):
        prepare_soft_subject(paths, read_table(), 4.0, in_mni=True)


def test_training_runs_on_soft_maps_alone(make_config, tmp_path):
    folder = write_soft_maps(tmp_path / "soft", spm=True)
    config = make_config(data=f'label_maps = ""\nsoft_maps = "{folder}"\n')
    sample = make_sample(0, load_sources(config.data), config)
    assert {0, 1, 3} <= set(sample.target.unique().tolist())


def test_pairs_from_a_folder_and_from_a_table(tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    assert [pair.name for pair in pair_paths(str(folder))] == ["sub-1_T1w", "sub-2_T1w"]
    table = tmp_path / "pairs.csv"
    table.write_text("image,mask\npairs/sub-1_T1w.nii.gz,pairs/sub-1_T1w_mask.nii.gz\n")
    assert pair_paths(str(table))[0].mask == folder / "sub-1_T1w_mask.nii.gz"
    for mask in folder.glob("*_mask*"):
        mask.unlink()
    with pytest.raises(DataError, match="no image with a mask"):
        pair_paths(str(folder))


def test_real_pairs_are_mixed_in_by_their_share(make_config, tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    config = make_config(data=f'pairs = "{folder}"\nreal_share = 0.5\n')
    sources = load_sources(config.data)
    kinds = []
    for index in range(30):
        sample = make_sample(index, sources, config)
        assert sample.image.isfinite().all()
        values = set(sample.target.unique().tolist())
        kinds.append(UNKNOWN in values)
        if kinds[-1]:
            assert values <= {5, UNKNOWN}
    assert 8 < sum(kinds) < 22


def test_real_image_and_mask_stay_aligned(make_config, tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    config = make_config(
        top="lesion_only = true\n",
        data=f'pairs = "{folder}"\nreal_share = 1.0\nlabel_maps = ""\n',
        real="shift_share = 0.0\n",
        intensity="bias_strength = 0.1\n",
    )
    sources = load_sources(config.data)
    for index in range(6):
        sample = make_sample(index, sources, config)
        lesion = sample.target == 1
        assert lesion.any()
        assert sample.image[lesion].mean() > sample.image[~lesion].mean() + 1


def test_an_image_and_a_mask_on_other_grids_are_refused(make_config, tmp_path):
    folder = write_pairs(tmp_path / "pairs", count=1)
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[4:6] = 1
    save(folder / "sub-1_T1w_mask.nii.gz", mask, np.eye(4))
    config = make_config(data=f'pairs = "{folder}"\nreal_share = 0.5\n')
    with pytest.raises(DataError, match="is not on the grid"):
        load_sources(config.data)


def test_sources_without_heads_are_refused(make_config):
    config = make_config(data='label_maps = ""\n')
    with pytest.raises(UsageError, match="leaves no head to train on"):
        load_sources(config.data)


def test_a_real_image_without_lesion_is_a_pair_too(make_config, tmp_path):
    folder = write_pairs(tmp_path / "pairs", 1)
    mask = folder / "sub-1_T1w_mask.nii.gz"
    labels, affine = head_labels()
    save(mask, np.zeros(labels.shape, np.uint8), affine)
    config = make_config(data=f'pairs = "{folder}"\nreal_share = 1.0\nlabel_maps = ""\n')
    sample = make_sample(0, load_sources(config.data), config)
    assert set(sample.target.unique().tolist()) == {UNKNOWN}
