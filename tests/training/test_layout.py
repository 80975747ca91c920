"""Where a configuration looks for its data, and what a guest is told who has none of it."""

from pathlib import Path

import pytest

from strokeseg.errors import CannotCreateError, InputNotFoundError, UsageError
from strokeseg.training.config import bundled_configs, copy_config, read_config
from strokeseg.training.data.layout import layout_of, require_layout
from tests.training.heads import config_text

NEED_DATA = sorted(set(bundled_configs()) - {"smoke"})


def test_relative_paths_count_from_the_configurations_own_folder(tmp_path, monkeypatch):
    study = tmp_path / "study"
    study.mkdir()
    (study / "run.toml").write_text(
        'start_from = "../before/last.pt"\n[data]\nlabel_maps = "maps"\nlesions = ["a", "../b"]\n'
        'held_out_every = [0, 0]\npairs = "/elsewhere/pairs"\n'
    )
    monkeypatch.chdir(study)
    for config in (read_config(study / "run.toml"), read_config("run.toml")):
        assert config.start_from == str(tmp_path / "before" / "last.pt")
        assert config.data.label_maps == str(study / "maps")
        assert config.data.lesions == (str(study / "a"), str(tmp_path / "b"))
        assert config.data.pairs == "/elsewhere/pairs"
        assert config.data.slices == config.data.scans == ""


def test_smoke_finds_all_its_data_in_the_package_which_are_small():
    places = layout_of(read_config("smoke"))
    assert [place.key for place in places] == ["label_maps", "lesions"]
    files = [file for place in places for file in place.path.iterdir()]
    assert len(files) == 19
    assert sum(file.stat().st_size for file in files) < 3_000_000
    package = Path(__file__).parents[2] / "training"
    assert all(package in file.resolve().parents for file in files)


@pytest.mark.parametrize("name", NEED_DATA)
def test_every_bundled_configuration_says_what_it_needs_and_where_it_can_be_had(name):
    places = layout_of(read_config(name))
    assert places
    for place in places:
        assert place.expects
        if place.key != "start_from":
            assert "licence: " in place.source


@pytest.mark.parametrize("name", NEED_DATA)
def test_a_copy_looks_for_its_data_beside_itself(name, tmp_path):
    path = tmp_path / "mine" / "run.toml"
    copy_config(name, path)
    for place in layout_of(read_config(path)):
        first = place.path.relative_to(tmp_path / "mine").parts[0]
        assert first in ("data", "runs")
    with pytest.raises(CannotCreateError, match="there already"):
        copy_config(name, path)


def test_a_copy_of_smoke_has_the_packages_data(tmp_path):
    copy_config("smoke", tmp_path / "run.toml")
    assert read_config(tmp_path / "run.toml").data == read_config("smoke").data
    with pytest.raises(UsageError, match="copies a bundled configuration"):
        copy_config("smok", tmp_path / "other.toml")


def test_missing_data_are_told_of_in_one_line_with_their_source(tmp_path):
    copy_config("synthstroke-v1", tmp_path / "run.toml")
    (tmp_path / "data" / "label_maps").mkdir(parents=True)
    with pytest.raises(InputNotFoundError, match=r"lesymap: no such file or folder") as caught:
        require_layout(read_config(tmp_path / "run.toml"), "run.toml")
    assert "github.com/dorianps/LESYMAP" in str(caught.value)
    assert "Apache-2.0" in str(caught.value)
    assert "'strokeseg train run.toml --layout'" in str(caught.value)


def test_data_of_ones_own_need_no_source(data_folder, tmp_path):
    (tmp_path / "tiny.toml").write_text(config_text(data_folder))
    config = read_config(tmp_path / "tiny.toml")
    require_layout(config, "tiny.toml")
    assert [(place.key, place.source) for place in layout_of(config)] == [
        ("label_maps", ""),
        ("lesions", ""),
    ]
    assert layout_of(config)[0].found == "there, 2 files"
