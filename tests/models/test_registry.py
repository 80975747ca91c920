import re

import pytest

from strokeseg.errors import ModelFormatError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import read_config
from strokeseg.models.https_files import SourceFile
from strokeseg.models.registry import load_registry, registry_path
from tests.tiny_models import write_registry

FILE = {"path": "a/b.pt", "sha256": "0" * 64}
SOURCE = {
    "source": f"https://x/{'c' * 40}/",
    "revision": "c" * 40,
    "reader": "torch",
    "config_folder": "one",
    "files": [FILE],
}
TISSUES = ("background", "GM", "GM/WM", "WM", "CSF", "lesion")


def test_installed_registry_has_the_bundled_default_and_the_six_published_models():
    registry = load_registry()
    assert registry.default == "synth-open"
    assert registry.entries["synth-open"].folder == registry_path().parent / "synth-open"
    published = [entry for entry in registry.entries.values() if entry.repository]
    assert [entry.repository for entry in published] == [
        f"liamchalcroft/synthstroke-{suffix}"
        for suffix in ("baseline", "synth", "synth-plus", "synth-pseudo", "qsynth", "qatlas")
    ]
    assert all(entry.licence == "MIT" and entry.citation for entry in published)


def test_installed_registry_pins_what_is_known_and_nothing_else():
    entries = load_registry().entries
    pins = {name: entry.revision for name, entry in entries.items() if entry.repository}
    pins = {name: revision for name, revision in pins.items() if revision}
    assert pins == {
        "synthstroke-baseline": "b693a650026359705688fbce409219c4dbb5d6be",
        "synthstroke-synth": "ced72e683ed68d3d110b675714e1a07bac584948",
        "synthstroke-synth-plus": "e9774354fe78eac705d0b98b56e758d47b363ad3",
    }
    assert entries["synthstroke-baseline"].checksums == {
        "model.safetensors": "d56c089e8c4bcc0ad2281f1e80b7c0e265f3b7138dee17fb2d160487604eee66",
        "config.json": "2d9e7eb2ab4cb0a696ce6a845ad3123b77b31867f7ba74a271b81132cca38b1e",
    }
    assert entries["synthstroke-synth"].checksums == {}


def test_the_published_baseline_is_meant_for_t1w_and_the_others_for_any_sequence():
    entries = load_registry().entries.values()
    meant = {entry.name: entry.sequences for entry in entries if entry.repository}
    assert meant.pop("synthstroke-baseline") == ("t1",)
    assert set(meant.values()) == {()}


def test_tissues_of_the_published_models_follow_the_training_script_and_say_so():
    entries = load_registry().entries
    six = [e for e in entries.values() if e.repository and len(e.classes) == 6]
    assert len(six) == 4
    assert all(entry.classes == TISSUES for entry in six)
    assert all("contradicts itself" in entry.note for entry in six)
    assert entries["synthstroke-qatlas"].classes == ("background", "lesion")


def test_unknown_name_lists_the_known_ones(tmp_path):
    registry = load_registry(write_registry(tmp_path, {"one": {"folder": "one"}}, "one"))
    with pytest.raises(WeightsUnavailableError, match=r"no model 'two'.*one of one") as caught:
        registry.get("two")
    assert caught.value.exit_code == 69
    with pytest.raises(WeightsUnavailableError, match="is written hub:lab/two"):
        registry.get("lab/two")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": "a", "repository": "x/y"}, "either a folder, a repository or a source"),
        ({}, "either a folder, a repository or a source"),
        ({"folder": "../a"}, "folder '../a' is not of the right form"),
        ({"repository": "x/y", "revision": "main"}, "revision 'main' is not of the right form"),
        ({"repository": "x/y", "sha256": "abc"}, "sha256 'abc' is not of the right form"),
        ({"folder": "a", "classes": ["background", "GM"]}, "ends in 'lesion' or 'brain'"),
        ({"folder": "a", "colour": "red"}, "unknown field 'colour'"),
        ({"source": "https://x/y/"}, "a source needs files, a reader"),
        (SOURCE | {"source": "ftp://x/y/"}, "source 'ftp://x/y/' is not of the right form"),
        (SOURCE | {"source": "https://x/main/"}, "a revision that its address is pinned to"),
        (SOURCE | {"reader": "pickle"}, "a reader (brainchop or torch)"),
        (SOURCE | {"files": ["a"]}, "each of its files is a table of path"),
        (SOURCE | {"files": [FILE | {"path": "../a"}]}, "file '../a' is not of the right form"),
        (SOURCE | {"files": [FILE | {"sha256": "12"}]}, "is not of the right form"),
        ({"folder": "a", "reader": "torch"}, "belong to a source"),
        ({"folder": "a", "licence": ""}, "licence must be a text"),
        ({"folder": "a", "sequences": "t1"}, "sequences must be a list of names"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, fields, message):
    path = write_registry(tmp_path, {"one": fields}, "one")
    with pytest.raises(ModelFormatError, match=re.escape(message)) as caught:
        load_registry(path)
    assert "model one" in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_registry_that_is_missing_broken_or_without_default_is_refused(tmp_path):
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_registry(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("default = ")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_registry(broken)
    with pytest.raises(ModelFormatError, match="default 'two' is not among"):
        load_registry(write_registry(tmp_path, {"one": {"folder": "one"}}, "two"))


def test_a_source_is_read_with_its_files(tmp_path):
    entry = load_registry(write_registry(tmp_path, {"one": SOURCE}, "one")).get("one")
    assert entry.files == (SourceFile("a/b.pt", "0" * 64, None),)
    assert entry.config_folder == tmp_path / "one"
    assert entry.finds == "lesion"


@pytest.mark.parametrize("name", ["meshnet-arc-t2", "mindgrab"])
def test_a_model_from_elsewhere_has_its_config_its_card_and_its_golden_record_here(name):
    entry = load_registry().get(name)
    assert entry.source.startswith("https://")
    assert entry.revision in entry.source
    assert {file.name for file in entry.config_folder.iterdir()} >= {
        "README.md",
        "config.json",
        "golden.json",
    }
    assert sha256(entry.config_folder / "config.json") == entry.config_sha256
    config = ModelConfig.from_config(read_config(entry.config_folder))
    assert config.class_names == entry.classes
    assert config.finds == entry.finds
